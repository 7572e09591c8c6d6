"""What goes back to the PACS, with identity, and what the PACS answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ResultKind(StrEnum):
    """The kinds of result objects: one for each writer, so that a destination can choose."""

    SEG = "SEG"
    """Segmentation, BINARY."""
    SEG_FRACTIONAL = "SEG-FRACTIONAL"
    SEG_LABELMAP = "SEG-LABELMAP"
    SR = "SR"
    """Measurements of one series (TID 1500)."""
    PR = "PR"
    """Presentation state."""
    SC = "SC"
    """Secondary capture."""
    PDF = "PDF"
    """Encapsulated report."""
    KO = "KO"
    """Key object selection."""
    PM = "PM"
    """Parametric map."""
    ANN = "ANN"
    """Annotations of a slide (Microscopy Bulk Simple Annotations)."""
    SUMMARY = "SUMMARY"
    """The case's root: what was found and lies where, or why nothing was analysed."""
    REJECTION = "REJECTION"
    """Rejection note (KOS, IHE IOCM): which earlier results are not to be used any more."""
    ASSESSMENT = "ASSESSMENT"
    """What a reader says of a result (SR)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """An instance on its way to the PACS; same case, same bytes."""

    kind: ResultKind
    sop_class_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    """Both derived from case, model digest and writer, so they name no patient."""
    content: bytes = field(repr=False)
    """A Part 10 file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultReference:
    """By what other objects, and people, refer to a result object: no content, no identity."""

    kind: ResultKind
    sop_class_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A destination's answer for one result object."""

    destination: str
    sop_instance_uid: str
    accepted: bool
    status: str
    """``0x0000`` of a C-STORE response, ``HTTP 200`` of STOW-RS, ``written`` of a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRefusal:
    """Why one series of a case, or one image of it, has no result."""

    series_id: str
    """The archive's handle of the series."""
    image: int = 0
    """Position of the image in the series, from 1; 0 for all of the series."""
    code: str
    reason: str
    """One sentence without an identity, for the reader."""
    withheld: bool = False
    """A defect, not a study of another kind: the case is for a person to look at."""
