"""Intensity steps: what they do, and that MONAI's transforms of the same meaning do the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from clic_edge.errors import Refusal
from clic_edge.inference.intensity import Step, prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS: TypeAdapter[tuple[Step, ...]] = TypeAdapter(tuple[Step, ...])
volumes = npst.arrays(
    np.float64, st.tuples(*[st.integers(2, 6)] * 3), elements=st.floats(-1000, 3000, width=32)
)


def steps(*told: dict[str, object]) -> tuple[Step, ...]:
    return STEPS.validate_python(told)


SCANNER = steps({"step": "clip-percentiles", "low": 1, "high": 99}, {"step": "z-score"})


@pytest.mark.slow
@given(values=volumes)
@settings(deadline=None, max_examples=50)
def test_each_step_is_monais(values: NDArray[np.float64]) -> None:
    monai = pytest.importorskip("monai.transforms")
    window = steps(
        {"step": "clip", "low": -150, "high": 250}, {"step": "range", "low": -150, "high": 250}
    )
    theirs = monai.ScaleIntensityRange(-150, 250, 0, 1, clip=True)(values)
    np.testing.assert_allclose(prepare(values, window), theirs, atol=1e-6)
    plain = monai.ScaleIntensityRange(-150, 250, 0, 1, clip=False)(values)
    np.testing.assert_allclose(prepare(values, window[1:]), plain, rtol=1e-5, atol=1e-6)
    if values.std() > 1e-3:
        scored = monai.NormalizeIntensity()(values)
        np.testing.assert_allclose(prepare(values, steps({"step": "z-score"})), scored, atol=1e-3)


@pytest.mark.slow
@given(values=volumes, centre=st.integers(-200, 400), width=st.integers(2, 2000))
@settings(deadline=None, max_examples=50)
def test_a_window_is_dicoms_and_monais(
    values: NDArray[np.float64], centre: int, width: int
) -> None:
    """PS3.3 C.11.2.1.2.1: at or below c - 0.5 - (w - 1) / 2 the least, above the other end all."""
    monai = pytest.importorskip("monai.transforms")
    low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    found = prepare(values, steps({"step": "window", "centre": centre, "width": width}))
    theirs = monai.ScaleIntensityRange(low, high, 0, 1, clip=True)(values)
    np.testing.assert_allclose(found, theirs, atol=1e-4)
    assert (found[values <= low] == 0).all()
    assert (found[values > high] == 1).all()


@pytest.mark.slow
@given(
    values=npst.arrays(np.float64, (4, 5, 6), elements=st.integers(0, 4000)).filter(
        lambda one: np.ptp(one[one > 0]) > 1 if (one > 0).any() else False
    )
)
@settings(deadline=None, max_examples=50)
def test_statistics_of_the_foreground_are_monais(values: NDArray[np.float64]) -> None:
    monai = pytest.importorskip("monai.transforms")
    scored = monai.NormalizeIntensity(nonzero=True)(values)
    found = prepare(values, steps({"step": "z-score", "above": 0}))
    np.testing.assert_allclose(found, scored, atol=1e-3)
    given = monai.NormalizeIntensity(subtrahend=40.0, divisor=120.0)(values)
    normal = prepare(values, steps({"step": "normalise", "mean": (40.0,), "deviation": (120.0,)}))
    np.testing.assert_allclose(normal, given, rtol=1e-5, atol=1e-5)
    ends = np.percentile(values, (5, 95))
    if ends[0] < ends[1]:
        scaled = monai.ScaleIntensityRangePercentiles(5, 95, 0, 1)(values)
        ranged = prepare(values, steps({"step": "range-percentiles", "low": 5, "high": 95}))
        np.testing.assert_allclose(ranged, scaled, rtol=1e-4, atol=1e-4)


def test_percentiles_of_the_foreground_forget_how_much_background_there_is() -> None:
    body = np.random.default_rng(0).normal(500, 50, 1000)
    told = steps(
        {"step": "clip-percentiles", "low": 5, "high": 95, "above": 100},
        {"step": "range-percentiles", "low": 0, "high": 100, "above": 100},
    )
    little, much = (
        prepare(np.append(body, np.zeros(count))[:, None, None], told)[:1000]
        for count in (10, 9000)
    )
    np.testing.assert_array_equal(little, much)
    assert (little.min(), little.max()) == (0, 1)


def test_a_volume_without_foreground_is_refused() -> None:
    for step in ("z-score", "clip-percentiles", "range-percentiles"):
        ends = {} if step == "z-score" else {"low": 1, "high": 99}
        with pytest.raises(Refusal) as refusal:
            prepare(np.zeros((2, 3, 4)), steps({"step": step, "above": 0, **ends}))
        assert refusal.value.code == "foreground-missing"


def test_a_large_volume_is_prepared_slab_by_slab_as_a_small_one_is() -> None:
    values = np.random.default_rng(0).normal(300, 200, (70, 130, 260)).astype(np.float32)
    told = [{"step": "clip", "low": 0, "high": 500}, {"step": "z-score"}]
    clipped = np.clip(values.astype(np.float64), 0, 500)
    expected = ((clipped - clipped.mean()) / clipped.std()).astype(np.float32)
    np.testing.assert_array_equal(prepare(values, steps(*told)), expected)
    turned = prepare(values.transpose(2, 0, 1), steps(*told))
    np.testing.assert_array_equal(turned, expected.transpose(2, 0, 1))


@given(
    gain=st.floats(1e-3, 1e6),
    offset=st.floats(-100, 100),
    values=npst.arrays(np.float64, (4, 5, 6), elements=st.integers(0, 4000)),
)
@settings(deadline=None, max_examples=50)
def test_percentiles_and_z_score_forget_the_scanners_scale(
    gain: float, offset: float, values: NDArray[np.float64]
) -> None:
    reference = prepare(values, SCANNER)
    np.testing.assert_allclose(prepare(gain * (values + offset), SCANNER), reference, atol=1e-3)
    if values.std() > 0 and reference.any():
        assert reference.mean() == pytest.approx(0, abs=1e-4)
        assert reference.std() == pytest.approx(1, abs=1e-4)


def test_one_hot_voxel_does_not_darken_the_rest() -> None:
    values = np.random.default_rng(0).normal(100, 10, (10, 10, 10))
    hot = values.copy()
    hot[0, 0, 0] = 1e6
    cool = prepare(values, SCANNER).ravel()[1:]
    np.testing.assert_allclose(prepare(hot, SCANNER).ravel()[1:], cool, atol=0.05)


def test_a_constant_volume_becomes_all_zero() -> None:
    assert not prepare(np.full((3, 4, 5), 0.1), SCANNER).any()


def test_steps_are_applied_in_their_order() -> None:
    values = np.array([0.0, 5.0, 50.0])
    first = steps({"step": "clip", "low": 0, "high": 10}, {"step": "range", "low": 0, "high": 5})
    np.testing.assert_allclose(prepare(values, first), [0, 1, 2])
    np.testing.assert_allclose(prepare(values, first[::-1]), [0, 1, 10])
    np.testing.assert_allclose(prepare(values, ()), values)


@pytest.mark.parametrize(
    "told",
    [
        {"step": "sharpen"},
        {"low": 0, "high": 1},
        {"step": "clip", "low": 1, "high": 1},
        {"step": "clip", "low": 0},
        {"step": "clip-percentiles", "low": -1, "high": 50},
        {"step": "z-score", "low": 0},
        {"step": "window", "centre": 40, "width": 1},
        {"step": "range-percentiles", "low": 5, "high": 5},
    ],
)
def test_a_step_that_is_not_known_or_not_whole_is_named(told: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        steps(told)
