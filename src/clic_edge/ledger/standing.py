"""The states of models: an append-only chain of events, of which the newest counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.standing import (
    BY_CONFIGURATION,
    CONFIGURATION,
    TRANSITIONS,
    ModelState,
    Placement,
    StateEvent,
)
from clic_edge.errors import ConfigError, Defect
from clic_edge.ledger.announcing import model_moved
from clic_edge.ledger.schema import model_events
from clic_edge.ledger.serving import claim, leave, renew
from clic_edge.ledger.sql import begin_writing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.engine import Engine

    from clic_edge.domain.standing import Serving

_LOCK = 0x434C4944  # "CLID": two workers never append the same link
_NOT_HASHED = {"link"}


class StandingStore:
    """The table of model events, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def move(
        self,
        placement: Placement,
        to: ModelState,
        *,
        person: str,
        reason: str,
        evidence: str = "",
    ) -> StateEvent:
        """Move a model to a state and return the event; who becomes active sends the other back.

        The model that was active before goes into the shadow in the same transaction, so a
        pipeline has at most one active model at any moment.

        Raises
        ------
        ConfigError
            ``transition-not-allowed``; ``acceptance-missing``: no person makes a model active
            without evidence.

        """
        if to is ModelState.ACTIVE and person != CONFIGURATION and not evidence:
            raise ConfigError(
                "acceptance-missing",
                "A model becomes active by `clic-edge models promote`, with an acceptance report.",
            )
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            if to is ModelState.ACTIVE:
                _make_room(connection, placement, person=person, reason=reason)
            return _append(
                connection, placement, to, person=person, reason=reason, evidence=evidence
            )

    def enrol(
        self,
        model: Placement | None,
        challengers: Collection[Placement],
        *,
        decides: bool,
        by: Serving | None = None,
    ) -> None:
        """Take note of the models that a pipeline's file names; nothing is written twice.

        Where the file `decides`, its `model` becomes active when it is another than the file
        named before, unless a person has made one active; and models that nobody has seen go
        into the shadow. A model that a person suspended or retired stays that. Where it does not
        decide, models that nobody has seen are installed. `by` names the worker whose file it is.

        Raises
        ------
        ConfigError
            ``pipeline-differs``: another worker's file names another model, and that one runs.

        """
        named = [*([model] if model else []), *challengers]
        if not named:
            return
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            if model and decides and by:
                claim(connection, model, by)
            events = _events(connection, named[0].pipeline)
            seen = set(_newest(events))
            why = {"person": CONFIGURATION, "reason": "The pipeline's file names it."}
            if model and decides and _is_new(model, events):
                _make_room(connection, model, **why)
                _append(connection, model, ModelState.ACTIVE, **why)
                seen.add(model.digest)
            unseen = ModelState.SHADOW if decides else ModelState.INSTALLED
            for one in named:
                if one.digest not in seen:
                    _append(connection, one, unseen, **why)
                    seen.add(one.digest)

    def still_serving(self, instance: str) -> None:
        """Keep that a worker runs on."""
        with self._engine.begin() as connection:
            renew(connection, instance)

    def end_serving(self, instance: str) -> None:
        """Forget a worker that ends."""
        with self._engine.begin() as connection:
            leave(connection, instance)

    def standing(self, pipeline: str) -> Mapping[str, StateEvent]:
        """Return the newest event of each model of a pipeline, by digest."""
        return _newest(self.history(pipeline))

    def history(self, pipeline: str | None = None) -> tuple[StateEvent, ...]:
        """Return every event, oldest first; of one pipeline, or of all."""
        with self._engine.connect() as connection:
            return _events(connection, pipeline)

    def verify(self) -> int:
        """Return how many events there are, each linked to the one before.

        Raises
        ------
        Defect
            ``audit-broken``: one was changed, or is missing.

        """
        previous, events = "", self.history()
        for number, event in enumerate(events, start=1):
            if event.seq != number or event.link != _link(previous, event):
                raise Defect(
                    "audit-broken",
                    f"Event {event.seq} of the models' history was changed, or one before it "
                    "is missing.",
                )
            previous = event.link
        return len(events)


