"""What holds of scores and charts whatever the numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clic_edge.drift.charts import CEILING, Standing, cusum, normal_scores, watch
from clic_edge.drift.statistics import benjamini_hochberg, compare_numbers, holm

finite = st.floats(-1e6, 1e6, allow_subnormal=False)
reference = arrays(np.float64, st.integers(10, 60), elements=finite)
anything = arrays(np.float64, st.integers(1, 40), elements=st.floats(width=64))
few = settings(deadline=None, max_examples=60)


@few
@given(reference, anything)
def test_scores_keep_the_order_and_stay_between_the_outermost_ranks(
    before: np.ndarray, values: np.ndarray
) -> None:
    scores = normal_scores(before, values)
    assert (np.isnan(scores) == np.isnan(values)).all()
    kept = ~np.isnan(values)
    order = np.argsort(values[kept], kind="stable")
    assert (np.diff(scores[kept][order]) >= 0).all()
    assert (np.abs(scores[kept]) <= 3).all()


@few
@given(reference, st.integers(-9, 9), st.integers(-1000, 1000))
def test_scores_do_not_depend_on_the_unit(before: np.ndarray, power: int, offset: int) -> None:
    whole = np.round(before)  # so that rounding makes no ties
    turned = 2.0**power * (whole + offset)
    assert (normal_scores(turned, turned) == normal_scores(whole, whole)).all()


@few
@given(anything, st.floats(1, 20), st.integers(0, 40))
def test_a_chart_cut_anywhere_is_the_chart_in_one_piece(
    values: np.ndarray, limit: float, cut: int
) -> None:
    scores = np.clip(values, -3, 3)
    up, down = cusum(scores, limit)
    assert ((up >= 0) & (up <= CEILING * limit)).all()
    whole, _ = watch(up, limit, Standing())
    head, standing = watch(up[:cut], limit, Standing())
    tail, _ = watch(up[cut:], limit, standing)
    assert whole == head + tuple((index + len(up[:cut]), turn) for index, turn in tail)
    mirrored = cusum(-scores, limit)
    assert (mirrored[0] == down).all()


@few
@given(reference, anything)
def test_a_comparison_never_fails_and_its_numbers_keep_to_their_ranges(
    before: np.ndarray, now: np.ndarray
) -> None:
    found = compare_numbers(before, now)
    if not np.isnan(found.p_value):
        assert 0 <= found.p_value <= 1
        assert 0 <= found.ks <= 1
        assert found.psi >= 0
        assert found.wasserstein >= 0


@few
@given(st.lists(st.floats(0, 1), max_size=30))
def test_adjusting_only_raises_and_holm_is_the_stricter(p_values: list[float]) -> None:
    loose, strict = benjamini_hochberg(p_values), holm(p_values)
    for p, between, high in zip(p_values, loose, strict, strict=True):
        assert p <= between + 1e-12
        assert between <= high + 1e-12
