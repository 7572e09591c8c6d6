"""Charts followed point by point: what moves them, what opens and closes an alarm."""

from __future__ import annotations

import numpy as np
import pytest

from clic_edge.domain.monitoring import Turn
from clic_edge.drift.charts import (
    Standing,
    cusum,
    ewma,
    normal_scores,
    reflected,
    standardised_mean,
    watch,
)
from clic_edge.drift.design import K

NAN = float("nan")


def test_a_sum_never_falls_below_zero_nor_rises_above_its_ceiling() -> None:
    sums = reflected(np.array([1.0, -3.0, 2.0, 9.0]), ceiling=10.0)
    assert sums.tolist() == [1.0, 0.0, 2.0, 10.0]


def test_a_chart_goes_on_where_the_last_day_left_it() -> None:
    scores = np.random.default_rng(1).standard_normal(60)
    up, down = cusum(scores, 8.0)
    first_up, first_down = cusum(scores[:25], 8.0)
    then_up, then_down = cusum(scores[25:], 8.0, up=first_up[-1], down=first_down[-1])
    assert np.concatenate([first_up, then_up]) == pytest.approx(up)
    assert np.concatenate([first_down, then_down]) == pytest.approx(down)
    averages = ewma(scores)
    assert ewma(scores[25:], averages[24]) == pytest.approx(averages[25:])


def test_a_missing_point_moves_nothing() -> None:
    up, down = cusum(np.array([2.0, NAN, NAN]), 8.0)
    assert up.tolist() == [2.0 - K] * 3
    assert down.tolist() == [0.0, 0.0, 0.0]
    averages = ewma(np.array([2.0, NAN]))
    assert averages[0] == averages[1] > 0


def test_an_empty_day_has_no_mean() -> None:
    assert np.isnan(standardised_mean(np.array([])))
    assert np.isnan(standardised_mean(np.array([NAN])))
    assert standardised_mean(np.array([1.0, 1.0, 1.0, 1.0, NAN])) == 2.0


def test_scores_are_where_values_stand_among_the_reference() -> None:
    reference = np.arange(1.0, 100.0)
    scores = normal_scores(reference, np.array([50.0, -1e9, 1e300, np.inf, NAN]))
    assert scores[0] == pytest.approx(0.0, abs=1e-12)
    assert scores[1] == pytest.approx(-scores[2])
    assert scores[2] == scores[3] == pytest.approx(2.575829)
    assert np.isnan(scores[4])


def test_values_that_tie_with_many_stand_in_their_middle() -> None:
    assert normal_scores(np.zeros(101), np.zeros(1)) == pytest.approx(0.0)


def test_one_point_warns_and_two_in_a_row_confirm() -> None:
    turns, standing = watch([9.0, 7.0, 9.0, 9.5], 8.0, Standing())
    assert turns == ((0, Turn.OPENED), (3, Turn.CONFIRMED))
    assert standing == Standing(beyond=2, open=True, confirmed=True)


def test_a_chart_that_trembles_at_its_limit_rings_once() -> None:
    turns, standing = watch([8.1, 7.9, 8.1, 7.9, 8.1, 4.1], 8.0, Standing())
    assert turns == ((0, Turn.OPENED),)
    assert standing.open


def test_an_alarm_closes_below_half_its_limit_and_the_next_is_another() -> None:
    turns, standing = watch([8.1, 3.9, 8.1], 8.0, Standing())
    assert [turn for _, turn in turns] == [Turn.OPENED, Turn.CLOSED, Turn.OPENED]
    assert standing.open
    assert not standing.confirmed


def test_two_points_in_a_row_may_lie_on_two_days() -> None:
    _, standing = watch([8.1], 8.0, Standing())
    turns, _ = watch([8.1], 8.0, standing)
    assert turns == ((0, Turn.CONFIRMED),)


def test_after_a_long_shift_the_chart_finds_back_within_days() -> None:
    scores = np.concatenate([np.full(500, 2.0), np.zeros(60)])
    up, _ = cusum(scores, 8.0)
    turns, _ = watch(up, 8.0, Standing())
    assert turns[-1][1] is Turn.CLOSED
    assert turns[-1][0] - 500 < 60
