"""What turned out to be true of a case, later: by report, adjudication, pathology or follow-up."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Origin(StrEnum):
    """Where a truth comes from, the weakest first: the strongest of a finding counts."""

    REPORT = "report"
    """What the radiological report says."""
    FOLLOW_UP = "follow-up"
    """What later examinations showed."""
    ADJUDICATED = "adjudicated"
    """What readers agreed upon who looked again."""
    PATHOLOGY = "pathology"
    """What was seen in tissue."""

    @property
    def rank(self) -> int:
        """Its strength."""
        return list(Origin).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The truth of one finding of a case, as one source has it; no identity."""

    case_id: str
    finding: str
    """Name of the model's segment or category."""
    present: bool | None
    """None where only the value is known."""
    value: float | None
    """In the unit of the model's own number: mm³ of a segment; None where there is none."""
    origin: Origin
    source: str
    """A word that tells sources apart, such as `registry-2026`."""
    confidence: float | None
    """From 0 to 1, as the source states it."""
    at: datetime
    """When it was imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a model said of a finding of one case, beside the truth."""

    at: datetime
    """When the model said it."""
    case_id: str
    origin: Origin
    said: bool | None
    """Whether the model found it in any series; None where it says neither yes nor no."""
    present: bool | None
    measured: float | None
    """The model's own number; None where the case has several series."""
    value: float | None


def standing(given: list[Truth]) -> tuple[Truth, ...]:
    """Return the truth of each case and finding that counts: of the strongest origin, the newest."""
    best: dict[tuple[str, str], Truth] = {}
    for one in sorted(given, key=lambda it: (it.origin.rank, it.at)):
        best[one.case_id, one.finding] = one
    return tuple(best.values())
