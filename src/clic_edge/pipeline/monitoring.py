"""The monitor on the ledger: references are frozen, models are watched, stop rules are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.domain.monitoring import (
    EVERY,
    Alarm,
    Channel,
    Direction,
    Evaluation,
    Response,
    Severity,
)
from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.domain.standing import ModelState, is_reserved
from clic_edge.drift.monitor import alarm_id, evaluate
from clic_edge.drift.plan import Policy
from clic_edge.drift.reference import FEWEST, Acceptance, freeze
from clic_edge.drift.stop import demands
from clic_edge.errors import ClicEdgeError, ConfigError, Defect, Transient
from clic_edge.pipeline.standing import take_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.config import Settings
    from clic_edge.domain.monitoring import ChartMemory, Observation, Reference, Stratum
    from clic_edge.domain.standing import Placement, StateEvent
    from clic_edge.drift.stop import Demand
    from clic_edge.ledger import Ledger

SETTLED = timedelta(seconds=60)
"""What is younger may not have been committed yet, and is charted the next time."""
STRATUM_CHART = "stratum"
_STATES = {Response.SHADOW: ModelState.SHADOW, Response.SUSPEND: ModelState.SUSPENDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What one look at everything found."""

    evaluations: tuple[tuple[Reference, Evaluation], ...]
    new_strata: tuple[Stratum, ...]
    ahead: int
    """Predictions from the future: a clock jumped, and they wait until it is their time."""
    demands: tuple[Demand, ...]
    """What the stop rules ask for, from all alarms that are open."""


def policy_of(settings: Settings) -> Policy:
    """Return what the site's settings say of charts and stop rules."""
    monitoring = settings.monitoring
    return Policy(
        false_alarms_per_year=monitoring.false_alarms_per_year,
        smallest_group=monitoring.smallest_group,
        responses=(
            (Channel.CONSTANCY, Response(settings.constancy.on_failure)),
            *(
                (one, Response(getattr(monitoring.stop, one)))
                for one in Channel
                if one not in {Channel.CONSTANCY, Channel.ACCOUNTING}
            ),
        ),
    )


def freeze_references(
    ledger: Ledger, acceptance: Acceptance, *, since: datetime | None = None
) -> tuple[Reference, ...]:
    """Freeze a reference for each stratum that a model has seen often enough, and for all scanners.

    Raises
    ------
    ConfigError
        ``reference-too-small``: none of them has enough. As `freeze`.

    """
    observations = ledger.observations.of_model(
        acceptance.model_digest, after=since, until=acceptance.frozen_at
    )
    counted: dict[Stratum, int] = {}
    for one in observations:
        counted[one.stratum] = counted.get(one.stratum, 0) + 1
    enough = [stratum for stratum, n in counted.items() if n >= FEWEST]
    if not enough:
        raise ConfigError(
            "reference-too-small",
            f"No scanner has {FEWEST} studies yet; 300 make a reference that is not provisional.",
        )
    earlier = ledger.monitoring.references(acceptance.model_digest)
    frozen = tuple(
        freeze(
            observations,
            stratum,
            acceptance,
            version=1 + sum(one.stratum == stratum for one in earlier),
        )
        for stratum in sorted(enough, key=str)
    )
    for reference in frozen:
        ledger.monitoring.freeze(reference)
        ledger.monitoring.accept_stratum(reference)
    close_superseded(ledger, now=acceptance.frozen_at)
    return frozen


def close_superseded(ledger: Ledger, *, now: datetime) -> None:
    """Close what is open on references that are charted no more: nothing else ever would."""
    references = ledger.monitoring.references()
    for current in newest(references):
        earlier = [
            one.reference_id
            for one in references
            if (one.model_digest, one.stratum) == (current.model_digest, current.stratum)
            and one is not current
        ]
        if earlier:
            ledger.monitoring.supersede(earlier, by=current.reference_id, at=now)


def turn_back(ledger: Ledger, *, now: datetime, by: str) -> int:
    """Let the charts go on from now, where a clock that ran ahead took them beyond it.

    Return how many references they are of. Raises ConfigError ``person-unnamed``.
    """
    current = [one.reference_id for one in newest(ledger.monitoring.references())]
    return ledger.monitoring.turn_back(current, to=now, by=by)


