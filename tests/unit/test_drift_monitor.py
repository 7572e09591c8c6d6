"""Prediction log in, points and alarms out: what moves is named, and odd input is defined."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from observed import BEGIN, SKYRA, STEP, Habit, acceptance, observations, reference

from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import (
    EVERY,
    Alarm,
    Channel,
    Direction,
    Evaluation,
    Observation,
    Reference,
    Response,
    Severity,
    Stratum,
    Turn,
)
from clic_edge.drift.design import Kind
from clic_edge.drift.monitor import evaluate
from clic_edge.drift.plan import Policy, plan_charts
from clic_edge.drift.reference import ODD, channel_of, freeze
from clic_edge.drift.stop import demands
from clic_edge.drift.wording import together
from clic_edge.errors import ConfigError

POLICY = Policy()
AFTER = BEGIN + 600 * STEP


@pytest.fixture(scope="module")
def frozen() -> Reference:
    return reference()


def later(n: int, habit: Habit | None = None, seed: int = 2) -> list[Observation]:
    return observations(n, begin=AFTER + STEP, habit=habit, seed=seed)


def without(one: Observation, name: str) -> Observation:
    return replace(one, features=tuple(f for f in one.features if f.name != name))


def with_number(one: Observation, name: str, number: float) -> Observation:
    return replace(
        without(one, name),
        features=(*without(one, name).features, Feature(name=name, number=number)),
    )


# --- references


def test_a_reference_is_sealed_and_the_same_observations_have_the_same_seal() -> None:
    first, again = reference(), reference()
    assert first.digest == again.digest
    assert Reference.from_content(first.content) == first
    assert Reference.from_content(first.content).digest == first.digest


def test_a_number_that_changes_breaks_the_seal(frozen: Reference) -> None:
    column = frozen.numbers[0]
    changed = (replace(column, values=(*column.values[:-1], 0.1)), *frozen.numbers[1:])
    assert replace(frozen, numbers=changed).digest != frozen.digest
    assert replace(frozen, frozen_by="Somebody Else").digest != frozen.digest


def test_a_reference_needs_observations_and_a_person() -> None:
    with pytest.raises(ConfigError) as caught:
        freeze(observations(29), SKYRA, acceptance())
    assert caught.value.code == "reference-too-small"
    with pytest.raises(ConfigError) as caught:
        freeze(observations(30), SKYRA, acceptance(frozen_by=" "))
    assert caught.value.code == "reference-unsigned"


def test_numbers_that_are_none_are_absent_from_a_reference() -> None:
    seen = observations(40)
    seen[3] = with_number(seen[3], "input.noise", float("nan"))
    seen[4] = without(seen[4], "input.noise")
    made = freeze(seen, SKYRA, acceptance())
    (noise,) = [one for one in made.numbers if one.name == "input.noise"]
    assert noise.values[3] is noise.values[4] is None
    assert Reference.from_content(made.content) == made


# --- the plan


@pytest.mark.slow
def test_every_feature_that_can_move_has_a_chart_and_shares_the_false_alarms(
    frozen: Reference,
) -> None:
    plan = plan_charts(frozen, POLICY)
    assert sorted({one.feature for one in plan.charts}) == [
        "input.intensity.mean",
        "input.noise",
        "input.sex",
        ODD,
        "output.foreground_share",
        "output.organ.pieces",
        "output.organ.volume_mm3",
    ]
    numbers = {one.feature: one.design for one in plan.charts if one.weights is None}
    shares = [one.design for one in plan.charts if one.weights]
    total = sum(one.false_alarms_per_year for one in (*numbers.values(), *shares))
    assert total <= 7.01, "seven charts, none more than once a year"
    many = plan_charts(frozen, Policy(false_alarms_per_year=0.7))
    for one in many.charts:
        assert one.design.false_alarms_per_year <= 0.1001
        assert {delay.points > 0 for delay in one.design.delays} == {True}


def test_a_feature_that_never_varied_has_no_chart_but_a_vocabulary(frozen: Reference) -> None:
    plan = plan_charts(frozen, POLICY)
    assert not any(one.feature == "input.sequence_variant" for one in plan.charts)
    assert dict(plan.vocabularies)["input.sequence_variant"] == {"SP"}
    assert "input.manufacturer" not in dict(plan.vocabularies), "that is the stratum"


def test_rare_failures_are_charted_by_the_gaps_between_them() -> None:
    seen = [
        Observation(
            at=BEGIN + index * STEP,
            stratum=EVERY,
            features=(
                Feature(name="rate.failed", number=float(index in {40, 300})),
                Feature(name="rate.refused", number=float(index % 10 == 0)),
            ),
        )
        for index in range(400)
    ]
    made = freeze(seen, EVERY, acceptance())
    kinds = {one.feature: one.design.kind for one in plan_charts(made, POLICY).charts}
    assert kinds == {"rate.failed": Kind.GAPS, "rate.refused": Kind.RATE}
    more = [
        replace(
            one,
            at=one.at + timedelta(days=30),
            features=(Feature(name="rate.failed", number=number),),
        )
        for one, number in zip(seen, [0.0, 1.0, 1.0, *[0.0] * 97], strict=False)
    ]
    (alarm,) = evaluate(made, more, policy=POLICY).opened
    assert (alarm.chart, alarm.channel) == ("rate.failed", Channel.RATES)
    assert alarm.opened_at == more[2].at


# --- alarms


def alarms_by_chart(evaluation: Evaluation) -> dict[str, Alarm]:
    return {one.chart: one for one in evaluation.opened}


def test_what_stays_the_same_raises_no_alarm(frozen: Reference) -> None:
    assert evaluate(frozen, later(400), policy=POLICY).opened == ()


def test_a_shift_is_named_with_direction_size_and_channel(frozen: Reference) -> None:
    habit = Habit(shift={"output.organ.volume_mm3": -1.0})
    found = evaluate(frozen, later(60, habit), policy=POLICY)
    alarm = alarms_by_chart(found)["output.organ.volume_mm3"]
    assert (alarm.direction, alarm.channel) == (Direction.DOWN, Channel.OUTPUT)
    assert alarm.severity is Severity.WARNING
    (turn,) = [one for one in found.turned if one.alarm_id == alarm.alarm_id]
    assert (turn.turn, turn.severity) == (Turn.CONFIRMED, Severity.ACTION)
    assert turn.sentence.startswith("output.organ.volume_mm3 fell to ")
    size = float(turn.sentence.rpartition("(")[2].partition(" sd")[0])
    assert -1.8 < size < -0.5
    assert alarm.opened_at <= AFTER + 51 * STEP


def test_a_rise_of_a_share_and_a_new_word_are_named(frozen: Reference) -> None:
    habit = Habit(women=0.95, words={"input.sequence_variant": "SK"})
    found = alarms_by_chart(evaluate(frozen, later(200, habit), policy=POLICY))
    (sex,) = [one for one in found.values() if one.chart.startswith("input.sex")]
    assert sex.direction is (Direction.UP if sex.chart.endswith("F") else Direction.DOWN)
    new = found["input.sequence_variant=SK"]
    assert new.is_event
    assert new.opened_at == AFTER + STEP
    assert "the reference never had it" in new.sentence


def test_many_small_oddities_at_once_are_odd_studies(frozen: Reference) -> None:
    """The two outputs rise and fall together; one up and one down is within both ranges."""
    habit = Habit(shift={"output.foreground_share": 1.2, "output.organ.volume_mm3": -1.2})
    assert ODD in alarms_by_chart(evaluate(frozen, later(300, habit), policy=POLICY))


def test_evaluating_day_by_day_is_evaluating_at_once(frozen: Reference) -> None:
    seen = later(300, Habit(shift={"input.noise": 0.6}))
    whole = evaluate(frozen, seen, policy=POLICY)
    opened: list[Alarm] = []
    turned, memory = [], ()
    for start in range(0, 300, 48):
        part = evaluate(frozen, seen[start : start + 48], policy=POLICY, memory=memory)
        memory = part.memory
        opened += part.opened
        turned += part.turned
    assert sorted(opened, key=lambda one: one.alarm_id) == sorted(
        whole.opened, key=lambda one: one.alarm_id
    )
    assert {(one.alarm_id, one.turn, one.at) for one in turned} == {
        (one.alarm_id, one.turn, one.at) for one in whole.turned
    }
    for ours, theirs in zip(memory, whole.memory, strict=True):
        assert ours.total == pytest.approx(theirs.total)
        assert (ours.since, ours.points, ours.alarm_id) == (
            theirs.since,
            theirs.points,
            theirs.alarm_id,
        )


def test_an_alarm_closes_when_it_is_over(frozen: Reference) -> None:
    seen = later(40, Habit(shift={"input.noise": 3.0})) + observations(
        150, begin=AFTER + 41 * STEP, seed=5
    )
    found = evaluate(frozen, seen, policy=POLICY)
    noise = alarms_by_chart(found)["input.noise"]
    turns = [one.turn for one in found.turned if one.alarm_id == noise.alarm_id]
    assert turns == [Turn.CONFIRMED, Turn.CLOSED]


@pytest.mark.slow
def test_of_a_small_reference_alarms_are_advisory() -> None:
    small = freeze(observations(200), SKYRA, acceptance())
    seen = observations(100, begin=AFTER, habit=Habit(shift={"input.noise": 2.0}), seed=4)
    found = evaluate(small, seen, policy=POLICY)
    assert {one.severity for one in (*found.opened, *found.turned)} == {Severity.ADVISORY}
    assert plan_charts(small, POLICY).charts[0].design.provisional


# --- odd input


def test_days_without_studies_have_no_points_and_move_nothing(frozen: Reference) -> None:
    seen = [*later(10), *observations(10, begin=AFTER + timedelta(days=9), seed=3)]
    found = evaluate(frozen, seen, policy=POLICY)
    days = {one.day for one in found.points}
    assert max(days) - min(days) >= timedelta(days=8)
    assert len(days) <= 3
    shifted = [*later(10), *observations(10, begin=AFTER + timedelta(days=2), seed=3)]
    totals = [one.total for one in evaluate(frozen, shifted, policy=POLICY).memory]
    assert totals == [one.total for one in found.memory]


def test_nothing_to_chart_is_no_point_and_no_alarm(frozen: Reference) -> None:
    found = evaluate(frozen, [], policy=POLICY)
    assert (found.charted, found.points, found.opened) == (0, (), ())
    assert found.charted_until == frozen.last_at


def test_a_feature_that_is_missing_or_no_number_is_no_point_of_its_chart(
    frozen: Reference,
) -> None:
    seen = later(60)
    dirty = [
        with_number(one, "input.noise", float("nan")) if index % 2 else without(one, "input.noise")
        for index, one in enumerate(seen)
    ]
    found = evaluate(frozen, dirty, policy=POLICY)
    assert not [one for one in found.points if one.chart in {"input.noise", ODD}]
    clean = evaluate(frozen, seen, policy=POLICY)
    others = [one for one in clean.points if one.chart not in {"input.noise", ODD}]
    assert [one for one in found.points if one.chart not in {"input.noise", ODD}] == others


def test_one_wild_value_opens_no_alarm(frozen: Reference) -> None:
    seen = later(60)
    seen[20] = with_number(seen[20], "input.noise", 1e300)
    seen[21] = with_number(seen[21], "output.organ.volume_mm3", float("inf"))
    assert evaluate(frozen, seen, policy=POLICY).opened == ()


def test_a_feature_that_becomes_constant_is_charted_and_one_that_is_new_is_not(
    frozen: Reference,
) -> None:
    median = float(np.median([v for v in frozen.numbers[1].values if v is not None]))
    name = frozen.numbers[1].name
    seen = [with_number(with_number(one, name, median), "input.never", 7.0) for one in later(200)]
    found = evaluate(frozen, seen, policy=POLICY)
    assert name not in alarms_by_chart(found), "the middle of the reference is no shift"
    assert not [one for one in found.points if one.chart == "input.never"]


def test_observations_are_charted_in_their_order_whatever_the_order_given(
    frozen: Reference,
) -> None:
    seen = later(50, Habit(shift={"input.noise": 1.5}))
    assert evaluate(frozen, reversed(seen), policy=POLICY) == evaluate(frozen, seen, policy=POLICY)


def test_another_scanner_is_left_to_its_own_reference(frozen: Reference) -> None:
    other = Habit(
        stratum=Stratum(manufacturer="GE", model_name="MR750", software_versions="28"),
        shift={"input.noise": 3.0},
    )
    assert evaluate(frozen, later(100, other), policy=POLICY).charted == 0


# --- words, channels, stop rules


@pytest.mark.parametrize(
    ("feature", "channel"),
    [
        ("input.kvp", Channel.ACQUISITION),
        ("input.intensity.p50", Channel.IMAGE),
        ("embedding.3", Channel.IMAGE),
        ("output.organ.volume_mm3", Channel.OUTPUT),
        ("agreement.organ.dice", Channel.OUTPUT),
        (ODD, Channel.WHOLE),
        ("seconds.predict", Channel.TIMING),
        ("rate.refused", Channel.RATES),
        ("truth.organ.dice", Channel.READERS),
    ],
)
def test_every_feature_belongs_to_a_channel(feature: str, channel: Channel) -> None:
    assert channel_of(feature) is channel


def an_alarm(channel: Channel, **changes: object) -> Alarm:
    alarm = Alarm(
        alarm_id=str(channel),
        model_id="organs",
        model_digest="d" * 64,
        reference_id=None,
        stratum=SKYRA,
        chart="c",
        direction=Direction.UP,
        channel=channel,
        severity=Severity.ACTION,
        opened_at=BEGIN,
        sentence=f"{channel} moved.",
    )
    return replace(alarm, **changes)  # type: ignore[arg-type]


def test_what_moved_together_suggests_where_to_look() -> None:
    assert together([]) == ""
    assert "the images look as they did" in together([an_alarm(Channel.OUTPUT)])
    both = together([an_alarm(Channel.OUTPUT), an_alarm(Channel.IMAGE)])
    assert both.startswith("Image and output moved together")
    assert (
        together([an_alarm(Channel.TIMING), an_alarm(Channel.RATES)]) == "Rates and timing moved."
    )


def test_a_stop_rule_takes_the_strongest_response_of_what_nobody_acknowledged() -> None:
    policy = Policy(
        responses=((Channel.OUTPUT, Response.SHADOW), (Channel.READERS, Response.SUSPEND))
    )
    alarms = [an_alarm(one) for one in (Channel.IMAGE, Channel.OUTPUT, Channel.READERS)]
    (demand,) = demands(alarms, policy, acknowledged=())
    assert demand.response is Response.SUSPEND
    assert demand.reason == "readers moved."
    (demand,) = demands(alarms, policy, acknowledged={"readers"})
    assert demand.response is Response.SHADOW
    (demand,) = demands(alarms, policy, acknowledged={"readers", "output"})
    assert demand.response is Response.WARN


@pytest.mark.parametrize(
    "changes",
    [
        {"severity": Severity.WARNING},
        {"severity": Severity.ADVISORY},
        {"closed_at": BEGIN, "acted_at": BEGIN},
    ],
)
def test_warnings_advice_and_what_is_over_ask_for_nothing(changes: dict[str, object]) -> None:
    policy = Policy(responses=((Channel.OUTPUT, Response.SUSPEND),))
    assert demands([an_alarm(Channel.OUTPUT, **changes)], policy, acknowledged=()) == ()
