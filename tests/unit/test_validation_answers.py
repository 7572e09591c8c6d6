from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    cohen_kappa_score,
    confusion_matrix,
    roc_auc_score,
)

from clic_edge.validation import answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.validation.answers import Scores, Truth

HANLEY = ((33, 6, 6, 11, 2), (3, 2, 2, 11, 33))
"""109 CT images by rating 1 to 5, normal and abnormal (Hanley & McNeil, Radiology 1982;143:29-36)."""


def hanley() -> tuple[Truth, Scores]:
    truth = np.repeat([False, True], [sum(row) for row in HANLEY])
    score = np.concatenate([np.repeat(np.arange(5), row) for row in HANLEY]).astype(float)
    return truth, score


def some(seed: int, n: int = 60, *, levels: int = 20) -> tuple[Truth, Scores]:
    """Return truth of both kinds and scores with ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    truth[:2] = True, False
    return truth, np.round(np.clip(rng.random(n) * 0.7 + truth * 0.3, 0, 1) * levels) / levels


def test_an_area_and_its_error_are_those_that_are_published() -> None:
    truth, score = hanley()
    found = answers.auroc(truth, score)
    assert found.value == pytest.approx(0.8932, abs=5e-5)
    # DeLong's standard error of these data, as Stata's manual prints it (roctab): 0.0307.
    assert answers._covariance(truth, score[None])[0, 0] ** 0.5 == pytest.approx(0.0307, abs=5e-5)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.8932 < found.high < 1


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_an_area_is_that_of_scikit_learn(seed: int) -> None:
    truth, score = some(seed)
    assert answers.auroc(truth, score).value == pytest.approx(roc_auc_score(truth, score))
    assert answers.average_precision(truth, score) == pytest.approx(
        average_precision_score(truth, score)
    )


def test_the_difference_of_two_areas_is_delongs() -> None:
    truth, first = some(1)
    second = some(2)[1]
    found = answers.compare_auroc(truth, first, second)
    # The definition, pair by pair: DeLong et al. 1988, equations 4 to 6.
    placements = []
    for score in (first, second):
        pairs = np.sign(score[truth][:, None] - score[~truth]) / 2 + 0.5
        placements.append((pairs.mean(1), pairs.mean(0)))
    contrast = [b - a for a, b in zip(*placements, strict=True)]
    spread = np.sqrt(sum(np.var(one, ddof=1) / len(one) for one in contrast))
    assert found.value == pytest.approx(contrast[0].mean())
    assert found.p_value == pytest.approx(2 * norm.sf(abs(found.value or 0) / spread))


def test_a_model_does_not_differ_from_itself() -> None:
    truth, score = some(3)
    same = answers.compare_auroc(truth, score, score)
    assert (same.value, same.p_value) == (0, 1)
    right = score > 0.5
    assert answers.compare_right(right, right).p_value == 1


def test_mcnemar_counts_only_what_differs() -> None:
    first = np.array([True] * 1 + [False] * 9 + [True] * 50)
    second = np.array([False] * 1 + [True] * 9 + [True] * 50)
    found = answers.compare_right(first, second)
    assert found.value == pytest.approx(8 / 60)
    assert found.p_value == pytest.approx(2 * 11 / 2**10)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe, Statistics in Medicine 1998;17:857-872, table I, method 5.
    [
        (81, 263, 0.2527, 0.3676),
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0, 0.1684),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_the_interval_of_a_share_is_exact(successes: int, n: int, low: float, high: float) -> None:
    found = answers.proportion(successes, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_without_cases_of_both_kinds_there_is_no_area() -> None:
    score = np.array([0.1, 0.9])
    for truth in ([True, True], [False, False]):
        assert answers.auroc(np.array(truth), score).value is None
    assert answers.proportion(0, 0).value is None
    assert answers.average_precision(np.array([False, False]), score) is None
    one_each = answers.auroc(np.array([False, True]), score)
    assert (one_each.value, one_each.low) == (1, None)


def test_calibration_is_that_of_scikit_learn() -> None:
    truth, score = some(4, 200, levels=999)
    found = [one for one in answers.calibration(truth, score) if one.n]
    observed, said = calibration_curve(truth, score, n_bins=10)
    assert [one.observed for one in found] == pytest.approx(observed.tolist())
    assert [one.mean_probability for one in found] == pytest.approx(said.tolist())
    assert answers.brier(truth, score) == pytest.approx(brier_score_loss(truth, score))


def test_the_calibration_error_weighs_bins_by_their_cases() -> None:
    truth = np.array([True, False, False, True])
    score = np.array([0.05, 0.05, 0.05, 1.0])
    assert answers.expected_calibration_error(truth, score) == pytest.approx(
        0.75 * abs(1 / 3 - 0.05)
    )


def test_treating_by_a_perfect_model_gains_the_share_of_the_ill() -> None:
    truth = np.array([True, False, False, False])
    for point in answers.decision_curve(truth, truth.astype(float)):
        assert point.model == pytest.approx(0.25)
        odds = point.threshold / (1 - point.threshold)
        assert point.treat_all == pytest.approx(0.25 - 0.75 * odds)


@settings(deadline=None, max_examples=30)
@given(grades=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=5))
def test_kappa_is_that_of_scikit_learn(grades: list[tuple[int, int]]) -> None:
    truth, found = map(list, zip(*grades, strict=True))
    table = answers.confusion(truth, found, classes=5)
    assert (table == confusion_matrix(truth, found, labels=range(5))).all()
    kappa = answers.quadratic_kappa(table)
    if len({*truth, *found}) > 1:
        assert kappa == pytest.approx(
            cohen_kappa_score(truth, found, weights="quadratic", labels=range(5))
        )
    else:
        assert kappa is None


def test_a_resampled_interval_is_the_same_at_each_run_and_holds_the_value() -> None:
    values = np.random.default_rng(0).random(50)

    def mean(places: NDArray[np.intp]) -> float:
        return float(values[places].mean())

    first, again = (answers.resampled(mean, 50, value=float(values.mean())) for _ in range(2))
    assert first == again
    assert first.low is not None
    assert first.high is not None
    assert first.low < values.mean() < first.high
    spread = values.std(ddof=1) / 50**0.5
    assert first.high - first.low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_every_order_of_two_answers_has_its_place_in_the_table() -> None:
    for truth, found in product(range(3), repeat=2):
        assert answers.confusion([truth], [found], classes=3)[truth, found] == 1
