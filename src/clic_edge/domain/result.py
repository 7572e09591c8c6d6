"""What goes back to the PACS, with identity, and what the PACS answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ResultKind(StrEnum):
    """The kinds of result objects, named as their modality."""

    SEG = "SEG"
    SR = "SR"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """An instance on its way to the PACS; same case, same bytes."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    """Derived from case, model digest and writer, so it names no patient."""
    content: bytes = field(repr=False)
    """A Part 10 file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A destination's answer for one result object."""

    destination: str
    sop_instance_uid: str
    accepted: bool
    status: str
    """``0x0000`` of a C-STORE response, ``HTTP 200`` of STOW-RS, ``written`` of a folder."""
