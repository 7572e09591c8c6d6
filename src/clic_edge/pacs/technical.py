"""Of what kind the images of a study are, for who helps a site: numbers and codes, no text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydicom.dataset import Dataset

from clic_edge.dicom.excerpt import LARGEST_HEADER
from clic_edge.errors import Transient
from clic_edge.pacs.headers import read_header, text
from clic_edge.pacs.summaries import opening_of

if TYPE_CHECKING:
    from clic_edge.pacs.rest import Rest

MOST_IMAGES: Final = 600
"""Of one series, that are looked at."""
_NUMBERS: Final = re.compile(r"[0-9eE.+\\ -]{0,256}")
_CODES: Final = frozenset(
    [
        "CR",
        "CT",
        "DX",
        "IO",
        "MG",
        "MR",
        "NM",
        "OP",
        "OPT",
        "PT",
        "PX",
        "RF",
        "SM",
        "US",
        "XA",
        "XC",
        "SEG",
        "SR",
        "PR",
        "KO",
        "OT",
        "SC",
        "RTSTRUCT",
        "ANN",
        "DOC",
        "MONOCHROME1",
        "MONOCHROME2",
        "RGB",
        "YBR_FULL",
        "YBR_FULL_422",
        "YBR_ICT",
        "YBR_RCT",
    ]
) | {"PALETTE COLOR"}
"""Values of Modality and Photometric Interpretation that are told; any other could be text."""
_UID_OF_THE_STANDARD: Final = re.compile(r"1\.2\.840\.10008\.[0-9.]{1,50}")
_HANDLES: Final = TypeAdapter(list[str])
_TOLD: Final = (
    *("Modality", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "SamplesPerPixel"),
    *("PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "ImageOrientationPatient"),
    *("ImagePositionPatient", "GantryDetectorTilt", "RescaleSlope", "RescaleIntercept"),
)


class _Series(BaseModel):
    instances: list[str] = Field(alias="Instances")


class _Plugin(BaseModel):
    version: str = Field("", alias="Version")


class _System(BaseModel):
    version: str = Field("", alias="Version")
    api: int = Field(0, alias="ApiVersion")
    database: int = Field(0, alias="DatabaseVersion")


class _Metadata(BaseModel):
    transfer_syntax: str = Field("", alias="TransferSyntax")
    header_bytes: int = Field(LARGEST_HEADER + 1, alias="PixelDataOffset")


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnicalValue:
    """One attribute of an image."""

    keyword: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnicalImage:
    """One image of a series."""

    sop_class_uid: str
    """Empty of one that is not the standard's."""
    transfer_syntax_uid: str
    values: tuple[TechnicalValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnicalSeries:
    """One series."""

    series_id: str
    """The archive's handle."""
    instances: int
    images: tuple[TechnicalImage, ...]
    """The first of them, in the archive's order."""


def archive_versions(rest: Rest) -> tuple[tuple[str, str], ...]:
    """Return the versions of the archive, of its database and of its plugins; not what it is called.

    Raises
    ------
    Transient
        ``archive-unreachable``.

    """
    try:
        system = _System.model_validate_json(rest.get("/system") or b"")
        names = _HANDLES.validate_json(rest.get("/plugins") or b"[]")
        plugins = [
            (name, _Plugin.model_validate_json(rest.get(f"/plugins/{name}") or b"{}").version)
            for name in sorted(names)
            if "." not in name  # the script of Orthanc Explorer is in the list, too
        ]
    except ValidationError:
        # Not chained: pydantic quotes the answer.
        raise Transient("archive-unreachable", "The archive's answer is not Orthanc's.") from None
    orthanc = ("orthanc", f"{system.version}, API {system.api}, database {system.database}")
    return (orthanc, *((f"plugin {name}", version) for name, version in plugins))


def technical(rest: Rest, series_id: str) -> TechnicalSeries | None:
    """Return what a series is made of; None where it is gone. Raises Transient as `Rest.get`."""
    body = rest.get(f"/series/{series_id}")
    if body is None:
        return None
    try:
        instances = sorted(_Series.model_validate_json(body).instances)
    except ValidationError:
        return None
    return TechnicalSeries(
        series_id=series_id,
        instances=len(instances),
        images=tuple(_image(rest, one) for one in instances[:MOST_IMAGES]),
    )


def _image(rest: Rest, instance_id: str) -> TechnicalImage:
    metadata = _metadata(rest.get(f"/instances/{instance_id}/metadata?expand"))
    opening = opening_of(rest, instance_id, header_bytes=metadata.header_bytes)
    header = read_header(opening or b"", ("SOPClassUID", *_TOLD)) or Dataset()
    said = [(keyword, text(header, keyword)) for keyword in _TOLD]
    return TechnicalImage(
        sop_class_uid=_of_the_standard(text(header, "SOPClassUID")),
        transfer_syntax_uid=_of_the_standard(metadata.transfer_syntax),
        values=tuple(
            TechnicalValue(keyword=keyword, value=value)
            for keyword, value in said
            if value and (value in _CODES or _NUMBERS.fullmatch(value))
        ),
    )


def _metadata(body: bytes | None) -> _Metadata:
    try:
        return _Metadata.model_validate_json(body or b"{}")
    except ValidationError:
        return _Metadata.model_validate({})


def _of_the_standard(uid: str) -> str:
    return uid if _UID_OF_THE_STANDARD.fullmatch(uid) else ""
