"""Limits and delays, against published tables and against charts that are run."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from clic_edge.drift.charts import cusum, normal_scores, reflected
from clic_edge.drift.design import (
    Design,
    K,
    Kind,
    dependence_of,
    design_gaps,
    design_numbers,
    design_rate,
    is_provisional,
)
from clic_edge.drift.run_length import (
    Weights,
    bernoulli_run_length,
    cusum_run_length,
    ewma_run_length,
    g_run_length,
    gap_for,
    shewhart_run_length,
)

YEAR = 30 * 365.0
"""Studies."""


@pytest.mark.parametrize(
    ("h", "shift", "published"),
    [
        # Two-sided, k = 1/2: Montgomery, Introduction to Statistical Quality Control, table 9.3.
        (4, 0.0, 168),
        (4, 0.25, 74.2),
        (4, 0.5, 26.6),
        (4, 0.75, 13.3),
        (4, 1.0, 8.38),
        (4, 1.5, 4.75),
        (4, 2.0, 3.34),
        (4, 3.0, 2.19),
        (5, 0.0, 465),
        (5, 0.25, 139),
        (5, 0.5, 38.0),
        (5, 0.75, 17.0),
        (5, 1.0, 10.4),
        (5, 1.5, 5.75),
        (5, 2.0, 4.01),
        (5, 3.0, 2.57),
    ],
)
def test_a_cusum_runs_as_long_as_the_published_table_says(
    h: float, shift: float, published: float
) -> None:
    sides = (cusum_run_length(0.5, h, shift=one) for one in (shift, -shift))
    assert 1 / sum(1 / one for one in sides) == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize(("h", "in_control", "delay"), [(4, 335.4, 8.38), (5, 930.9, 10.38)])
def test_one_side_of_a_cusum_runs_twice_as_long(h: float, in_control: float, delay: float) -> None:
    assert cusum_run_length(0.5, h) == pytest.approx(in_control, rel=1e-3)
    assert cusum_run_length(0.5, h, shift=1.0) == pytest.approx(delay, rel=1e-3)


@pytest.mark.parametrize(
    ("weight", "width", "published"),
    [
        # Lucas and Saccucci 1990, for shifts of 0, 0.25, 0.5, 0.75, 1, 1.5, 2 and 3 sd.
        (0.4, 3.054, (500, 224, 71.2, 28.4, 14.3, 5.9, 3.5, 2.0)),
        (0.25, 2.998, (500, 170, 48.2, 20.1, 11.1, 5.5, 3.6, 2.3)),
        (0.2, 2.962, (500, 150, 41.8, 18.2, 10.5, 5.5, 3.7, 2.4)),
        (0.1, 2.814, (500, 106, 31.3, 15.9, 10.3, 6.1, 4.4, 2.9)),
        (0.05, 2.615, (500, 84.1, 28.7, 16.4, 11.4, 7.1, 5.2, 3.5)),
    ],
)
def test_an_ewma_runs_as_long_as_lucas_and_saccucci_say(
    weight: float, width: float, published: tuple[float, ...]
) -> None:
    shifts = (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3)
    for shift, length in zip(shifts, published, strict=True):
        found = ewma_run_length(weight, width, shift=shift)
        assert found == pytest.approx(length, rel=0.004, abs=0.06)


def test_single_points_beyond_three_sd_come_once_in_370() -> None:
    assert shewhart_run_length(3.0) == pytest.approx(370.4, abs=0.1)
    assert shewhart_run_length(3.0, shift=1.0) == pytest.approx(43.9, abs=0.05)


@pytest.mark.parametrize(
    ("ratio", "published"),
    # The simulations of shared knowledge: weights not rounded, so a few per cent away.
    [(3, (1392, 110, 34)), (5, (9534, 202, 52))],
)
def test_a_rate_chart_sees_a_doubled_rate_as_soon_as_simulations_say(
    ratio: float, published: tuple[float, ...]
) -> None:
    weights = Weights.between(0.05, 0.10)
    one = abs(log(0.90 / 0.95)) / abs(weights.no_event)
    lengths = [bernoulli_run_length(weights, round(ratio / one), rate) for rate in (0.05, 0.1, 0.2)]
    assert lengths == pytest.approx(published, rel=0.25)


def _simulated(steps: np.ndarray, limit: float) -> float:
    """Return the mean run length of charts in the columns; those that never signal count whole."""
    over = reflected(steps, ceiling=np.inf) >= limit
    lengths = np.where(over.any(axis=0), over.argmax(axis=0) + 1, len(steps))
    return float(lengths.mean())


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_a_rate_charts_run_length_is_that_of_charts_that_were_run(rate: float) -> None:
    weights, limit = Weights.between(0.05, 0.10), 200
    events = np.random.default_rng(1).random((6000, 800)) < rate
    steps = np.where(events, weights.event, weights.no_event).astype(float)
    expected = bernoulli_run_length(weights, limit, rate)
    assert _simulated(steps, limit) == pytest.approx(expected, rel=0.12)


def test_the_gap_of_a_g_chart_is_that_of_failures_that_were_drawn() -> None:
    rate, gap = 0.01, 20
    rng = np.random.default_rng(2)
    lengths = []
    for _ in range(2000):
        gaps = rng.geometric(rate, 100)
        first = 1 + int((gaps[1:] <= gap).argmax())
        lengths.append(gaps[: first + 1].sum())
    assert np.mean(lengths) == pytest.approx(g_run_length(gap, rate), rel=0.06)
    assert gap_for(rate, 0.2) == 22
    assert 1 - (1 - rate) ** 22 <= 0.2 < 1 - (1 - rate) ** 23


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.CUSUM, Kind.EWMA, Kind.SHEWHART])
@pytest.mark.parametrize("asked", [0.1, 1.0, 12.0])
def test_a_design_keeps_to_the_false_alarms_asked_for(kind: Kind, asked: float) -> None:
    design = design_numbers(kind, baseline=1000, points_per_year=YEAR, false_alarms_per_year=asked)
    assert design.false_alarms_per_year == pytest.approx(asked, rel=0.01)


@pytest.mark.slow
def test_fewer_false_alarms_cost_delay_and_a_smaller_baseline_costs_more() -> None:
    def delay(**asked: float) -> float:
        given = {"baseline": 1000, "points_per_year": YEAR} | asked
        design = design_numbers(Kind.CUSUM, **given)  # type: ignore[arg-type]
        return design.delays[1].points

    assert delay(false_alarms_per_year=1) < delay(false_alarms_per_year=0.1)
    assert delay(baseline=3000) < delay(baseline=300) < delay(baseline=100) < 50


@pytest.mark.slow
def test_a_cusum_on_an_estimated_baseline_alarms_as_often_as_designed() -> None:
    """Each chart has a baseline of its own, as charts in life do; uncorrected it rings too often."""
    rng = np.random.default_rng(3)
    baseline, points, charts, asked = 300, 2000, 400, 6.0
    design = design_numbers(
        Kind.CUSUM, baseline=baseline, points_per_year=points, false_alarms_per_year=asked
    )
    naive = design_numbers(
        Kind.CUSUM, baseline=10**9, points_per_year=points, false_alarms_per_year=asked
    )
    past = rng.standard_gamma(2.0, (baseline, charts))  # as skewed as many a feature
    now = rng.standard_gamma(2.0, (points, charts))
    scores = np.stack([normal_scores(past[:, i], now[:, i]) for i in range(charts)], axis=1)
    corrected, uncorrected = (_restarted(scores, one) / charts for one in (design, naive))
    assert corrected < uncorrected
    assert corrected == pytest.approx(asked, rel=0.2)


def _restarted(scores: np.ndarray, design: Design) -> int:
    """Return the alarms of all charts, each begun anew after its alarm."""
    up = down = np.zeros(scores.shape[1])
    alarms = 0
    for row in scores:
        up, down = np.maximum(up + row - K, 0), np.maximum(down - row - K, 0)
        over = np.maximum(up, down) > design.limit
        alarms += int(over.sum())
        up, down = np.where(over, 0, up), np.where(over, 0, down)
    return alarms


def test_a_shift_of_one_sd_is_seen_when_the_design_says() -> None:
    design = design_numbers(Kind.CUSUM, baseline=3000, points_per_year=YEAR)
    shown = {one.change: one.points for one in design.delays}
    scores = np.random.default_rng(4).standard_normal((400, 2000)) + 1.0
    up, _ = cusum(scores, design.limit)
    assert ((up > design.limit).argmax(axis=0) + 1).mean() == pytest.approx(shown[1.0], rel=0.03)
    assert shown[1.0] < 50


@pytest.mark.parametrize("factor", [2.0, 0.5])
@pytest.mark.parametrize("events", [0, 3, 50, 600])
def test_a_rate_design_keeps_to_the_false_alarms_and_to_no_more_limit_than_it_needs(
    events: int, factor: float
) -> None:
    rate = design_rate(events, 1000, factor=factor, cases_per_year=YEAR)
    assert 0.85 <= rate.design.false_alarms_per_year <= 1.0
    assert (rate.feared > rate.rate) == (factor > 1)
    assert rate.design.delays[1].points < rate.design.delays[0].points


def test_a_g_chart_needs_only_two_failures() -> None:
    design = design_gaps(3, 3000, cases_per_year=YEAR)
    assert design.limit == 69
    assert design.false_alarms_per_year <= 1.0


@pytest.mark.slow
def test_a_small_baseline_is_provisional() -> None:
    assert is_provisional(299)
    assert not is_provisional(300)
    assert is_provisional(2999, studies_per_point=30)
    assert not is_provisional(3000, studies_per_point=30)
    assert design_numbers(Kind.CUSUM, baseline=120, points_per_year=YEAR).provisional


def days_that_share(part: float, days: int, rng: np.random.Generator) -> np.ndarray:
    """Return thirty points a day that have this part of their variance in common."""
    common = np.repeat(rng.normal(size=days), 30)
    return np.sqrt(part) * common + np.sqrt(1 - part) * rng.normal(size=30 * days)


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1.0), (0.05, 2.45), (0.3, 9.7)])
def test_dependence_is_what_means_of_days_vary_more_than_by_chance(
    part: float, expected: float
) -> None:
    rng = np.random.default_rng(6)
    found = [dependence_of(days_that_share(part, 100, rng), 30.0) for _ in range(40)]
    assert np.mean(found) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("points", [np.zeros(500), np.arange(25.0), np.array([])])
def test_points_that_say_nothing_of_dependence_have_none(points: np.ndarray) -> None:
    assert dependence_of(points, 30.0) == 1.0


@pytest.mark.slow
def test_charts_of_studies_that_depend_on_their_day_ring_as_designed() -> None:
    """Without the correction they ring fifteen times as often."""
    rng = np.random.default_rng(7)
    days, charts = 200, 30
    past = np.stack([days_that_share(0.05, 100, rng) for _ in range(charts)], axis=1)
    now = np.stack([days_that_share(0.05, days, rng) for _ in range(charts)], axis=1)
    rung = {}
    for told in (True, False):
        total = 0
        for ours, theirs in zip(now.T, past.T, strict=True):
            part = dependence_of(theirs, 30.0) if told else 1.0
            design = design_numbers(
                Kind.CUSUM, baseline=3000, points_per_year=YEAR, dependence=part
            )
            scores = normal_scores(theirs, ours) / np.sqrt(part)
            total += sum(_restarted_side(one - design.k, design) for one in (scores, -scores))
        rung[told] = total / charts * 365 / days
    assert rung[False] > 4 * rung[True]
    assert rung[True] < 2.5


def _restarted_side(steps: np.ndarray, design: Design) -> int:
    total, alarms = 0.0, 0
    for step in steps:
        total = max(0.0, total + step)
        if total > design.limit:
            total, alarms = 0.0, alarms + 1
    return alarms


def test_points_that_depend_on_each_other_cost_delay() -> None:
    def delay(dependence: float) -> float:
        design = design_numbers(
            Kind.CUSUM, baseline=3000, points_per_year=YEAR, dependence=dependence
        )
        return design.delays[1].points

    assert delay(1.0) < delay(2.5) < 50


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.CUSUM, Kind.EWMA, Kind.SHEWHART])
@pytest.mark.parametrize("baseline", [30, 300])
def test_a_baseline_that_says_next_to_nothing_still_has_a_chart_that_states_what_it_gives(
    kind: Kind, baseline: int
) -> None:
    design = design_numbers(
        kind,
        baseline=baseline,
        points_per_year=YEAR,
        false_alarms_per_year=0.1,
        dependence=60.0,
    )
    assert np.isfinite(design.limit)
    assert design.false_alarms_per_year >= 0.099
    assert all(one.points > 0 for one in design.delays)
