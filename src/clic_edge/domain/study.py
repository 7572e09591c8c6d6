"""What comes in, with identity: instances, series, and what routing sees of them.

No `repr` here shows a patient: these values may end up in a traceback.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CORRECTED = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
)
"""What a hospital corrects under the same UIDs, and every result copies."""


def digest_of(values: Sequence[str]) -> str:
    """Return a digest of values in order; it goes into a case id, and nowhere else."""
    return sha256("\n".join(values).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One DICOM instance, byte for byte as the archive holds it."""

    content: bytes = field(repr=False)
    """A Part 10 file (PS3.10), or a bare dataset as some old writers leave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series with identity, in the archive's order; slices are not sorted yet."""

    study_instance_uid: str = field(repr=False)
    series_instance_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Why nothing is asked of a study or a series: it would cost more than it may."""

    code: str
    sentence: str
    """Safe to store and to log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSummary:
    """What routing rules may ask of a series. Absent attributes are empty or None."""

    series_id: str
    """The archive's own handle, e.g. Orthanc's identifier; not a DICOM UID."""
    instance_ids: tuple[str, ...]
    """The archive's handles of the instances, sorted."""
    series_number: int | None
    modality: str
    body_part: str
    """Body Part Examined (0018,0015)."""
    description: str = field(repr=False)
    """Series Description (0008,103E): free text, so never logged."""
    image_type: tuple[str, ...]
    """Image Type (0008,0008), value by value."""
    manufacturer: str
    slice_thickness_mm: float | None
    called_ae_title: str
    calling_ae_title: str
    is_constancy: bool = False
    """Whether its Patient ID is one of those that are kept for constancy."""
    identity_digest: str = field(default="", repr=False)
    """`digest_of` what a correction of the patient or the order changes; `CORRECTED` names it."""
    unread: Unread | None = None
    """Why its attributes are empty or None, where nobody looked at them."""

    @property
    def number_of_instances(self) -> int:
        """How many instances the archive holds of this series."""
        return len(self.instance_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study as the archive describes it, series sorted by number and handle."""

    study_id: str
    """The archive's own handle of the study."""
    study_instance_uid: str = field(repr=False)
    seconds_since_last_instance: float
    series: tuple[SeriesSummary, ...]
    unread: Unread | None = None
    """Why `series` is empty, where nobody looked at them."""
