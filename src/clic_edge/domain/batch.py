"""A batch: a retrospective run of one pipeline over studies of an archive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class BatchState(StrEnum):
    """Where a batch is."""

    OPEN = "open"
    """Runs while a process drives it; `clic-edge batch resume` is one."""
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"


class StudyState(StrEnum):
    """Where one study of a batch is."""

    PENDING = "pending"
    FETCHING = "fetching"
    """It is brought into the appliance's archive."""
    RUNNING = "running"
    """It is a case."""
    ENDED = "ended"
    """Its case has ended, as whatever."""
    KNOWN = "known"
    """The pipeline had a case on the same content before, which is not run again."""
    NOT_TAKEN = "not-taken"
    """The pipeline's rule takes no series of it."""
    FAILED = "failed"
    """It could not be fetched; `clic-edge batch resume` tries again."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it in this batch."""
        return self not in {StudyState.PENDING, StudyState.FETCHING, StudyState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is run, over what, and how fast."""

    batch_id: str
    pipeline: str
    source: str
    """A destination's name, or `here`."""
    query: str
    """Attributes of studies that name nobody."""
    per_hour: int
    """Studies that may begin in an hour; 0 for as many as there is room for."""
    room: int
    """Cases of it that may be open at a time."""
    state: BatchState
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a batch is."""

    batch: Batch
    counts: tuple[tuple[StudyState, int], ...]
    ends: tuple[tuple[str, int], ...]
    """What the cases ended as."""
    lately: int
    """Studies that were over in the last hour."""

    def count(self, state: StudyState) -> int:
        """Return how many studies are in a state."""
        return dict(self.counts).get(state, 0)

    @property
    def total(self) -> int:
        """How many studies there are."""
        return sum(count for _, count in self.counts)

    @property
    def over(self) -> int:
        """How many are over."""
        return sum(count for state, count in self.counts if state.is_over)
