"""How two windows differ: against scipy, against formulas written out, and where it breaks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, power_divergence, wasserstein_distance
from sklearn.covariance import LedoitWolf
from sklearn.metrics.pairwise import rbf_kernel

from clic_edge.drift.multivariate import Cloud, mmd
from clic_edge.drift.statistics import (
    benjamini_hochberg,
    compare_numbers,
    compare_words,
    holm,
    psi_of_numbers,
)

RNG = np.random.default_rng(11)
BEFORE, AFTER = RNG.normal(10, 2, 500), RNG.normal(11, 2, 120)
NAN = float("nan")


def test_numbers_differ_as_scipy_says() -> None:
    found = compare_numbers(BEFORE, AFTER)
    expected = ks_2samp(BEFORE, AFTER, method="asymp")
    assert (found.ks, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.wasserstein == pytest.approx(wasserstein_distance(BEFORE, AFTER) / BEFORE.std())
    assert found.shift == pytest.approx((AFTER.mean() - BEFORE.mean()) / BEFORE.std())
    assert (found.n_reference, found.n) == (500, 120)


def test_numbers_that_are_none_are_left_out_and_counted_out() -> None:
    dirty = np.concatenate([AFTER, [NAN, np.inf, -np.inf]])
    assert compare_numbers(BEFORE, dirty) == compare_numbers(BEFORE, AFTER)


def test_too_few_numbers_say_nothing() -> None:
    found = compare_numbers(BEFORE, AFTER[:4])
    assert np.isnan([found.ks, found.psi, found.p_value]).all()
    assert np.isnan(compare_numbers(np.array([]), AFTER).p_value)


def test_a_constant_feature_that_stays_differs_by_nothing_and_one_that_jumps_by_everything() -> (
    None
):
    constant = np.full(50, 3.0)
    same, other = compare_numbers(constant, constant), compare_numbers(constant, constant + 1e-6)
    assert (same.shift, same.wasserstein, same.psi) == pytest.approx((0, 0, 0), abs=1e-9)
    assert other.shift == other.wasserstein == np.inf
    assert other.psi > 1


def test_the_stability_index_is_its_formula_over_the_tenths_of_the_reference() -> None:
    edges = np.quantile(BEFORE, np.linspace(0, 1, 11)[1:-1])
    shares = []
    for values in (BEFORE, AFTER):
        counts = np.bincount(np.searchsorted(edges, values), minlength=10) + 0.5
        shares.append(counts / counts.sum())
    p, q = shares
    expected = sum((b - a) * np.log(b / a) for a, b in zip(p, q, strict=True))
    assert psi_of_numbers(BEFORE, AFTER) == pytest.approx(expected, abs=0.02)
    assert psi_of_numbers(BEFORE, BEFORE) == pytest.approx(0.0, abs=1e-9)


def test_words_differ_as_the_g_test_says() -> None:
    before, after = ["F"] * 60 + ["M"] * 40, ["F"] * 30 + ["M"] * 50
    found = compare_words(before, after)
    table = np.array([[60, 40], [30, 50]])
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    g = power_divergence(table, expected, ddof=2, axis=None, lambda_="log-likelihood")
    assert found.p_value == pytest.approx(g.pvalue)
    assert found.unseen == ()


def test_a_word_that_the_reference_never_had_is_named_and_counted() -> None:
    found = compare_words(["1.0"] * 30 + [""] * 5, ["1.0"] * 10 + ["2.0"] * 3 + [""])
    assert found.unseen == (("2.0", 3),)
    assert (found.n_reference, found.n) == (30, 13)
    assert found.p_value < 0.05


def test_one_word_on_both_sides_is_no_difference() -> None:
    found = compare_words(["MR"] * 30, ["MR"] * 10)
    assert (found.p_value, found.psi) == (1.0, 0.0)


def test_many_tests_are_adjusted_as_written_in_the_books() -> None:
    p = (0.01, 0.04, 0.03, NAN, 0.005)
    assert holm(p)[:3] + holm(p)[4:] == pytest.approx((0.03, 0.06, 0.06, 0.02))
    adjusted = benjamini_hochberg(p)
    assert adjusted[:3] + adjusted[4:] == pytest.approx((0.02, 0.04, 0.04, 0.02))
    assert np.isnan(holm(p)[3])
    assert np.isnan(adjusted[3])
    assert benjamini_hochberg(()) == holm(()) == ()


def test_of_a_thousand_tests_of_nothing_few_survive_and_what_is_real_does() -> None:
    rng = np.random.default_rng(3)
    p = [*rng.random(1000), *[1e-8] * 20]
    found = np.array(benjamini_hochberg(p)) < 0.05
    assert found[1000:].all()
    assert found[:1000].sum() <= 5
    assert not (np.array(holm(p))[:1000] < 0.05).any()


def test_the_mean_discrepancy_is_that_of_its_kernel_sums() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(30, 4)), rng.normal(0.5, 1, size=(20, 4))
    together = np.concatenate([first, second])
    distances = ((together[:, None] - together[None]) ** 2).sum(-1)
    kernel = rbf_kernel(together, gamma=1 / np.median(distances[np.triu_indices(50, 1)]))
    xx, yy, xy = kernel[:30, :30], kernel[30:, 30:], kernel[:30, 30:]
    expected = (xx.sum() - 30) / (30 * 29) + (yy.sum() - 20) / (20 * 19) - 2 * xy.mean()
    found = mmd(first, second, permutations=50)
    assert found.squared == pytest.approx(expected)
    assert found == mmd(first, second, permutations=50), "the same at each call"


def test_the_mean_discrepancy_sees_a_change_that_no_single_feature_shows() -> None:
    rng = np.random.default_rng(6)
    first, same = (rng.normal(size=(150, 2)) for _ in range(2))
    tied = np.repeat(rng.normal(size=(150, 1)), 2, axis=1)
    assert mmd(first, same).p_value > 0.05
    assert mmd(first, tied).p_value < 0.01
    assert all(compare_numbers(first[:, i], tied[:, i]).p_value > 0.01 for i in range(2))


def test_the_discrepancy_of_constant_rows_is_none() -> None:
    assert mmd(np.ones((10, 3)), np.ones((5, 3))).p_value == 1.0


def test_distances_are_those_of_ledoit_and_wolf() -> None:
    rng = np.random.default_rng(7)
    reference = rng.multivariate_normal([0, 0, 1], [[2, 1, 0], [1, 2, 0], [0, 0, 1]], 400)
    rows = rng.normal(size=(20, 3))
    expected = LedoitWolf().fit(reference).mahalanobis(rows)
    assert Cloud.of(reference).distances(rows) ** 2 == pytest.approx(expected)


def test_one_in_a_hundred_usual_studies_lies_outside_and_most_odd_ones_do() -> None:
    rng = np.random.default_rng(8)
    mixing = rng.normal(size=(20, 20))
    reference, usual = (rng.normal(size=(n, 20)) @ mixing for n in (1500, 5000))
    cloud = Cloud.of(reference)
    assert 0.005 < (cloud.distances(usual) > cloud.radius).mean() < 0.02
    odd = usual + 4 * mixing[0]
    assert (cloud.distances(odd) > cloud.radius).mean() > 0.3


def test_a_cloud_of_fewer_rows_than_features_still_has_a_distance() -> None:
    rng = np.random.default_rng(9)
    cloud = Cloud.of(rng.normal(size=(12, 40)))
    distances = cloud.distances(np.vstack([np.zeros(40), np.full(40, 9.0), np.full(40, NAN)]))
    assert distances[0] < cloud.radius < distances[1]
    assert np.isnan(distances[2])
