"""Alarms as a list, and one of them with all that happened to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from clic_edge.domain.monitoring import Acknowledgement, Alarm, ChartPoint, RootCause  # noqa: TC001 - the API reads the annotations
from clic_edge.domain.standing import STOP_RULE, ModelState, is_reserved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.ledger import Ledger
    from clic_edge.ledger.alarms import WantedAlarms

CURSOR: Final = r"^[0-9]{1,16}-[0-9a-f]{1,16}$"
"""Microseconds since 1970, and the alarm's id."""
LARGEST_PAGE: Final = 200
_BEFORE: Final = timedelta(days=60)
"""Of the chart that are shown before the alarm."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmLine:
    """One alarm in a list."""

    alarm: Alarm
    seen: tuple[Acknowledgement, ...]
    """Who has said what it was, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmPage:
    """A page of a list of alarms, the newest first."""

    alarms: tuple[AlarmLine, ...]
    after: str | None
    """Cursor of the next page; None at the end."""


class Deed(StrEnum):
    """What can happen to an alarm."""

    OPENED = "opened"
    CONFIRMED = "confirmed"
    ACTED = "acted"
    """The stop rule has looked at it."""
    STOPPED = "stopped"
    """The stop rule took a model off the line for it."""
    ACKNOWLEDGED = "acknowledged"
    COMMENTED = "commented"
    ACTIVATED = "activated"
    """A person made the model active again."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened to an alarm."""

    at: datetime
    deed: Deed
    person: str = ""
    """Empty where nobody did it."""
    said: str = ""
    cause: RootCause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmView:
    """One alarm with all that happened to it."""

    alarm: Alarm
    history: tuple[Happening, ...]
    """Oldest first."""
    points: tuple[ChartPoint, ...]
    """Of its chart and direction, from some weeks before it opened."""
    since: date
    until: date
    """Days on which the studies behind it were made."""

    @property
    def is_answered(self) -> bool:
        """Whether a person has said what it was."""
        return any(one.deed is Deed.ACKNOWLEDGED for one in self.history)


def alarm_page(
    ledger: Ledger, wanted: WantedAlarms, *, limit: int = 50, after: str | None = None
) -> AlarmPage:
    """Return a page behind a cursor that an earlier page gave (`CURSOR`)."""
    found = ledger.alarms.page(wanted, limit=limit + 1, after=_place(after) if after else None)
    shown = found[:limit]
    seen: dict[str, list[Acknowledgement]] = {}
    for one in ledger.monitoring.acknowledgements():
        seen.setdefault(one.alarm_id, []).append(one)
    return AlarmPage(
        alarms=tuple(AlarmLine(alarm=one, seen=tuple(seen.get(one.alarm_id, ()))) for one in shown),
        after=_cursor(shown[-1]) if len(found) > limit else None,
    )


def alarm_view(ledger: Ledger, alarm_id: str, *, now: datetime) -> AlarmView:
    """Return one alarm. Raises ConfigError ``no-such-alarm``."""
    alarm = ledger.alarms.one(alarm_id)
    first = (alarm.opened_at - _BEFORE).date()
    points: Iterable[ChartPoint] = ()
    if alarm.reference_id and not alarm.is_event:
        points = ledger.charted.points(alarm.reference_id, [alarm.chart], first)
    history = sorted(_happened(ledger, alarm), key=lambda one: one.at)
    return AlarmView(
        alarm=alarm,
        history=tuple(history),
        points=tuple(one for one in points if one.direction is alarm.direction),
        since=_begun(alarm),
        until=(alarm.closed_at or now).date(),
    )


def _begun(alarm: Alarm) -> date:
    """Return the day on which the change began, or of which the account is, as the sentence tells."""
    found = re.search(r" (?:since|of) (\d{4}-\d{2}-\d{2}) ", alarm.sentence)
    return date.fromisoformat(found[1]) if found else alarm.opened_at.date()


def _happened(ledger: Ledger, alarm: Alarm) -> Iterable[Happening]:
    yield Happening(at=alarm.opened_at, deed=Deed.OPENED)
    if alarm.confirmed_at:
        yield Happening(at=alarm.confirmed_at, deed=Deed.CONFIRMED)
    if alarm.acted_at:
        yield Happening(at=alarm.acted_at, deed=Deed.ACTED)
    if alarm.closed_at:
        yield Happening(at=alarm.closed_at, deed=Deed.CLOSED, said=alarm.closed_why)
    for one in ledger.monitoring.acknowledgements():
        if one.alarm_id == alarm.alarm_id:
            yield Happening(
                at=one.at,
                deed=Deed.ACKNOWLEDGED,
                person=one.person,
                said=one.reason,
                cause=one.cause,
            )
    for said in ledger.alarms.comments(alarm.alarm_id):
        yield Happening(at=said.at, deed=Deed.COMMENTED, person=said.person, said=said.text)
    yield from _moves(ledger, alarm)


def _moves(ledger: Ledger, alarm: Alarm) -> Iterable[Happening]:
    """Yield where the stop rule took the model off the line for this alarm, and who put it back."""
    stopped = set[str]()
    for one in ledger.standing.history():
        if one.placement.digest != alarm.model_digest:
            continue
        pipeline = one.placement.pipeline
        if one.person == STOP_RULE and f"(alarm {alarm.alarm_id[:8]})" in one.reason:
            stopped.add(pipeline)
            yield Happening(at=one.at, deed=Deed.STOPPED, said=f"{pipeline}: {one.now}")
        elif pipeline in stopped and one.now is ModelState.ACTIVE and not is_reserved(one.person):
            stopped.discard(pipeline)
            said = f"{pipeline}: {one.reason}"
            yield Happening(at=one.at, deed=Deed.ACTIVATED, person=one.person, said=said)


def _cursor(alarm: Alarm) -> str:
    return f"{(alarm.opened_at - _EPOCH) // timedelta(microseconds=1)}-{alarm.alarm_id}"


def _place(cursor: str) -> tuple[datetime, str]:
    moment, _, alarm_id = cursor.partition("-")
    return _EPOCH + timedelta(microseconds=int(moment)), alarm_id
