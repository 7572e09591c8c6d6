"""What the monitor remembers: references, how their charts stand, points, alarms, and who saw them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import sqlalchemy as sa
from pydantic import TypeAdapter

from clic_edge.domain.monitoring import (
    Acknowledgement,
    Alarm,
    AlarmTurn,
    ChartMemory,
    ChartPoint,
    Direction,
    Evaluation,
    Reference,
    RootCause,
    Severity,
    Turn,
)
from clic_edge.domain.standing import is_reserved
from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.ledger.alarm_rows import alarm_of
from clic_edge.ledger.announcing import alarm_opened, alarm_turned
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import (
    drift_acknowledgements,
    drift_alarms,
    drift_points,
    drift_progress,
    drift_references,
)
from clic_edge.ledger.sql import insert_once, insert_or_replace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import date, datetime

    from sqlalchemy.engine import Engine

_MEMORY = TypeAdapter(tuple[ChartMemory, ...])
_LONGEST_CHART = 160
_LONGEST_PERSON = 64


class MonitoringStore:
    """References, points, alarms and acknowledgements, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def freeze(self, reference: Reference) -> None:
        """Keep a reference for ever; its digest goes into the audit trail as well."""
        row = {
            "reference_id": reference.reference_id,
            "model_digest": reference.model_digest,
            "frozen_at": reference.frozen_at,
            "digest": reference.digest,
            "content": reference.content,
        }
        with self._engine.begin() as connection:
            if insert_once(connection, drift_references, [row]):
                detail = (
                    f"{reference.name} {reference.version}, {reference.observations} observations "
                    f"of {reference.model_id} {reference.model_version}, by {reference.frozen_by}, "
                    f"sealed {reference.digest}"
                )
                event = AuditEvent(
                    at=reference.frozen_at,
                    action="reference-frozen",
                    person=reference.frozen_by[:_LONGEST_PERSON],
                    about=f"model {reference.model_id} {reference.model_version}",
                    detail=detail,
                )
                note_event(connection, event)

    def references(self, model_digest: str | None = None) -> tuple[Reference, ...]:
        """Return every reference, oldest first; with a digest, of one model.

        Raises
        ------
        Defect
            ``reference-changed``: the content is not what was sealed.

        """
        query = sa.select(drift_references).order_by(
            drift_references.c.frozen_at, drift_references.c.reference_id
        )
        if model_digest is not None:
            query = query.where(drift_references.c.model_digest == model_digest)
        with self._engine.connect() as connection:
            return tuple(_reference(row) for row in connection.execute(query))

    def reference(self, reference_id: str) -> Reference | None:
        """Return one reference, None where there is none of that id; raises as `references`."""
        query = sa.select(drift_references).where(drift_references.c.reference_id == reference_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return _reference(row) if row else None

    def reference_ids(self) -> frozenset[str]:
        """Return what every reference is known by, without reading it."""
        with self._engine.connect() as connection:
            return frozenset(connection.scalars(sa.select(drift_references.c.reference_id)))

    def progress(self, reference_id: str) -> tuple[datetime | None, tuple[ChartMemory, ...]]:
        """Return until when a reference's stratum was charted, and how its charts stood then."""
        query = sa.select(drift_progress).where(drift_progress.c.reference_id == reference_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return (row.charted_until, _MEMORY.validate_json(row.memory)) if row else (None, ())

    def record(self, reference_id: str, evaluation: Evaluation, *, since: datetime | None) -> None:
        """Keep what was charted from `since`, where `progress` stood, in one transaction.

        Raises
        ------
        Transient
            ``charted-elsewhere``: another process has charted this reference meanwhile.

        """
        with self._engine.begin() as connection:
            _advance(connection, reference_id, evaluation, since=since)
            begun = None if since is None else since.date()
            for one in evaluation.points:
                _add_point(connection, reference_id, one, may_be_there=one.day == begun)
            for alarm in evaluation.opened:
                _open(connection, alarm)
            for turn in evaluation.turned:
                _move(connection, turn)

    def open(self, alarms: Iterable[Alarm]) -> int:
        """Keep alarms that no chart opened; return how many are new."""
        with self._engine.begin() as connection:
            return sum(_open(connection, one) for one in alarms)

    def points(self, reference_id: str, since: date | None = None) -> tuple[ChartPoint, ...]:
        """Return the days of a reference's charts, by chart and day."""
        columns = drift_points.c
        query = sa.select(drift_points).where(columns.reference_id == reference_id)
        if since is not None:
            query = query.where(columns.day >= since)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(columns.chart, columns.direction, columns.day))
            return tuple(_point(row) for row in rows)

    def alarms(self, *, is_open: bool = False, since: datetime | None = None) -> tuple[Alarm, ...]:
        """Return alarms, oldest first; only those still open, or opened since a moment, if asked."""
        query = sa.select(drift_alarms).order_by(drift_alarms.c.opened_at, drift_alarms.c.alarm_id)
        if is_open:
            query = query.where(drift_alarms.c.closed_at.is_(None))
        if since is not None:
            query = query.where(drift_alarms.c.opened_at >= since)
        with self._engine.connect() as connection:
            return tuple(alarm_of(row) for row in connection.execute(query))

    def acknowledge(self, acknowledgement: Acknowledgement) -> Alarm:
        """Keep that a person has seen an alarm and what it was; return the alarm.

        What no chart can close, closes by this: a new word, a stratum without a reference. The
        beginning of an alarm's id is enough where no other begins so. The same said again by the
        same person does nothing.

        Raises
        ------
        ConfigError
            ``no-such-alarm``, ``acknowledgement-unsigned``.

        """
        person, reason = acknowledgement.person.strip(), acknowledgement.reason.strip()
        if not person or not reason or is_reserved(person):
            raise ConfigError(
                "acknowledgement-unsigned", "Say who acknowledges the alarm, and what it was."
            )
        with self._engine.begin() as connection:
            named = drift_alarms.c.alarm_id.startswith(acknowledgement.alarm_id, autoescape=True)
            found = connection.execute(sa.select(drift_alarms).where(named)).all()
            if len(found) != 1:
                raise ConfigError(
                    "no-such-alarm",
                    f"{len(found)} alarms begin with that id; `clic-edge drift alarms` lists them.",
                )
            alarm = alarm_of(found[0])
            row = {
                "alarm_id": alarm.alarm_id,
                "at": acknowledgement.at,
                "person": person[:_LONGEST_PERSON],
                "reason": reason,
                "cause": acknowledgement.cause,
            }
            same = [drift_acknowledgements.c[name] == row[name] for name in row if name != "at"]
            if connection.execute(sa.select(drift_acknowledgements).where(*same)).first():
                return alarm
            insert_once(connection, drift_acknowledgements, [row])
            _close_event(connection, alarm, acknowledgement.at)
            event = AuditEvent(
                at=acknowledgement.at,
                action="alarm-acknowledged",
                person=person[:_LONGEST_PERSON],
                about=f"alarm {alarm.alarm_id} of {alarm.model_id}",
                detail=f"{acknowledgement.cause}: {reason}",
            )
            note_event(connection, event)
        return alarm

    def supersede(self, earlier: Collection[str], *, by: str, at: datetime) -> int:
        """Close what is open on references that another took the place of; return how many."""
        old = drift_alarms.c.reference_id.in_(earlier) & drift_alarms.c.closed_at.is_(None)
        with self._engine.begin() as connection:
            return _close(connection, old, at=at, note=f"superseded by reference {by}")

    def accept_stratum(self, reference: Reference) -> int:
        """Close the alarms that a stratum has no reference, now that it has one; return how many."""
        parts = asdict(reference.stratum)
        here = sa.and_(*(drift_alarms.c[name] == value for name, value in parts.items()))
        own = (drift_alarms.c.model_digest == reference.model_digest) & here
        open_ones = own & drift_alarms.c.reference_id.is_(None) & drift_alarms.c.closed_at.is_(None)
        with self._engine.begin() as connection:
            note = f"accepted as reference {reference.reference_id}"
            return _close(connection, open_ones, at=reference.frozen_at, note=note)

    def acted(self, alarms: Iterable[str], *, at: datetime) -> None:
        """Keep that the stop rule has done what alarms ask for; the first time counts."""
        first = drift_alarms.c.alarm_id.in_(list(alarms)) & drift_alarms.c.acted_at.is_(None)
        with self._engine.begin() as connection:
            connection.execute(drift_alarms.update().where(first).values(acted_at=at))

    def asking(self) -> tuple[Alarm, ...]:
        """Return the alarms to act on that are open, or that no stop rule has seen; oldest first.

        One that opened and closed between two looks asks as well as one that stands.
        """
        stands = drift_alarms.c.closed_at.is_(None) | drift_alarms.c.acted_at.is_(None)
        query = sa.select(drift_alarms).where(
            (drift_alarms.c.severity == Severity.ACTION)
            & stands
            & (drift_alarms.c.closed_why == "")
        )
        query = query.order_by(drift_alarms.c.opened_at, drift_alarms.c.alarm_id)
        with self._engine.connect() as connection:
            return tuple(alarm_of(row) for row in connection.execute(query))

    def turn_back(self, reference_ids: Collection[str], *, to: datetime, by: str) -> int:
        """Let charts go on from a moment, where a clock that ran ahead had taken them beyond it.

        Raises
        ------
        ConfigError
            ``person-unnamed``.

        """
        if not by.strip() or is_reserved(by):
            raise ConfigError("person-unnamed", "Say who decides, by name.")
        ahead = drift_progress.c.reference_id.in_(reference_ids) & (
            drift_progress.c.charted_until > to
        )
        with self._engine.begin() as connection:
            turned = connection.execute(
                drift_progress.update().where(ahead).values(charted_until=to)
            ).rowcount
            if turned:
                event = AuditEvent(
                    at=to,
                    action="charts-turned-back",
                    person=by.strip()[:_LONGEST_PERSON],
                    detail=f"{turned} references go on from {to:%Y-%m-%d %H:%M} UTC",
                )
                note_event(connection, event)
        return turned

    def acknowledgements(self) -> tuple[Acknowledgement, ...]:
        """Return who has seen which alarm, oldest first."""
        query = sa.select(drift_acknowledgements).order_by(drift_acknowledgements.c.at)
        with self._engine.connect() as connection:
            return tuple(
                Acknowledgement(**dict(row._mapping) | {"cause": RootCause(row.cause)})
                for row in connection.execute(query)
            )


def _advance(
    connection: sa.Connection, reference_id: str, evaluation: Evaluation, *, since: datetime | None
) -> None:
    row = {
        "reference_id": reference_id,
        "charted_until": evaluation.charted_until,
        "memory": _MEMORY.dump_json(evaluation.memory).decode(),
    }
    if since is None:
        moved = insert_once(connection, drift_progress, [row])
    else:
        stands = (drift_progress.c.reference_id == reference_id) & (
            drift_progress.c.charted_until == since
        )
        moved = connection.execute(drift_progress.update().where(stands).values(row)).rowcount
    if not moved:
        raise Transient(
            "charted-elsewhere", "Another process charts this model now; it will be done once."
        )


def _add_point(
    connection: sa.Connection, reference_id: str, point: ChartPoint, *, may_be_there: bool
) -> None:
    columns = drift_points.c
    key = {
        "reference_id": reference_id,
        "chart": point.chart[:_LONGEST_CHART],
        "direction": point.direction,
        "day": point.day,
    }
    n, value, statistic = point.n, point.value, point.statistic
    if may_be_there:
        here = sa.and_(*(columns[name] == wanted for name, wanted in key.items()))
        if before := connection.execute(sa.select(drift_points).where(here)).one_or_none():
            n += before.n
            value = (before.value * before.n + point.value * point.n) / n
            statistic = max(before.statistic, statistic)
    rest = {"n": n, "value": value, "statistic": statistic, "threshold": point.limit}
    insert_or_replace(connection, drift_points, key | rest)


def _open(connection: sa.Connection, alarm: Alarm) -> int:
    row = asdict(alarm)
    row |= row.pop("stratum") | {"chart": alarm.chart[:_LONGEST_CHART]}
    new = insert_once(connection, drift_alarms, [row])
    if new:
        event = AuditEvent(
            at=alarm.opened_at,
            action="alarm-opened",
            about=f"alarm {alarm.alarm_id} of {alarm.model_id}",
            detail=alarm.sentence,
        )
        note_event(connection, event)
        alarm_opened(connection, alarm)
    return new


def _move(connection: sa.Connection, turn: AlarmTurn) -> None:
    confirmed = {
        "confirmed_at": turn.at,
        "severity": turn.severity,
        "sentence": turn.sentence,
    }
    values = confirmed if turn.turn is Turn.CONFIRMED else {"closed_at": turn.at}
    this = drift_alarms.c.alarm_id == turn.alarm_id
    connection.execute(drift_alarms.update().where(this).values(**values))
    alarm_turned(connection, turn)


def _close_event(connection: sa.Connection, alarm: Alarm, at: datetime) -> None:
    if not alarm.is_event:
        return
    this = (drift_alarms.c.alarm_id == alarm.alarm_id) & drift_alarms.c.closed_at.is_(None)
    connection.execute(drift_alarms.update().where(this).values(closed_at=at))


def _close(
    connection: sa.Connection, which: sa.ColumnElement[bool], *, at: datetime, note: str
) -> int:
    rows = connection.execute(sa.select(drift_alarms.c.alarm_id, drift_alarms.c.chart).where(which))
    closed = rows.all()
    for row in closed:
        this = drift_alarms.c.alarm_id == row.alarm_id
        values = {"closed_at": at, "closed_why": note}
        connection.execute(drift_alarms.update().where(this).values(values))
        about = f"alarm {row.alarm_id}"
        detail = f"{_plain(row.chart)}: {note}"
        note_event(connection, AuditEvent(at=at, action="alarm-closed", about=about, detail=detail))
    return len(closed)


def _plain(chart: str) -> str:
    """Return a chart's name without the word that came new: it was read from a file."""
    return chart.partition("=")[0]


def _reference(row: sa.Row[tuple[object, ...]]) -> Reference:
    values = row._mapping
    content = values["content"]
    if hashlib.sha256(content).hexdigest() != values["digest"]:
        raise Defect(
            "reference-changed",
            "A reference is not what was sealed when it was frozen; restore the ledger from a backup.",
        )
    return Reference.from_content(content)


def _point(row: sa.Row[tuple[object, ...]]) -> ChartPoint:
    values = dict(row._mapping)
    del values["reference_id"]
    values["direction"] = Direction(values["direction"])
    values["limit"] = values.pop("threshold")
    return ChartPoint(**values)
