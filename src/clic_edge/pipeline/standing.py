"""Which model of a pipeline speaks, which run in its shadow, and why none speaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.domain.standing import (
    LONGEST_NAME,
    STOP_RULE,
    ModelState,
    Placement,
    is_reserved,
)
from clic_edge.errors import ClicEdgeError, ConfigError, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.domain.standing import Serving, StateEvent
    from clic_edge.inference.runtime import Runtime
    from clic_edge.ledger.standing import StandingStore
    from clic_edge.pipeline.line import ReadyPipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that a pipeline's file names."""

    identity: Callable[[], ModelIdentity]
    """Reads the package, not its network; raises as loading it would."""
    load: Callable[[], Runtime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Why no model of a pipeline speaks now."""

    why: Refusal
    stopped: ModelIdentity | None = None
    """Of whom readers are told; None where they are told nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """A candidate with its state; `identity` is None where its package is broken."""

    candidate: Candidate
    identity: ModelIdentity | None
    event: StateEvent | None

    @property
    def state(self) -> ModelState | None:
        return self.event.now if self.event else None


def placement(pipeline: str, model: ModelIdentity) -> Placement:
    """Return a model's place in a pipeline: what has a state."""
    return Placement(
        pipeline=pipeline, model_id=model.model_id, version=model.version, digest=model.digest
    )


def move(
    standing: StandingStore, placement: Placement, to: ModelState, *, person: str, reason: str
) -> StateEvent:
    """Move a model to a state, by a person; `promote` is the way to active.

    Who looks after the line calls this: at a model's next case it holds.

    Raises
    ------
    ConfigError
        ``person-unnamed``, ``reason-missing``; ``transition-not-allowed``;
        ``acceptance-missing``: only `promote` makes a model active.

    """
    require_signed(person, reason)
    return _moved(standing, placement, to, person=person.strip(), reason=reason)


def take_out(
    standing: StandingStore, placement: Placement, to: ModelState, *, reason: str
) -> StateEvent:
    """Move a model to a state by a stop rule. Raises ConfigError ``transition-not-allowed``."""
    return _moved(standing, placement, to, person=STOP_RULE, reason=reason)


def _moved(
    standing: StandingStore, placement: Placement, to: ModelState, *, person: str, reason: str
) -> StateEvent:
    event = standing.move(placement, to, person=person, reason=in_one_line(reason))
    telemetry.model_moved(pipeline=placement.pipeline, model=told(placement), state=to)
    return event


def require_signed(person: str, reason: str) -> None:
    """Return where somebody stands for a decision, and says why."""
    require_named(person)
    if not reason.strip():
        raise ConfigError("reason-missing", "Say why, in a sentence; readers may see it.")


def in_one_line(reason: str) -> str:
    """Return a reason as results tell it."""
    return " ".join(reason.split())


def require_named(person: str) -> None:
    """Return where the name is one that a person may go by.

    Raises
    ------
    ConfigError
        ``person-unnamed``; ``person-reserved``: the appliance itself acts by it.

    """
    name = person.strip()
    if not name or len(name) > LONGEST_NAME:
        raise ConfigError(
            "person-unnamed", f"Say who decides, by a name of at most {LONGEST_NAME} letters."
        )
    if is_reserved(name):
        raise ConfigError(
            "person-reserved", "The appliance itself acts by that name; give a person's."
        )


def told(placement: Placement) -> str:
    """Return a model's identifier and version, as logs and metrics name it."""
    return f"{placement.model_id} {placement.version}"


def cast(pipeline: ReadyPipeline, standing: StandingStore) -> ReadyPipeline:
    """Return the pipeline with the model that is active now, and those in its shadow.

    Models that nobody has seen enter the history first; what is known does not move by it, only
    by `enrol`. A package that is broken stays where the
    file names it, so that its cases are quarantined and its failures in the shadow are told.
    """
    seats = _seats(pipeline, standing)
    if not seats:
        return pipeline
    speakers = [one for one in seats if one.state is ModelState.ACTIVE]
    if not speakers and seats[0].identity is None:
        speakers = seats[:1]
    shadows = tuple(
        one.candidate.load
        for one in seats
        if one not in speakers and (one.identity is None or one.state is ModelState.SHADOW)
    )
    if speakers:
        (speaker, *_) = speakers
        return replace(
            pipeline,
            runtime=speaker.candidate.load,
            speaker=speaker.identity,
            challengers=shadows,
        )
    silence = _silence(seats)
    return replace(
        pipeline, runtime=_silent(silence), speaker=None, challengers=shadows, silence=silence
    )


def enrol(pipeline: ReadyPipeline, standing: StandingStore, *, by: Serving) -> None:
    """Let a worker that starts say which models its pipeline's file names.

    Raises
    ------
    ConfigError
        ``pipeline-differs``: another worker runs it, whose file names another model.

    """
    places = [
        placement(pipeline.settings.name, one) if one else None
        for one in map(_identity, pipeline.candidates)
    ]
    if places:
        challengers = [one for one in places[1:] if one]
        standing.enrol(places[0], challengers, decides=pipeline.file_decides, by=by)


def _seats(pipeline: ReadyPipeline, standing: StandingStore) -> list[_Seat]:
    identities = [_identity(one) for one in pipeline.candidates]
    name = pipeline.settings.name
    events = standing.standing(name)
    unseen = [
        placement(name, one) if one and one.digest not in events else None for one in identities
    ]
    if any(unseen):
        challengers = [one for one in unseen[1:] if one]
        standing.enrol(unseen[0], challengers, decides=pipeline.file_decides)
        events = standing.standing(name)
    return [
        _Seat(
            candidate=candidate,
            identity=identity,
            event=events.get(identity.digest) if identity else None,
        )
        for candidate, identity in zip(pipeline.candidates, identities, strict=True)
    ]


def _identity(candidate: Candidate) -> ModelIdentity | None:
    try:
        return candidate.identity()
    except ClicEdgeError:
        return None  # whoever loads it hears why


def _silence(seats: list[_Seat]) -> Silence:
    for one in seats:
        if one.event and one.state is ModelState.SUSPENDED:
            why = f"The model is suspended since {one.event.at:%Y-%m-%d}: {one.event.reason}"
            return Silence(why=Refusal("model-suspended", why), stopped=one.identity)
    if taken_out := _taken_out(seats):
        return taken_out
    if any(one.state is ModelState.SHADOW for one in seats):
        return Silence(
            why=Refusal(
                "model-in-shadow",
                "No model of this pipeline is active; what runs in the shadow was logged, and "
                "nothing goes to the PACS.",
            )
        )
    return Silence(
        why=Refusal(
            "no-active-model",
            "No model of this pipeline is active; `clic-edge models promote` makes one so.",
        )
    )


def _taken_out(seats: list[_Seat]) -> Silence | None:
    """Return the silence that a stop rule made, where it was the last to end a model's turn."""
    ended = {
        one.event.seq: (one.event, one.identity)
        for one in seats
        if one.event and one.event.was is ModelState.ACTIVE
    }
    if not ended:
        return None
    event, model = ended[max(ended)]
    if event.now is not ModelState.SHADOW or event.person != STOP_RULE:
        return None
    why = f"A stop rule took the model out of use on {event.at:%Y-%m-%d}: {event.reason}"
    return Silence(why=Refusal("model-taken-out", why), stopped=model)


def _silent(silence: Silence) -> Callable[[], Runtime]:
    def runtime() -> Runtime:
        raise silence.why

    return runtime
