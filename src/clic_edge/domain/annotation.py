"""What happened to a scanner on a day: the charts show it, so that a change has its reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime  # noqa: TC003 - FastAPI reads the annotations
from enum import StrEnum

from clic_edge.domain.monitoring import Stratum  # noqa: TC001 - as above


class AnnotationKind(StrEnum):
    """What happened."""

    SOFTWARE = "software"
    """Another software version of the scanner."""
    RECALIBRATION = "recalibration"
    """Service, calibration, another coil or tube."""
    PROTOCOL = "protocol"
    """Another protocol, or another group of patients."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What a person noted of a day; never changed, never deleted."""

    at: datetime
    """When it was noted."""
    day: date
    """When it happened, in UTC."""
    stratum: Stratum
    """`EVERY` for what touches all scanners."""
    kind: AnnotationKind
    text: str
    """In a sentence, without a patient in it."""
    person: str

    @property
    def annotation_id(self) -> str:
        """Short; the same note has the same."""
        scanner = (
            self.stratum.manufacturer,
            self.stratum.model_name,
            self.stratum.software_versions,
        )
        said = (self.day.isoformat(), *scanner, self.kind, self.text, self.person)
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]
