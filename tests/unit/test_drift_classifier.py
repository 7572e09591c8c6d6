"""A classifier tells a window from its reference where they differ, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from clic_edge.drift.classifier import separation
from clic_edge.drift.multivariate import mmd


def samples(
    shift: float, *, features: int = 20, n: int = 150, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return reference and window; one feature of the window is shifted."""
    rng = np.random.default_rng(seed)
    window = rng.normal(size=(n, features))
    window[:, 0] += shift
    return rng.normal(size=(2 * n, features)), window


@pytest.mark.parametrize("shift", [0.0, 0.7, 1.5])
def test_the_auc_is_that_of_scikit_learns_classifiers(shift: float) -> None:
    reference, window = samples(shift)
    rows = np.concatenate([reference, window])
    labels = np.repeat([0, 1], [len(reference), len(window)])
    folds = StratifiedKFold(5, shuffle=True, random_state=1)
    ours = separation(reference, window, permutations=10).auc
    for theirs in (
        LogisticRegression(C=0.1),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    ):
        auc = cross_val_score(theirs, rows, labels, cv=folds, scoring="roc_auc").mean()
        assert ours == pytest.approx(auc, abs=0.05)


def test_where_nothing_differs_p_is_as_often_small_as_it_says() -> None:
    found = [
        separation(*samples(0.0, features=5, n=40, seed=seed), permutations=39).p_value
        for seed in range(200)
    ]
    assert np.mean(np.array(found) <= 0.1) == pytest.approx(0.1, abs=0.06)


def test_a_change_of_one_feature_in_many_is_seen() -> None:
    found = separation(*samples(1.0, features=100))
    assert found.p_value < 0.01
    assert found.auc > 0.6


def test_more_features_than_rows_are_no_obstacle() -> None:
    reference, window = samples(0.0, features=256, n=30)
    found = separation(reference, window, permutations=20)
    assert 0 < found.p_value <= 1
    assert separation(reference, window + 3.0, permutations=20).auc > 0.95


def test_numbers_that_say_the_same_are_no_obstacle() -> None:
    reference, window = samples(1.0, features=1)
    doubled = separation(np.tile(reference, 3), np.tile(window, 3))
    assert doubled.auc == pytest.approx(separation(reference, window).auc, abs=0.01)


def test_what_is_twisted_and_not_moved_is_left_to_the_discrepancy() -> None:
    rng = np.random.default_rng(3)
    reference, window = rng.normal(size=(300, 2)), rng.normal(size=(150, 2))
    window[:, 1] = 0.8 * window[:, 0] + 0.6 * window[:, 1]
    assert separation(reference, window).p_value > 0.05 > mmd(reference, window).p_value
