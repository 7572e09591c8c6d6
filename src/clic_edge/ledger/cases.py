"""Cases: admitted once, moved from state to state, each move in the audit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from clic_edge.domain.case import Case, CaseState, Priority
from clic_edge.errors import ConfigError
from clic_edge.ledger.announcing import case_quarantined
from clic_edge.ledger.deliveries import set_aside
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import cases, segmentations
from clic_edge.ledger.schema import predictions as predictions_table
from clic_edge.ledger.sql import insert_once

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from sqlalchemy.engine import Engine

_OPEN = (CaseState.RECEIVED, CaseState.RUNNING, CaseState.WAITING)
RETRYABLE = (
    CaseState.RECEIVED,
    CaseState.WAITING,
    CaseState.REFUSED,
    CaseState.QUARANTINED,
)
_GONE = "study-gone"
"""Why a case was refused whose study the archive has no more."""
_STALE = "late images made a new case"
COLUMNS = [cases.c[name] for name in Case.__dataclass_fields__]


class CaseQueue(Protocol):
    """Who runs cases: asked in the transaction that admits one, so neither is without the other."""

    def put(
        self,
        connection: sa.Connection,
        case_id: str,
        attempt: int,
        *,
        priority: Priority,
        delay: timedelta | None,
    ) -> None:
        """Let attempt `attempt` of the case run after `delay`; asking twice changes nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A case as intake proposes it."""

    case_id: str
    study_id: str
    pipeline: str
    series_ids: tuple[str, ...]
    expedited: bool = False
    """Somebody asked for it now: do not wait for completeness."""
    code: str = ""
    reason: str = ""
    """Set when the case ends at once as refused: no pipeline takes the study."""
    study_digest: str = ""
    """Of the Study Instance UID: the same whatever patient the study is filed under."""
    priority: Priority = Priority.ROUTINE
    due_at: datetime | None = None
    moved_from: tuple[str, ...] = ()
    """Handles that the study had before its patient was corrected; gone from the archive."""


class CaseStore:
    """The table of cases, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine, queue: CaseQueue | None = None) -> None:
        self._engine = engine
        self._queue = queue

    def admit(self, admission: Admission) -> Case:
        """Return the case, new or known; a new one supersedes the study's delivered ones.

        A study that is again what it was before a later case is a new case too: what was said
        of it first has been taken back since.
        """
        state = CaseState.REFUSED if admission.code else CaseState.RECEIVED
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            admission = replace(admission, case_id=_current_name(connection, admission.case_id))
            row = {name: getattr(admission, name) for name in Admission.__slots__}
            del row["moved_from"]
            row |= {"series_ids": list(admission.series_ids), "state": state, "attempt": 0}
            row |= {"received_at": now, "updated_at": now}
            if insert_once(connection, cases, [row]):
                _audit(connection, admission.case_id, state, detail=admission.reason)
                self._supersede(connection, admission)
                if state is CaseState.RECEIVED:
                    is_urgent = admission.expedited and admission.priority is Priority.ROUTINE
                    first = Priority.URGENT if is_urgent else admission.priority
                    self._enqueue(connection, admission.case_id, 0, priority=first)
            elif admission.expedited:
                self._expedite(connection, admission.case_id)
            else:
                self._run_what_is_back(connection, admission.case_id)
            return _one(connection, admission.case_id)

    def _supersede(self, connection: sa.Connection, admission: Admission) -> None:
        others = (
            cases.c.study_id.in_([admission.study_id, *admission.moved_from])
            & cases.c.pipeline.in_([admission.pipeline, "-"])
            & (cases.c.case_id != admission.case_id)
            & cases.c.superseded_by.is_(None)
        )
        newer = {"superseded_by": admission.case_id}
        told = [state for state in CaseState if state is not CaseState.SUPERSEDED]
        ended = others & cases.c.state.in_(told)
        ids = list(connection.scalars(sa.select(cases.c.case_id).where(ended)))
        if not ids:
            return
        chosen = cases.c.case_id.in_(ids)
        connection.execute(cases.update().where(chosen).values(newer))
        # A running case finds out by itself, before it delivers and when it closes. What a
        # pipeline refused stays refused, and what a person must look at stays to be looked at,
        # though results of it that were delivered are replaced, and what a person took back stays
        # taken back; that no pipeline took the study is not true any more.
        stays = cases.c.state.in_([CaseState.QUARANTINED, CaseState.WITHDRAWN]) | (
            (cases.c.state == CaseState.REFUSED) & (cases.c.pipeline != "-")
        )
        idle = chosen & (cases.c.state != CaseState.RUNNING) & ~stays
        closing = {"state": CaseState.SUPERSEDED, "updated_at": datetime.now(UTC)}
        for case_id in connection.scalars(sa.select(cases.c.case_id).where(idle)):
            _audit(connection, case_id, CaseState.SUPERSEDED, detail=_STALE)
        connection.execute(cases.update().where(idle).values(closing | {"next_attempt_at": None}))

    def _expedite(self, connection: sa.Connection, case_id: str) -> None:
        case = _one(connection, case_id)
        if case.state in (CaseState.RECEIVED, CaseState.WAITING):
            self._again(connection, case, "asked to run now")

    def _run_what_is_back(self, connection: sa.Connection, case_id: str) -> None:
        """Run a case whose study had gone from the archive: after a restore, it was sent again."""
        case = _one(connection, case_id)
        if case.state is CaseState.REFUSED and case.code == _GONE and case.series_ids:
            set_aside(connection, case_id)
            self._again(connection, case, "the study is back", expedited=case.expedited)

    def begin(self, case_id: str, attempt: int) -> Case | None:
        """Mark an attempt as running; None when it is not the case's current attempt.

        `started_at` is set the first time and kept ever after: reruns repeat, byte for byte.
        """
        now = datetime.now(UTC)
        current = (cases.c.case_id == case_id) & (cases.c.attempt == attempt)
        with self._engine.begin() as connection:
            changed = connection.execute(
                cases.update()
                .where(current & cases.c.state.in_(_OPEN))
                .values(
                    state=CaseState.RUNNING,
                    started_at=sa.func.coalesce(cases.c.started_at, sa.bindparam("now", now)),
                    updated_at=now,
                    next_attempt_at=None,
                )
            ).rowcount
            return _one(connection, case_id) if changed else None

    def close(self, case: Case, state: CaseState, *, code: str = "", reason: str = "") -> CaseState:
        """End an attempt's case and return the state that the case has now.

        A case that late images made stale ends as superseded instead of delivered. A case that
        has ended, or whose next attempt was asked for meanwhile, is left alone.
        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            query = sa.select(cases.c.superseded_by).where(cases.c.case_id == case.case_id)
            if state is CaseState.DELIVERED and connection.scalar(query):
                state, reason = CaseState.SUPERSEDED, _STALE
            changed = connection.execute(
                cases.update()
                .where(_current(case) & cases.c.state.in_(_OPEN))
                .values(state=state, code=code, reason=reason, updated_at=now)
            ).rowcount
            if not changed:
                return _one(connection, case.case_id).state
            if state in (CaseState.DELIVERED, CaseState.REFUSED):
                first = sa.func.coalesce(cases.c.result_at, sa.bindparam("now", now))
                this = cases.c.case_id == case.case_id
                connection.execute(cases.update().where(this).values(result_at=first))
            if state in (CaseState.DELIVERED, CaseState.SUPERSEDED):
                _drop_segmentations(connection, case.case_id)
            if state is CaseState.QUARANTINED:
                case_quarantined(connection, case, code=code)
            _audit(connection, case.case_id, state, detail=reason)
            return state

    def wait(self, case: Case, *, delay: timedelta, code: str, reason: str) -> CaseState:
        """Let the case run again after `delay`, as its next attempt, and return its state.

        Once for each attempt: where a next one was asked for, or the case ended, nothing changes.
        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            changed = connection.execute(
                cases.update()
                .where(_current(case) & cases.c.state.in_(_OPEN))
                .values(
                    state=CaseState.WAITING,
                    attempt=case.attempt + 1,
                    code=code,
                    reason=reason,
                    updated_at=now,
                    next_attempt_at=now + delay,
                )
            ).rowcount
            if changed:
                _audit(connection, case.case_id, CaseState.WAITING, detail=reason)
                after = case.attempt + 1
                self._enqueue(connection, case.case_id, after, priority=case.priority, delay=delay)
            return _one(connection, case.case_id).state

    def retry(
        self, case_id: str, *, person: str = "", reason: str = "run again by request"
    ) -> Case:
        """Run a case again now, at a person's request.

        Raises
        ------
        ConfigError
            ``no-such-case``, or ``case-not-retryable`` when it is running or has its results.

        """
        with self._engine.begin() as connection:
            # Held before it is looked at: else a person could withdraw it in between.
            this = (cases.c.case_id == case_id) & cases.c.state.in_(RETRYABLE)
            same = {"attempt": cases.c.attempt}
            held = connection.execute(cases.update().where(this).values(same)).rowcount
            case = _one(connection, case_id)
            if not held or not case.series_ids:
                raise ConfigError(
                    "case-not-retryable",
                    f"Case {case_id} is {case.state}; there is nothing to run again.",
                )
            if case.state is not CaseState.WAITING:
                set_aside(connection, case_id)
            self._again(connection, case, reason, person=person)
            return _one(connection, case_id)

    def rescue(self, case: Case, *, why: str = "found outside the queue") -> None:
        """Queue a case again that fell out of the queue; nothing if it moved on meanwhile."""
        with self._engine.begin() as connection:
            where = _current(case) & cases.c.state.in_(_OPEN)
            if connection.execute(cases.update().where(where).values(code="")).rowcount:
                self._again(connection, case, why, expedited=case.expedited)

    def _again(
        self,
        connection: sa.Connection,
        case: Case,
        detail: str,
        *,
        expedited: bool = True,
        person: str = "",
    ) -> None:
        connection.execute(
            cases.update()
            .where(cases.c.case_id == case.case_id)
            .values(
                state=CaseState.RECEIVED,
                attempt=case.attempt + 1,
                expedited=expedited,
                code="",
                reason="",
                updated_at=datetime.now(UTC),
                next_attempt_at=None,
            )
        )
        _audit(connection, case.case_id, CaseState.RECEIVED, detail=detail, person=person)
        is_urgent = expedited and case.priority is Priority.ROUTINE
        priority = Priority.URGENT if is_urgent else case.priority
        self._enqueue(connection, case.case_id, case.attempt + 1, priority=priority)

    def _enqueue(
        self,
        connection: sa.Connection,
        case_id: str,
        attempt: int,
        *,
        priority: Priority,
        delay: timedelta | None = None,
    ) -> None:
        if self._queue:
            self._queue.put(connection, case_id, attempt, priority=priority, delay=delay)

    def case(self, case_id: str) -> Case:
        """Return one case. Raises ConfigError ``no-such-case``."""
        with self._engine.connect() as connection:
            return _one(connection, case_id)

    def is_current(self, case: Case) -> bool:
        """Whether an attempt is still the one that runs; false once another worker has the case."""
        running = _current(case) & (cases.c.state == CaseState.RUNNING)
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sa.literal(1)).where(running)) is not None

    def is_superseded(self, case_id: str) -> bool:
        """Whether a later case has taken this one's place, though it may not have ended yet."""
        taken = (cases.c.case_id == case_id) & cases.c.superseded_by.is_not(None)
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sa.literal(1)).where(taken)) is not None

    def of_study(self, study_id: str) -> tuple[Case, ...]:
        """Return the cases of a study, oldest first."""
        return self._select(cases.c.study_id == study_id)

    def other_handles(self, study_digest: str, study_id: str) -> tuple[str, ...]:
        """Return the handles that a study has or had beside this one."""
        same = (cases.c.study_digest == study_digest) & (cases.c.study_id != study_id)
        with self._engine.connect() as connection:
            return tuple(connection.scalars(sa.select(cases.c.study_id).where(same).distinct()))

    def under_way(self) -> tuple[Case, ...]:
        """Return the cases that have not ended, oldest first."""
        return self._select(cases.c.state.in_(_OPEN))

    def all(self, states: Iterable[CaseState] = (), limit: int = 100) -> tuple[Case, ...]:
        """Return the newest `limit` cases in the states given (or any), oldest first."""
        chosen = list(states) or list(CaseState)
        newest = self._select(cases.c.state.in_(chosen), newest=limit)
        return tuple(reversed(newest))

    def _select(self, where: sa.ColumnElement[bool], newest: int | None = None) -> tuple[Case, ...]:
        query = sa.select(*COLUMNS).where(where)
        if newest is None:
            query = query.order_by(cases.c.received_at, cases.c.case_id)
        else:
            query = query.order_by(cases.c.received_at.desc(), cases.c.case_id).limit(newest)
        with self._engine.connect() as connection:
            return tuple(case_of(row) for row in connection.execute(query))


