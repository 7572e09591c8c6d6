"""Back-pressure: when more comes than the appliance can take, what it then does, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_OVER_BELOW: Final = 0.9
"""What was full is full until so much of the limit: the door does not open and close with each case."""


class Pressure(StrEnum):
    """What weighs on the intake, and what is done about it."""

    DISK = "disk"
    """Too little is free on Orthanc's disks: images are turned away."""
    QUEUE = "queue"
    """The queue is full: images of new studies are turned away."""
    QUEUE_TAKEN = "queue-taken"
    """The queue is full: images are taken all the same."""

    @property
    def turns_away(self) -> bool:
        """Whether senders keep their images for now."""
        return self is not Pressure.QUEUE_TAKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A pressure that weighs now."""

    pressure: Pressure
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits, batches and screening left out: they give way, and may be as many as they like."""

    cases: int = 0
    """That have not ended."""
    oldest: datetime | None = None
    """Since when the oldest of them has waited for its first turn; None where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """When the queue counts as full."""

    cases: int
    """0 for never."""
    wait: timedelta
    """For a first turn; zero for never."""

    def are_reached(self, backlog: Backlog, now: datetime, *, were: bool) -> bool:
        """Whether the queue is full; once it was, until there is some way to the limit again."""
        share = _OVER_BELOW if were else 1.0
        too_many = bool(self.cases) and backlog.cases >= share * self.cases
        if not self.wait or backlog.oldest is None:
            return too_many
        return too_many or now - backlog.oldest >= share * self.wait
