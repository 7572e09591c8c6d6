"""What routing may ask of a series, from the header of one of its instances: folder or Orthanc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.dicom.excerpt import LARGEST_HEADER
from clic_edge.domain.constancy import RESERVED_PATIENT
from clic_edge.domain.study import CORRECTED, SeriesSummary, Unread, digest_of
from clic_edge.errors import Refusal
from clic_edge.pacs.headers import number, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from clic_edge.domain.limits import StudyLimits
    from clic_edge.pacs.rest import Rest

SUMMARY = (
    "SpecificCharacterSet",
    "Modality",
    "SeriesNumber",
    "BodyPartExamined",
    "SeriesDescription",
    "ImageType",
    "Manufacturer",
    "SliceThickness",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *CORRECTED,
)
"""What `summary_of` asks of a header."""
_WHOLE = 1 << 20
"""Bytes: a file that is smaller is read to its end, which keeps the connection."""
UNREADABLE_HEADER = Unread(
    code="header-unreadable",
    sentence="the header of the series is not DICOM that can be read safely",
)
LARGE_HEADER = Unread(
    code="header-too-large",
    sentence="the header of the series is larger than headers are read",
)


def summary_of(
    series_id: str,
    instance_ids: tuple[str, ...],
    *,
    header: Dataset,
    called_ae_title: str = "",
    calling_ae_title: str = "",
) -> SeriesSummary:
    """Return what a header of `SUMMARY` says of a series."""
    series_number = number(text(header, "SeriesNumber"))
    image_type = text(header, "ImageType")
    return SeriesSummary(
        series_id=series_id,
        instance_ids=instance_ids,
        series_number=None if series_number is None else int(series_number),
        modality=text(header, "Modality"),
        body_part=text(header, "BodyPartExamined"),
        description=text(header, "SeriesDescription"),
        image_type=tuple(image_type.split("\\")) if image_type else (),
        manufacturer=text(header, "Manufacturer"),
        slice_thickness_mm=_slice_thickness_mm(header),
        called_ae_title=called_ae_title,
        calling_ae_title=calling_ae_title,
        is_constancy=text(header, "PatientID").startswith(RESERVED_PATIENT),
        identity_digest=digest_of([text(header, keyword) for keyword in CORRECTED]),
    )


def opening_of(rest: Rest, instance_id: str, *, header_bytes: int) -> bytes | None:
    """Return an instance of Orthanc as far as its header goes; None where it is gone.

    Orthanc is asked for bytes, never for JSON of them, which it would make recursively on a small
    stack: a header nested sixty deep ends its process. Raises Transient as `Rest.opening`.
    """
    return rest.opening(instance_id, min(max(header_bytes, _WHOLE), LARGEST_HEADER + 1))


def unread(series_id: str, instance_ids: tuple[str, ...], why: Unread) -> SeriesSummary:
    """Return a series of which nothing is known but that it is there."""
    return SeriesSummary(
        series_id=series_id,
        instance_ids=instance_ids,
        series_number=None,
        modality="",
        body_part="",
        description="",
        image_type=(),
        manufacturer="",
        slice_thickness_mm=None,
        called_ae_title="",
        calling_ae_title="",
        unread=why,
    )


def too_many_series(count: int, limits: StudyLimits) -> Unread | None:
    """Return why a study of so many series is not looked at; None where it is."""
    if count <= limits.study_series:
        return None
    return Unread(
        code="study-too-large",
        sentence=f"The study has {count} series; {limits.study_series} are looked at.",
    )


def require_room(instances: int, size: int, limits: StudyLimits) -> None:
    """Return where a series of so many instances and bytes is fetched. Raises Refusal ``series-too-large``."""
    if instances > limits.series_instances or size > limits.series_mib << 20:
        raise Refusal(
            "series-too-large",
            f"The series has {instances} instances of {size >> 20} MiB together; "
            f"{limits.series_instances} and {limits.series_mib} MiB are fetched.",
        )


def _slice_thickness_mm(header: Dataset) -> float | None:
    """Return the classic attribute, or that of the enhanced objects' Pixel Measures (C.7.6.16.2.1)."""
    groups: Sequence[Dataset] = [
        *header.get("SharedFunctionalGroupsSequence", []),
        *header.get("PerFrameFunctionalGroupsSequence", [])[:1],
    ]
    measures = [one for group in groups for one in group.get("PixelMeasuresSequence", [])]
    texts = [text(one, "SliceThickness") for one in (header, *measures)]
    return next((number(value) for value in texts if value), None)
