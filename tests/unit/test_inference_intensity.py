"""Intensity steps: what they do, and that MONAI's transforms of the same meaning do the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

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
    ],
)
def test_a_step_that_is_not_known_or_not_whole_is_named(told: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        steps(told)
