"""When a result is due, and why it will be late."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class LateCause(StrEnum):
    """Why results come too late; the first that holds."""

    NO_WORKER = "no-worker"
    WAITING = "waiting"
    """The next attempt comes too late: a PACS or the archive is away, or the study grows."""
    QUEUE = "queue"
    """Other cases are ahead."""
    SLOW = "slow"
    """Its own stages take too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """What is foretold of a pipeline whose results will be late."""

    pipeline: str
    cause: LateCause
    cases: int
    """Open ones that will be late, or are."""
    ahead: int
    """Cases before the first of them."""
    is_missed: bool
    """One of them is late already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineAlarm:
    """That the results of a pipeline will be late: from when it was foretold until it was over."""

    risk: Risk
    """As it was seen last."""
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How many deadlines of a pipeline were kept and missed in a month."""

    pipeline: str
    month: str
    """`YYYY-MM` of the moment when they were due, in UTC."""
    kept: int
    missed: int