def newest(references: Iterable[Reference]) -> tuple[Reference, ...]:
    """Return the reference of each model and stratum that is charted."""
    last = {(one.model_digest, one.stratum): one for one in references}
    return tuple(last.values())


def watch_models(ledger: Ledger, policy: Policy, *, now: datetime) -> Watched:
    """Chart what came since the last time, and return what it says. Doing it twice does no harm.

    What hinders the charts of one model is raised once those of the others are done.

    Raises
    ------
    Transient
        ``clock-behind``: more was charted than this clock allows of. As `MonitoringStore.record`.
    Defect
        ``not-charted``: the features of a model are no numbers that a chart can hold.

    """
    close_superseded(ledger, now=now)
    by_model: dict[str, list[Reference]] = {}
    for one in newest(ledger.monitoring.references()):
        by_model.setdefault(one.model_digest, []).append(one)
    evaluations, strata = list[tuple["Reference", "Evaluation"]](), list["Stratum"]()
    hindrances = list[ClicEdgeError]()
    for references in by_model.values():
        try:
            done, new = _watch(ledger, references, policy, now=now)
        except ClicEdgeError as error:
            hindrances.append(error)
            continue
        except (ArithmeticError, ValueError):
            # Numbers at the end of what a float can hold may not end the worker.
            hindrances.append(
                Defect("not-charted", "A model's features can't be charted; look at its log.")
            )
            continue
        evaluations += done
        strata += new
    for hindrance in hindrances:
        raise hindrance
    return Watched(
        evaluations=tuple(evaluations),
        new_strata=tuple(strata),
        ahead=ledger.observations.ahead_of(now),
        demands=demanded(ledger, policy),
    )


def demanded(ledger: Ledger, policy: Policy) -> tuple[Demand, ...]:
    """Return what the stop rules ask for: for what is open, and for what they have not seen yet."""
    seen = {one.alarm_id for one in ledger.monitoring.acknowledgements()}
    return demands(ledger.monitoring.asking(), policy, acknowledged=seen)


def patrol(ledger: Ledger, policy: Policy, *, now: datetime) -> None:
    """Watch the models and do what the stop rules say; what hinders it is told, and tried again."""
    evaluations: tuple[tuple[Reference, Evaluation], ...] = ()
    try:
        evaluations = watch_models(ledger, policy, now=now).evaluations
    except ClicEdgeError as error:
        telemetry.watch_failed(code=error.code)
        _tell_hindrance(ledger, error.code)
    for demand in demanded(ledger, policy):
        try:
            obey(ledger, demand)
        except ClicEdgeError as error:
            telemetry.watch_failed(code=error.code)
    for reference, evaluation in evaluations:
        for alarm in evaluation.opened:
            # The value of a word stays out of the log.
            telemetry.drift_alarm(
                model=f"{reference.model_id} {reference.model_version}",
                chart=alarm.chart.partition("=")[0],
                severity=alarm.severity,
            )


def _tell_hindrance(ledger: Ledger, code: str) -> None:
    """Let people know, once a day, that a model is not watched."""
    now = datetime.now(UTC)
    if code != "charted-elsewhere":  # another process does it
        ledger.notices.put(
            Notice(
                kind=NoticeKind.WATCH_FAILED,
                key=f"{code} {now:%Y-%m-%d}",
                at=now,
                urgency=Urgency.ERROR,
                detail=code,
                path="/alarms",
            )
        )


def obey(ledger: Ledger, demand: Demand) -> tuple[StateEvent, ...]:
    """Take the model out of every pipeline where it is active, as a stop rule demands it.

    Only a person can make it active again, and has thereby answered what had stopped it: it stays
    active until a chart confirms anew. Return the moves: none for a warning, and none where the
    model is not active any more.
    """
    moves = list["StateEvent"]()
    if to := _STATES.get(demand.response):
        for place, event in _active(ledger, demand.model_digest):
            if unanswered := [one for one in demand.alarms if not _is_answered(one, event)]:
                reason = _reason(unanswered[0])
                moves.append(take_out(ledger.standing, place, to, reason=reason))
    ledger.monitoring.acted((one.alarm_id for one in demand.alarms), at=datetime.now(UTC))
    return tuple(moves)


