"""Windows beside their reference, subgroups, and performance that nobody has observed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from observed import BEGIN, STEP, Habit, acceptance, observations, reference
from sklearn.metrics import roc_auc_score

from clic_edge.drift.comparison import compare, compare_whole, expected_performance, subgroups
from clic_edge.drift.monitor import evaluate
from clic_edge.drift.plan import Policy, plan_charts
from clic_edge.drift.reference import freeze, tabulate

if TYPE_CHECKING:
    from clic_edge.domain.monitoring import Observation, Reference


@pytest.fixture(scope="module")
def frozen() -> Reference:
    return reference()


def test_what_differs_comes_first_and_what_does_not_is_not_significant(frozen: Reference) -> None:
    noisy = observations(150, habit=Habit(shift={"input.noise": 1.0}), seed=7)
    first, *rest = compare(frozen, noisy)
    assert first.feature == "input.noise"
    assert first.adjusted_p < 1e-6
    assert not [one for one in rest if one.adjusted_p < 0.001]
    assert "input.manufacturer" not in {one.feature for one in rest}, "that is the stratum"


def test_a_window_too_small_is_compared_with_nothing_significant(frozen: Reference) -> None:
    found = compare(frozen, observations(3, seed=3))
    assert all(np.isnan(one.adjusted_p) for one in found)
    assert compare_whole(frozen, observations(3, seed=3)) == ()
    assert len(compare(frozen, [])) == len(found)


def test_whole_observations_are_compared_by_all_their_numbers(frozen: Reference) -> None:
    same, other = observations(150, seed=8), Habit(shift={"output.organ.volume_mm3": 0.9})
    (usual,) = compare_whole(frozen, same)
    (odd,) = compare_whole(frozen, observations(150, habit=other, seed=8))
    assert min(usual.adjusted) > 0.05 > max(odd.adjusted)
    assert usual.separation.auc == pytest.approx(0.5, abs=0.06)
    assert odd.separation.auc > 0.6


def embedded(n: int, seed: int, shift: float = 0.0) -> list[Observation]:
    """Return observations with eight numbers of a layer, whose variances are all the same."""
    layers = np.random.default_rng(seed).normal(shift, 1, (n, 8))
    return [
        replace(one, embedding=tuple(layer.tolist()))
        for one, layer in zip(observations(n, seed=seed), layers, strict=True)
    ]


def test_an_embedding_is_compared_as_a_whole_and_charted_with_the_odd_studies_only() -> None:
    made = freeze(embedded(400, 1), embedded(1, 1)[0].stratum, acceptance())
    charted = {one.feature for one in plan_charts(made, Policy()).charts}
    assert not [name for name in charted if name.startswith("embedding.")]
    assert "embedding.3" in dict(plan_charts(made, Policy()).cloud_features)
    features, layer = compare_whole(made, embedded(100, 2, shift=0.4))
    assert (features.is_embedding, layer.is_embedding) == (False, True)
    assert max(layer.adjusted) < 0.02
    assert layer.separation.auc > 0.7 > features.separation.auc
    later = [
        replace(one, at=BEGIN + (1000 + index) * STEP)
        for index, one in enumerate(embedded(200, 3, shift=0.8))
    ]
    assert "odd.studies" in {one.chart for one in evaluate(made, later, policy=Policy()).opened}


def test_an_embedding_of_another_size_is_none() -> None:
    one, other = embedded(2, 1)
    table = tabulate([one, replace(other, embedding=other.embedding[:3])])
    assert np.isnan(table.number("embedding.0", 2)).tolist() == [False, True]


def test_a_model_without_embedding_has_none_to_compare(frozen: Reference) -> None:
    (whole,) = compare_whole(frozen, observations(100))
    assert not whole.is_embedding


def test_a_subgroup_is_told_apart_and_a_small_one_says_nothing() -> None:
    men = observations(60, habit=Habit(women=0.0), seed=1)
    women = observations(
        200, habit=Habit(women=1.0, shift={"output.organ.volume_mm3": -1.5}), seed=2
    )
    other = observations(5, habit=Habit(words={"input.sex": "O"}), seed=3)
    f, m, o = subgroups([*men, *women, *other], "output.organ.volume_mm3", "input.sex", smallest=30)
    assert [(one.group, one.n, one.is_enough) for one in (f, m, o)] == [
        ("F", 200, True),
        ("M", 60, True),
        ("O", 5, False),
    ]
    assert f.high < m.low
    assert f.difference < -0.5 < 0.5 < m.difference
    assert np.isnan(o.mean)


def test_subgroups_may_be_numbers_and_a_feature_that_nobody_has_has_no_groups() -> None:
    seen = observations(100)
    groups = subgroups(seen, "input.noise", "output.organ.pieces", smallest=10)
    assert [one.group for one in groups] == ["1", "2"]
    assert subgroups(seen, "input.noise", "input.laterality", smallest=10) == ()
    assert {one.n for one in subgroups(seen, "truth.organ.dice", "input.sex", smallest=1)} == {0}


def test_a_calibrated_classifier_performs_as_its_confidence_says() -> None:
    rng = np.random.default_rng(4)
    p = rng.beta(0.6, 1.4, 5000)
    ill, chosen = rng.random(5000) < p, p > 0.4
    found = expected_performance(p, chosen)
    assert found.sensitivity.value == pytest.approx(chosen[ill].mean(), abs=0.03)
    assert found.specificity.value == pytest.approx((~chosen)[~ill].mean(), abs=0.03)
    assert found.accuracy.value == pytest.approx((chosen == ill).mean(), abs=0.03)
    assert found.auc.value == pytest.approx(roc_auc_score(ill, p), abs=0.03)


@pytest.mark.slow
def test_the_interval_of_what_is_expected_holds_what_happens() -> None:
    rng = np.random.default_rng(5)
    # Of two draws from beta(1, 2), one ill and one well by its own odds, the ill one is larger.
    p = rng.beta(1, 2, 4000)
    in_the_long_run = np.average(p[:, None] > p[None], weights=p[:, None] * (1 - p[None]))
    found = [expected_performance(p, p > 0.5).auc for p in rng.beta(1, 2, (10, 300))]
    assert sum(one.low <= in_the_long_run <= one.high for one in found) >= 8


def test_probabilities_of_zero_and_one_are_no_division_by_zero() -> None:
    found = expected_performance(np.zeros(10), np.zeros(10, dtype=bool))
    assert np.isnan(found.sensitivity.value)
    assert np.isnan(found.auc.value)
    assert found.specificity.value == 1.0