def _is_new(model: Placement, events: tuple[StateEvent, ...]) -> bool:
    """Whether the file names another model than it did, and no person speaks against it.

    A person does who has made another one active, or has ended this one.
    """
    newest = _newest(events)
    before = newest.get(model.digest)
    promoted = any(
        one.now is ModelState.ACTIVE and one.person != CONFIGURATION for one in newest.values()
    )
    files = [
        one.placement.digest
        for one in events
        if one.person == CONFIGURATION and one.now is ModelState.ACTIVE
    ]
    may = BY_CONFIGURATION[before.now if before else None]
    return files[-1:] != [model.digest] and ModelState.ACTIVE in may and not promoted


def _require_allowed(
    was: ModelState | None,
    to: ModelState,
    *,
    table: Mapping[ModelState | None, Collection[ModelState]],
) -> None:
    if to in table[was]:
        return
    ways = ", ".join(sorted(table[was])) or "nowhere"
    raise ConfigError(
        "transition-not-allowed",
        f"A model that is {was or 'not known here'} can't become {to}; from there it goes {ways}.",
    )


def _make_room(
    connection: sa.Connection, placement: Placement, *, person: str, reason: str
) -> None:
    """Send the model that is active into the shadow."""
    why = f"{placement.model_id} {placement.version} took its place: {reason}"
    for other in _newest(_events(connection, placement.pipeline)).values():
        if other.now is ModelState.ACTIVE and other.placement.digest != placement.digest:
            _append(connection, other.placement, ModelState.SHADOW, person=person, reason=why)


def _append(
    connection: sa.Connection,
    placement: Placement,
    to: ModelState,
    *,
    person: str,
    reason: str,
    evidence: str = "",
) -> StateEvent:
    last = sa.select(model_events.c.seq, model_events.c.link)
    row = connection.execute(last.order_by(model_events.c.seq.desc()).limit(1)).one_or_none()
    seq, previous = (row.seq, row.link) if row else (0, "")
    before = _newest(_events(connection, placement.pipeline)).get(placement.digest)
    table = BY_CONFIGURATION if person == CONFIGURATION else TRANSITIONS
    _require_allowed(before.now if before else None, to, table=table)
    event = StateEvent(
        seq=seq + 1,
        at=datetime.now(UTC),
        placement=placement,
        was=before.now if before else None,
        now=to,
        person=person,
        reason=reason,
        evidence=evidence,
        link="",
    )
    link = _link(previous, event)
    connection.execute(model_events.insert().values(**_row(event) | {"link": link}))
    model_moved(connection, event)
    return replace(event, link=link)


def _row(event: StateEvent) -> dict[str, object]:
    placed = {name: getattr(event.placement, name) for name in Placement.__slots__}
    own = {name: getattr(event, name) for name in StateEvent.__slots__ if name != "placement"}
    return own | placed


def _link(previous: str, event: StateEvent) -> str:
    told = {name: value for name, value in _row(event).items() if name not in _NOT_HASHED}
    text = json.dumps({"previous": previous} | told, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _events(connection: sa.Connection, pipeline: str | None) -> tuple[StateEvent, ...]:
    query = sa.select(model_events).order_by(model_events.c.seq)
    if pipeline is not None:
        query = query.where(model_events.c.pipeline == pipeline)
    return tuple(_event(row._mapping) for row in connection.execute(query))


def _event(row: sa.RowMapping) -> StateEvent:
    values = dict(row)
    placement = Placement(**{name: values.pop(name) for name in Placement.__slots__})
    values["was"] = ModelState(values["was"]) if values["was"] else None
    values["now"] = ModelState(values["now"])
    return StateEvent(placement=placement, **values)


def _newest(events: tuple[StateEvent, ...]) -> dict[str, StateEvent]:
    return {event.placement.digest: event for event in events}