def _active(ledger: Ledger, model_digest: str) -> list[tuple[Placement, StateEvent]]:
    standing = {one.placement: one for one in ledger.standing.history()}
    return [
        (place, event)
        for place, event in standing.items()
        if place.digest == model_digest and event.now is ModelState.ACTIVE
    ]


def _is_answered(alarm: Alarm, active: StateEvent) -> bool:
    """Whether a person made the model active after the stop rule had acted on the alarm."""
    by_a_person = not is_reserved(active.person)
    return by_a_person and alarm.acted_at is not None and alarm.acted_at <= active.at


def _reason(alarm: Alarm) -> str:
    # Readers may see it, so it names the chart and no value of an image.
    if alarm.channel is Channel.CONSTANCY:
        return (
            f"The constancy check of {alarm.opened_at:%Y-%m-%d} found that the model does not say "
            f"of its phantoms what it was accepted with (alarm {alarm.alarm_id[:8]})."
        )
    return (
        f"The monitor's chart of {alarm.chart.partition('=')[0]} has left its limits on "
        f"{alarm.opened_at:%Y-%m-%d} (alarm {alarm.alarm_id[:8]})."
    )


def _watch(
    ledger: Ledger, references: list[Reference], policy: Policy, *, now: datetime
) -> tuple[list[tuple[Reference, Evaluation]], list[Stratum]]:
    progress = {
        one.reference_id: ledger.monitoring.progress(one.reference_id) for one in references
    }
    begins = {one.reference_id: progress[one.reference_id][0] or one.last_at for one in references}
    if max(begins.values()) > now:
        raise Transient(
            "clock-behind",
            "The clock is behind the last study that was charted: set it right; where it is right "
            "now and ran ahead before, `clic-edge drift turn-back` goes on from now.",
        )
    observations = ledger.observations.of_model(
        references[0].model_digest, after=min(begins.values()), until=now - SETTLED
    )
    done = []
    for one in references:
        since, memory = progress[one.reference_id]
        after = begins[one.reference_id]
        if not observations or observations[-1].at <= after:
            continue
        fresh = [seen for seen in observations if seen.at > after and seen.stratum == one.stratum]
        evaluation = (
            evaluate(one, fresh, policy=policy, memory=memory)
            if fresh
            else _nothing(memory, until=after)
        )
        # All scanners go on together: nobody reads back to the last study of one that is gone.
        moved_on = replace(evaluation, charted_until=observations[-1].at)
        ledger.monitoring.record(one.reference_id, moved_on, since=since)
        if fresh:
            done.append((one, evaluation))
    alarms = _new_strata(references, observations)
    new = [one.stratum for one in alarms if ledger.monitoring.open([one])]
    return done, new


def _nothing(memory: tuple[ChartMemory, ...], *, until: datetime) -> Evaluation:
    return Evaluation(
        charted=0, charted_until=until, points=(), opened=(), turned=(), memory=memory
    )


def _new_strata(
    references: list[Reference], observations: Iterable[Observation]
) -> tuple[Alarm, ...]:
    """Return an alarm for each scanner, or software of one, that has no reference."""
    known = {one.stratum for one in references} | {EVERY}
    first: dict[Stratum, datetime] = {}
    for one in observations:
        if one.stratum not in known:
            first.setdefault(one.stratum, one.at)
    model = references[0]
    return tuple(
        Alarm(
            alarm_id=alarm_id(model.model_digest, STRATUM_CHART, *_parts(stratum)),
            model_id=model.model_id,
            model_digest=model.model_digest,
            reference_id=None,
            stratum=stratum,
            chart=STRATUM_CHART,
            direction=Direction.UP,
            channel=Channel.ACQUISITION,
            severity=Severity.WARNING,
            opened_at=at,
            sentence=f"{stratum} has no reference: its studies are not charted until a person "
            "accepts one.",
            is_event=True,
        )
        for stratum, at in first.items()
    )


def _parts(stratum: Stratum) -> tuple[str, str, str]:
    return (stratum.manufacturer, stratum.model_name, stratum.software_versions)
