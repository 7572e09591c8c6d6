"""A worker: one process that takes cases, on one host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRun:
    """One run of a worker, from its start to its end."""

    name: str
    """Of the worker, `appliance.name`: what it held when it died is its own when it is back."""
    instance: str
    """Of this one run."""
    host: str
    place: str
    """Where `pid` means a process: a boot of a kernel, and a namespace in it."""
    pid: int
    version: str
    """Of the package."""
    line: str
    """Of the stages: a worker takes cases that were queued for its own."""
    slots: int
    """Cases of patients that it works on at a time."""
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSign:
    """The newest run of a worker, and its last sign of life."""

    run: WorkerRun
    beats: int
    """Grows with each sign; who watches it needs no clock but its own."""
    beat_at: datetime
    """By the worker's own clock."""
    running: int
    """Cases in hand at the last sign."""
    left_at: datetime | None
    """When it ended as it should; None while it runs, and where it was killed."""
