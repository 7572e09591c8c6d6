"""The monitor on the ledger, on SQLite and on PostgreSQL: frozen, charted once, acknowledged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from observed import BEGIN, SKYRA, STEP, Habit, acceptance, log, observations

from clic_edge import telemetry
from clic_edge.domain.assessment import Assessment, Reason, Source, Verdict
from clic_edge.domain.monitoring import (
    EVERY,
    Acknowledgement,
    AlarmComment,
    Channel,
    Response,
    Severity,
)
from clic_edge.domain.result import SeriesRefusal
from clic_edge.domain.standing import ModelState, Placement
from clic_edge.drift.plan import Policy
from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.ledger import Ledger
from clic_edge.ledger.alarms import WantedAlarms
from clic_edge.ledger.audit import WantedDeeds
from clic_edge.ledger.schema import audit_events, drift_references
from clic_edge.pipeline.monitoring import (
    STRATUM_CHART,
    freeze_references,
    obey,
    patrol,
    turn_back,
    watch_models,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from clic_edge.domain.monitoring import Alarm, ChartPoint, Observation

POLICY = Policy(responses=((Channel.IMAGE, Response.SUSPEND), (Channel.OUTPUT, Response.SHADOW)))
STUDIES = 320
FROZEN_AT = BEGIN + STUDIES * STEP
NOISY = Habit(shift={"input.noise": 2.0})


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """Return a ledger with usual studies and their references, nothing charted yet."""
    log(engine, observations(STUDIES))
    found = Ledger.on(engine)
    freeze_references(found, acceptance(frozen_at=FROZEN_AT))
    return found


def later(n: int, habit: Habit | None = None, *, after: int = 0) -> list[Observation]:
    return observations(n, begin=FROZEN_AT + (1 + after) * STEP, habit=habit, seed=2 + after)


def watched_at(ledger: Ledger, steps: float, policy: Policy = POLICY) -> tuple[Alarm, ...]:
    watch_models(ledger, policy, now=FROZEN_AT + steps * STEP)
    return ledger.monitoring.alarms()


def test_a_reference_is_frozen_for_each_scanner_and_for_all(ledger: Ledger, engine: Engine) -> None:
    references = ledger.monitoring.references()
    assert {one.stratum for one in references} == {SKYRA, EVERY}
    assert {one.observations for one in references} == {STUDIES}
    with engine.connect() as connection:
        query = sa.select(audit_events.c.detail).where(audit_events.c.action == "reference-frozen")
        details = connection.scalars(query).all()
    assert len(details) == 2
    assert all(any(one.digest in detail for one in references) for detail in details)


def test_a_reference_that_somebody_changed_is_a_defect(ledger: Ledger, engine: Engine) -> None:
    with engine.begin() as connection:
        content = connection.scalars(sa.select(drift_references.c.content)).first()
        changed = bytes(content).replace(b"0.", b"1.", 1)
        connection.execute(drift_references.update().values(content=changed))
    with pytest.raises(Defect) as caught:
        ledger.monitoring.references()
    assert caught.value.code == "reference-changed"


def test_a_second_acceptance_is_a_new_version_and_takes_over(
    ledger: Ledger, engine: Engine
) -> None:
    log(engine, later(60))
    freeze_references(
        ledger, acceptance(frozen_at=FROZEN_AT + 70 * STEP, frozen_by="Bo"), since=FROZEN_AT
    )
    versions = [one.version for one in ledger.monitoring.references() if one.stratum == SKYRA]
    assert versions == [1, 2]
    watched = watch_models(ledger, POLICY, now=FROZEN_AT + 90 * STEP)
    assert watched.evaluations == (), "what the new one is made of is not charted against it"


@pytest.mark.slow
def test_what_came_is_charted_once_however_often_it_is_evaluated(
    ledger: Ledger, engine: Engine
) -> None:
    log(engine, later(40, NOISY))
    first = watched_at(ledger, 45)
    points = _points(ledger)
    assert watched_at(ledger, 45) == first
    assert _points(ledger) == points
    assert sum(one.n for one in points if (one.chart, one.direction) == ("input.noise", "up")) == 40


def test_evaluating_in_the_middle_of_a_day_adds_up_to_the_same_points(
    ledger: Ledger, engine: Engine
) -> None:
    seen = later(60)
    log(engine, seen)
    for steps in (13.5, 31.5, 70):
        watched_at(ledger, steps)
    piecewise = _points(ledger)
    digest = "e" * 64
    log(engine, observations(STUDIES), digest=digest)
    log(engine, seen, digest=digest)
    freeze_references(ledger, acceptance(frozen_at=FROZEN_AT, model_digest=digest))
    watched_at(ledger, 70)
    assert _same(_points(ledger, digest), piecewise)


def _points(ledger: Ledger, digest: str = "d" * 64) -> list[ChartPoint]:
    (scanner,) = [one for one in ledger.monitoring.references(digest) if one.stratum == SKYRA]
    return list(ledger.monitoring.points(scanner.reference_id))


def _same(ours: list[ChartPoint], theirs: list[ChartPoint]) -> bool:
    return len(ours) == len(theirs) > 0 and all(
        replace(a, value=0.0, statistic=0.0) == replace(b, value=0.0, statistic=0.0)
        and (a.value, a.statistic) == pytest.approx((b.value, b.statistic))
        for a, b in zip(ours, theirs, strict=True)
    )


def test_an_alarm_is_kept_confirmed_and_closed(ledger: Ledger, engine: Engine) -> None:
    log(engine, later(30, NOISY))
    noise = [one for one in watched_at(ledger, 35) if one.chart == "input.noise"]
    assert [one.severity for one in noise] == [Severity.ACTION]
    assert noise[0].confirmed_at is not None
    assert noise[0].closed_at is None
    log(engine, later(140, after=40))
    closed = [one for one in watched_at(ledger, 190) if one.alarm_id == noise[0].alarm_id]
    assert closed[0].closed_at is not None
    assert noise[0] not in ledger.monitoring.alarms(is_open=True)


def test_an_acknowledged_alarm_asks_for_nothing_more(ledger: Ledger, engine: Engine) -> None:
    log(engine, later(30, NOISY))
    (demand, *_) = watch_models(ledger, POLICY, now=FROZEN_AT + 35 * STEP).demands
    assert demand.response is Response.SUSPEND
    for one in demand.alarms:
        word = Acknowledgement(alarm_id=one.alarm_id[:8], at=BEGIN, person=" Ida ", reason="Coil.")
        assert ledger.monitoring.acknowledge(word).alarm_id == one.alarm_id
    known = ledger.monitoring.acknowledgements()
    assert {(one.person, one.reason) for one in known} == {("Ida", "Coil.")}
    assert all(
        one.response is not Response.SUSPEND
        for one in watch_models(ledger, POLICY, now=FROZEN_AT + 35 * STEP).demands
    )


def test_what_a_case_tells_of_alarms_is_settled_once(ledger: Ledger, engine: Engine) -> None:
    digest, case_id = "d" * 64, f"case of {'d' * 8}"
    log(engine, later(30, NOISY))
    noise = [one for one in watched_at(ledger, 35) if one.severity is Severity.ACTION]

    def told(case_id: str, *, model: str = digest) -> datetime | None:
        return ledger.alarms.told(case_id, model_digest=model, answered_at=None)

    assert told(case_id) == min(one.opened_at for one in noise)
    assert told(case_id, model="e" * 64) is None
    log(engine, observations(1), digest="f" * 64)
    for one in noise:
        word = Acknowledgement(alarm_id=one.alarm_id, at=BEGIN, person="Ida", reason="Coil.")
        ledger.monitoring.acknowledge(word)
    assert told(case_id) is not None, "what it told first"
    assert told(f"case of {'f' * 8}") is None


def test_an_acknowledgement_needs_an_alarm_a_name_and_a_reason(
    ledger: Ledger, engine: Engine
) -> None:
    log(engine, later(30, NOISY))
    (alarm, *_) = watched_at(ledger, 35)
    for changes, code in (
        ({"alarm_id": "nothing"}, "no-such-alarm"),
        ({"alarm_id": "%"}, "no-such-alarm"),
        ({"person": " "}, "acknowledgement-unsigned"),
        ({"reason": ""}, "acknowledgement-unsigned"),
    ):
        given = {"alarm_id": alarm.alarm_id, "at": BEGIN, "person": "Ida", "reason": "Coil."}
        with pytest.raises(ConfigError) as caught:
            ledger.monitoring.acknowledge(Acknowledgement(**(given | changes)))
        assert caught.value.code == code
    assert ledger.monitoring.acknowledgements() == ()


@pytest.mark.slow
def test_a_new_software_opens_a_stratum_and_rings_once(ledger: Ledger, engine: Engine) -> None:
    updated = replace(SKYRA, software_versions="E12")
    log(engine, later(40, replace(NOISY, stratum=updated)))
    watched = watch_models(ledger, POLICY, now=FROZEN_AT + 45 * STEP)
    assert watched.new_strata == (updated,)
    log(engine, later(20, replace(NOISY, stratum=updated), after=50))
    assert watch_models(ledger, POLICY, now=FROZEN_AT + 80 * STEP).new_strata == ()
    (alarm,) = ledger.monitoring.alarms(is_open=True)
    assert (alarm.chart, alarm.stratum, alarm.reference_id) == (STRATUM_CHART, updated, None)
    word = Acknowledgement(alarm_id=alarm.alarm_id, at=BEGIN, person="Ida", reason="Upgrade.")
    ledger.monitoring.acknowledge(word)
    assert ledger.monitoring.alarms(is_open=True) == ()
    freeze_references(
        ledger, acceptance(frozen_at=FROZEN_AT + 80 * STEP), since=FROZEN_AT + 2 * STEP
    )
    log(engine, later(30, replace(NOISY, stratum=updated), after=90))
    assert [one for one in watched_at(ledger, 130) if one.stratum == updated] == [
        replace(alarm, closed_at=BEGIN)
    ], "what is usual for the new software raises no alarm"


def test_refusals_and_readers_are_charted_for_all_scanners(ledger: Ledger, engine: Engine) -> None:
    seen = later(40)
    ids = log(engine, seen)
    for number in range(20):
        ledger.assessments.record([_overridden(ids[number], seen[number].at)])
    (everybody,) = [one for one in ledger.monitoring.references() if one.stratum == EVERY]
    found = ledger.observations.of_model("d" * 64, after=FROZEN_AT, until=FROZEN_AT + 99 * STEP)
    named = [{it.name: it.number for it in one.features} for one in found if one.stratum == EVERY]
    assert sum("rate.overridden" in one for one in named) == 20
    overridden = [one for one in named if "rate.overridden" in one]
    assert {one["rate.overridden"] for one in overridden} == {1.0}
    assert {one["truth.organ.dice"] for one in overridden} == {0.5}
    assert all(one["truth.organ.volume_bias_mm3"] != 0 for one in overridden)
    assert {it.name for it in everybody.numbers} == {"rate.failed", "rate.refused"}
    refusal = SeriesRefusal(series_id="x", code="c", reason="r")
    ledger.deliveries.refuse("case of dddddddd", refusal, model_digest="d" * 64)
    assert len(_refused(ledger, after=FROZEN_AT)) == 1, "though its case began before"


def test_that_a_model_is_suspended_is_no_refusal_of_the_model(ledger: Ledger) -> None:
    refusal = SeriesRefusal(series_id="x", code="model-suspended", reason="r")
    ledger.deliveries.refuse("case of dddddddd", refusal, model_digest="d" * 64)
    assert _refused(ledger, after=None) == []


def _refused(ledger: Ledger, after: datetime | None) -> list[Observation]:
    found = ledger.observations.of_model("d" * 64, after=after, until=datetime.now(UTC))
    return [
        one for one in found if any(it.name == "rate.refused" and it.number for it in one.features)
    ]


def _overridden(prediction_id: str, at: datetime) -> Assessment:
    return Assessment(
        case_id="case of dddddddd",
        prediction_id=prediction_id,
        finding="organ",
        verdict=Verdict.MODIFIED,
        reason=Reason.BOUNDARY,
        reader="r",
        source=Source.SEGMENTATION,
        at=at,
        dice=0.5,
        volume_mm3=1000.0,
    )


def test_two_processes_that_chart_at_once_chart_once(ledger: Ledger, engine: Engine) -> None:
    log(engine, later(20))
    (scanner, *_) = [one for one in ledger.monitoring.references() if one.stratum == SKYRA]
    watched = watch_models(ledger, POLICY, now=FROZEN_AT + 25 * STEP)
    (done,) = [done for one, done in watched.evaluations if one.stratum == SKYRA]
    points = ledger.monitoring.points(scanner.reference_id)
    for since in (None, FROZEN_AT):
        with pytest.raises(Transient) as caught:
            ledger.monitoring.record(scanner.reference_id, done, since=since)
        assert caught.value.code == "charted-elsewhere"
    assert ledger.monitoring.points(scanner.reference_id) == points


def test_predictions_from_the_future_wait_and_a_clock_that_fell_back_is_told(
    ledger: Ledger, engine: Engine
) -> None:
    log(engine, later(20))
    watched = watch_models(ledger, POLICY, now=FROZEN_AT + 10.5 * STEP)
    assert watched.ahead == 10
    assert {done.charted for _, done in watched.evaluations} == {10}
    with pytest.raises(Transient) as caught:
        watch_models(ledger, POLICY, now=FROZEN_AT + 2 * STEP)
    assert caught.value.code == "clock-behind"
    assert watch_models(ledger, POLICY, now=FROZEN_AT + 30 * STEP).ahead == 0


@pytest.mark.parametrize(
    ("response", "state"),
    [
        (Response.WARN, ModelState.ACTIVE),
        (Response.SHADOW, ModelState.SHADOW),
        (Response.SUSPEND, ModelState.SUSPENDED),
    ],
)
def test_a_stop_rule_takes_the_model_out_of_where_it_is_active_and_says_why(
    ledger: Ledger, engine: Engine, response: Response, state: ModelState
) -> None:
    place = Placement(pipeline="organs", model_id="organs", version="1", digest="d" * 64)
    ledger.standing.enrol(place, [], decides=True)
    log(engine, later(30, NOISY))
    policy = Policy(responses=((Channel.IMAGE, response),))
    (demand,) = watch_models(ledger, policy, now=FROZEN_AT + 35 * STEP).demands
    assert demand.response is response
    moves = obey(ledger, demand)
    assert ledger.standing.standing("organs")["d" * 64].now is state
    assert [one.person for one in moves] == ([] if response is Response.WARN else ["stop rule"])
    if moves:
        assert moves[0].reason.startswith("The monitor's chart of input.noise has left its limits")
    assert obey(ledger, demand) == (), "doing it twice does no harm"


def active(ledger: Ledger) -> Placement:
    place = Placement(pipeline="organs", model_id="organs", version="1", digest="d" * 64)
    ledger.standing.enrol(place, [], decides=True)
    return place


def now_is(ledger: Ledger) -> ModelState:
    return ledger.standing.standing("organs")["d" * 64].now


def patrolled(ledger: Ledger, steps: float) -> ModelState:
    patrol(ledger, POLICY, now=FROZEN_AT + steps * STEP)
    return now_is(ledger)


def test_who_makes_a_model_active_has_answered_until_a_chart_confirms_anew(
    ledger: Ledger, engine: Engine
) -> None:
    place = active(ledger)
    log(engine, later(30, NOISY))
    assert patrolled(ledger, 35) is ModelState.SUSPENDED
    ledger.standing.move(place, ModelState.ACTIVE, person="Ida", reason="Coil.", evidence="{}")
    log(engine, later(5, NOISY, after=30))
    assert patrolled(ledger, 41) is ModelState.ACTIVE
    assert ledger.monitoring.acknowledgements() == ()
    log(engine, later(140, after=40))
    assert patrolled(ledger, 190) is ModelState.ACTIVE
    log(engine, later(30, NOISY, after=190))
    assert patrolled(ledger, 225) is ModelState.SUSPENDED


def test_an_alarm_that_came_and_went_between_two_looks_stops_the_model_once(
    ledger: Ledger, engine: Engine
) -> None:
    place = active(ledger)
    log(engine, later(30, NOISY))
    log(engine, later(140, after=40))
    assert patrolled(ledger, 190) is ModelState.SUSPENDED
    (noise,) = [one for one in ledger.monitoring.alarms() if one.chart == "input.noise"]
    assert noise.closed_at is not None
    assert noise.acted_at is not None
    ledger.standing.move(place, ModelState.ACTIVE, person="Ida", reason="Coil.", evidence="{}")
    assert patrolled(ledger, 195) is ModelState.ACTIVE


def test_alarms_of_a_reference_that_another_took_the_place_of_close(
    ledger: Ledger, engine: Engine
) -> None:
    log(engine, later(30, NOISY))
    before = watched_at(ledger, 35)
    assert {one.closed_at for one in before} == {None}
    freeze_references(
        ledger, acceptance(frozen_at=FROZEN_AT + 40 * STEP, frozen_by="Bo"), since=FROZEN_AT
    )
    assert ledger.monitoring.alarms(is_open=True) == ()
    newest = [one for one in ledger.monitoring.references() if one.stratum == SKYRA][-1]
    assert {one.closed_why for one in ledger.monitoring.alarms()} == {
        f"superseded by reference {newest.reference_id}"
    }
    assert watch_models(ledger, POLICY, now=FROZEN_AT + 45 * STEP).demands == ()


def test_a_reference_for_a_scanner_closes_the_alarm_that_it_had_none(
    ledger: Ledger, engine: Engine
) -> None:
    updated = replace(SKYRA, software_versions="E12")
    log(engine, later(40, Habit(stratum=updated)))
    watched_at(ledger, 45)
    freeze_references(
        ledger, acceptance(frozen_at=FROZEN_AT + 50 * STEP), since=FROZEN_AT + STEP / 2
    )
    (alarm,) = ledger.monitoring.alarms()
    assert alarm.closed_why.startswith("accepted as reference")


def test_nobody_reads_back_to_the_last_study_of_a_scanner_that_is_gone(
    ledger: Ledger, engine: Engine
) -> None:
    gone = replace(SKYRA, model_name="Avanto")
    log(engine, observations(40, begin=BEGIN + STEP / 3, habit=Habit(stratum=gone)))
    freeze_references(ledger, acceptance(frozen_at=FROZEN_AT))
    log(engine, later(60))
    for steps in (20.5, 70):
        watched_at(ledger, steps)
        newest = {one.stratum: one for one in ledger.monitoring.references()}
        assert newest.keys() == {SKYRA, gone, EVERY}
        until = {ledger.monitoring.progress(one.reference_id)[0] for one in newest.values()}
        assert until == {FROZEN_AT + min(steps - 0.5, 60) * STEP}


def test_after_a_clock_that_ran_a_year_ahead_a_person_lets_the_charts_go_on(
    ledger: Ledger, engine: Engine
) -> None:
    place = active(ledger)
    year = timedelta(days=365)
    log(engine, [replace(one, at=one.at + year) for one in later(5)])
    patrol(ledger, POLICY, now=FROZEN_AT + year + 20 * STEP)
    log(engine, later(30, NOISY, after=10))
    assert patrolled(ledger, 20) is ModelState.ACTIVE, "nothing is charted while it is behind"
    with pytest.raises(ConfigError) as caught:
        turn_back(ledger, now=FROZEN_AT + 11 * STEP, by="stop rule")
    assert caught.value.code == "person-unnamed"
    assert turn_back(ledger, now=FROZEN_AT + 11 * STEP, by="Ida") == 2
    assert turn_back(ledger, now=FROZEN_AT + 11 * STEP, by="Ida") == 0
    assert patrolled(ledger, 45) is ModelState.SUSPENDED
    assert now_is(ledger) is ledger.standing.standing(place.pipeline)[place.digest].now


def test_pages_and_prometheus_are_answered_alike(ledger: Ledger, engine: Engine) -> None:
    active(ledger)
    log(engine, later(30, NOISY))
    assert patrolled(ledger, 35) is ModelState.SUSPENDED
    (noise,) = [one for one in ledger.monitoring.alarms() if one.chart == "input.noise"]
    said = AlarmComment(alarm_id=noise.alarm_id, at=FROZEN_AT, person="Ida", text=" Monday. ")
    ledger.alarms.comment(said)
    assert [one.text for one in ledger.alarms.comments(noise.alarm_id)] == ["Monday."]
    wanted = WantedAlarms(state="open", model="organs", severity="action")
    newest, *others = ledger.alarms.page(wanted, limit=99)
    assert ledger.alarms.page(wanted, limit=99, after=(newest.opened_at, newest.alarm_id)) == (
        tuple(others)
    )
    trail = list(ledger.audit.all(WantedDeeds()))
    assert [one.at for one in trail] == sorted((one.at for one in trail), reverse=True)
    stopped = ledger.audit.page(WantedDeeds(person="stop rule", model="organs 1"), limit=9)
    assert [(one.trail, one.action) for one in stopped] == [("models", "model-suspended")]
    persons, actions = ledger.audit.choices()
    assert {"Ida", "Ida Fysiker", "configuration", "stop rule"} <= set(persons)
    assert {"alarm-commented", "alarm-opened", "model-active"} <= set(actions)
    gauges = ledger.gauges.read()
    assert gauges.models == (("organs", "organs", "1", "suspended"),)
    assert sum(one.count for one in gauges.cases) == 1
    assert {one.labels for one in gauges.alarms} >= {("organs", "action")}


def test_a_model_without_reference_is_watched_by_nobody(engine: Engine) -> None:
    log(engine, observations(20))
    ledger = Ledger.on(engine)
    watched = watch_models(ledger, POLICY, now=datetime.now(UTC) + timedelta(days=1))
    assert watched.evaluations == ()
    with pytest.raises(ConfigError) as caught:
        freeze_references(ledger, acceptance(frozen_at=FROZEN_AT))
    assert caught.value.code == "reference-too-small"


def test_the_worker_watches_obeys_and_tells_what_hinders_it(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[dict[str, object]] = []
    monkeypatch.setattr(
        telemetry,
        "_tell",
        lambda event, _level="info", **told: events.append({"event": event, **told}),
    )
    place = Placement(pipeline="organs", model_id="organs", version="1", digest="d" * 64)
    ledger.standing.enrol(place, [], decides=True)
    log(engine, later(30, NOISY))
    patrol(ledger, POLICY, now=FROZEN_AT + 35 * STEP)
    assert ledger.standing.standing("organs")["d" * 64].now is ModelState.SUSPENDED
    rung = [one for one in events if one["event"] == "drift-alarm"]
    assert "input.noise" in {one["chart"] for one in rung}
    assert {(one["model"], one["severity"]) for one in rung} == {("organs 1", "warning")}
    patrol(ledger, POLICY, now=FROZEN_AT)
    assert [one["code"] for one in events if one["event"] == "watch-failed"] == ["clock-behind"]


def test_numbers_at_the_end_of_what_a_float_holds_end_no_worker(
    ledger: Ledger, engine: Engine
) -> None:
    log(engine, later(60, Habit(shift={"input.noise": 2361.0})))
    for steps in (20, 40, 60, 80):
        patrol(ledger, POLICY, now=FROZEN_AT + steps * STEP)


def test_what_hinders_the_watch_on_one_model_does_not_save_another_from_its_stop_rule(
    ledger: Ledger, engine: Engine
) -> None:
    log(engine, later(20, after=100))
    watched_at(ledger, 125)  # by a clock that was ahead
    digest = "e" * 64
    place = Placement(pipeline="organs", model_id="organs", version="2", digest=digest)
    ledger.standing.enrol(place, [], decides=True)
    log(engine, observations(STUDIES), digest=digest)
    log(engine, later(30, NOISY), digest=digest)
    freeze_references(ledger, acceptance(frozen_at=FROZEN_AT, model_digest=digest))
    patrol(ledger, POLICY, now=FROZEN_AT + 35 * STEP)
    assert ledger.standing.standing("organs")[digest].now is ModelState.SUSPENDED