def _current(case: Case) -> sa.ColumnElement[bool]:
    return (cases.c.case_id == case.case_id) & (cases.c.attempt == case.attempt)


def _current_name(connection: sa.Connection, content_id: str) -> str:
    """Return the name of the case on this content that nothing superseded, known or new.

    Later cases on the same content are numbered from 2, so each is found by its key.
    """
    name = content_id
    for number in count(2):
        query = sa.select(cases.c.superseded_by).where(cases.c.case_id == name)
        known = connection.execute(query).one_or_none()
        if known is None or known.superseded_by is None:
            break
        name = f"{content_id}.{number}"
    return name


def _one(connection: sa.Connection, case_id: str) -> Case:
    query = sa.select(*COLUMNS).where(cases.c.case_id == case_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ConfigError(
            "no-such-case", f"There is no case {case_id}; see `clic-edge cases list`."
        )
    return case_of(row)


def case_of(row: sa.Row[tuple[object, ...]]) -> Case:
    """Return what a row of `COLUMNS` says."""
    values = dict(row._mapping)
    values["state"] = CaseState(values["state"])
    values["priority"] = Priority(values["priority"])
    values["series_ids"] = tuple(values["series_ids"])
    return Case(**values)


def _audit(
    connection: sa.Connection, case_id: str, action: str, *, detail: str, person: str = ""
) -> None:
    now = datetime.now(UTC)
    event = AuditEvent(at=now, case_id=case_id, action=action, detail=detail, person=person)
    note_event(connection, event)


def _drop_segmentations(connection: sa.Connection, case_id: str) -> None:
    own = sa.select(predictions_table.c.prediction_id).where(predictions_table.c.case_id == case_id)
    connection.execute(segmentations.delete().where(segmentations.c.prediction_id.in_(own)))
