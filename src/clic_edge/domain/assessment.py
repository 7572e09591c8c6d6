"""What a reader says of a result: ground truth, as far as there is one in daily work."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


ADDED = "added segment"
"""Finding of an assessment that is about something of the reader's own."""


class Verdict(StrEnum):
    """The three answers of IHE's AI Results Assessment."""

    ACCEPTED = "accepted"
    MODIFIED = "modified"
    REJECTED = "rejected"


class Reason(StrEnum):
    """Why a finding was not accepted as it is."""

    BOUNDARY = "boundary"
    """Right place, wrong outline."""
    MISSED = "missed"
    """Something was not found."""
    FALSE_POSITIVE = "false-positive"
    """What was found is not there."""
    WRONG_STRUCTURE = "wrong-structure"
    """Another structure, or the other side."""
    IMAGE_QUALITY = "image-quality"
    """The images are not good enough."""
    OTHER = "other"


class Source(StrEnum):
    """By which way an assessment came."""

    PAGE = "page"
    SEGMENTATION = "segmentation"
    """A reader's own version of our SEG came back."""
    REPORT = "report"
    """An SR came that says so (IHE AIRA)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """One reader's verdict on one finding; a later one of the same reader takes its place."""

    case_id: str
    prediction_id: str
    finding: str
    """Name of the segment, category or detection; `ADDED` for a segment that the reader drew."""
    verdict: Verdict
    reason: Reason | None
    """None where the finding was accepted, or nothing was said."""
    reader: str
    """Keyed stand-in of who assessed: readers can be told apart, not named."""
    source: Source
    at: datetime
    dice: float | None = None
    """Overlap of the reader's segment with ours, 0 to 1; None where none was drawn."""
    volume_mm3: float | None = None
    """Volume of the reader's segment."""
