"""The workers that share this ledger: who runs, who ended, who fell silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clic_edge.domain.worker import WorkerSign
    from clic_edge.ledger import Ledger

SILENT: Final = timedelta(minutes=2)
"""A worker beats every few seconds; hosts' clocks may differ by less than this."""
_SHOWN: Final = timedelta(days=1)


class Presence(StrEnum):
    """Whether a worker is there."""

    RUNS = "runs"
    SILENT = "silent"
    """Killed, frozen, or cut off."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """One worker, as a table shows it."""

    name: str
    host: str
    version: str
    line: str
    slots: int
    running: int
    since: datetime
    beat_at: datetime
    presence: Presence


def workers(ledger: Ledger, now: datetime) -> tuple[WorkerRow, ...]:
    """Return the workers of the last day, by name."""
    recent = [one for one in ledger.workers.all() if now - one.beat_at < _SHOWN]
    return tuple(_row(one, now) for one in recent)


def _row(sign: WorkerSign, now: datetime) -> WorkerRow:
    run, presence = sign.run, Presence.RUNS
    if sign.left_at:
        presence = Presence.ENDED
    elif now - sign.beat_at > SILENT:
        presence = Presence.SILENT
    return WorkerRow(
        name=run.name,
        host=run.host,
        version=run.version,
        line=run.line,
        slots=run.slots,
        running=sign.running if presence is Presence.RUNS else 0,
        since=run.since,
        beat_at=sign.beat_at,
        presence=presence,
    )
