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
    SUMMARY = "SUMMARY"
    """The case's root: what was found and lies where, or why nothing was analysed."""
    REJECTION = "REJECTION"
    """Rejection note (KOS, IHE IOCM): which earlier results are not to be used any more."""


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

    @property
    def is_proven(self) -> bool:
        """Whether the destination was asked afterwards, and holds the object."""
        return self.accepted and self.status.partition(": ")[0] in PROOFS


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRefusal:
    """Why the model was not run on one series of a case."""

    series_id: str
    """The archive's handle of the series."""
    code: str
    reason: str
    """One sentence without an identity, for the reader."""


PROOFS = frozenset({"commitment", "c-find", "qido"})
"""How a destination is asked whether it holds what it accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What a destination says when it is asked for a result object that it had accepted."""

    destination: str
    sop_instance_uid: str
    held: bool
    how: str
    """One of `PROOFS`."""
    status: str
    """``committed``, ``found``, ``not found``, ``0x0112 no such object``, …"""

    @classmethod
    def found(
        cls, destination: str, result: ResultObject, *, how: str, sop_class_uid: str | None
    ) -> Confirmation:
        """Return what a query proves: the SOP class that it gave (maybe empty), None for no match."""
        status = "found" if sop_class_uid in {"", result.sop_class_uid} else "other SOP class"
        return cls(
            destination=destination,
            sop_instance_uid=result.sop_instance_uid,
            held=status == "found",
            how=how,
            status="not found" if sop_class_uid is None else status,
        )

    @property
    def receipt(self) -> Receipt:
        """The receipt that takes the place of the first answer: what is not held is sent again."""
        return Receipt(
            destination=self.destination,
            sop_instance_uid=self.sop_instance_uid,
            accepted=self.held,
            status=f"{self.how}: {self.status}",
        )
