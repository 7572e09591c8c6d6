"""SUV numbers of a segment, on phantoms of which they are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clic_edge.domain.volume import Geometry
from clic_edge.inference.measuring import PEAK_RADIUS_MM, measure, peak, sphere

KINDS = ("suv-max", "suv-mean", "suv-peak", "total-lesion-glycolysis")


def grid(*spacing: float, shape: tuple[int, int, int] = (30, 30, 30)) -> Geometry:
    return Geometry(affine=np.diag([*spacing, 1.0]), shape=shape)


def test_numbers_are_those_of_the_voxels() -> None:
    suv = np.zeros((30, 30, 30), np.float32)
    suv[10:20, 10:20, 10:20] = 4
    suv[15, 15, 15] = 9
    mask = suv > 0
    found = {
        one.derivation.meaning if one.derivation else one.name.meaning: one
        for one in (measure(suv, mask, grid(2.0, 2.0, 2.0), kinds=KINDS))
    }
    assert found["Maximum"].value == 9
    assert found["Mean"].value == pytest.approx(4.005)
    assert found["Total Lesion Glycolysis"].value == pytest.approx(4.005 * 8.0)
    assert found["Total Lesion Glycolysis"].unit.value == "g"
    assert 4 < found["Peak Value Within ROI"].value < 4.2


def test_nothing_found_has_no_numbers() -> None:
    suv = np.ones((4, 4, 4), np.float32)
    assert measure(suv, suv > 1, grid(1, 1, 1), kinds=KINDS) == ()


@given(st.tuples(*[st.floats(0.8, 6.0)] * 3))
@settings(deadline=None, max_examples=40)
def test_the_sphere_has_a_millilitre_whatever_the_grid(
    spacing: tuple[float, float, float],
) -> None:
    geometry = grid(*spacing)
    weights = sphere(geometry)
    assert weights.sum() == pytest.approx(1)
    assert weights.argmax() == weights.size // 2 or np.isclose(
        weights.max(), weights.ravel()[weights.size // 2]
    )
    whole = weights.max()
    counted = (weights / whole).sum() * geometry.voxel_volume_mm3
    if max(spacing) < 4:
        assert counted == pytest.approx(1000, rel=0.05)
    far = [n // 2 * step for n, step in zip(weights.shape, spacing, strict=True)]
    assert all(reach >= PEAK_RADIUS_MM for reach in far)


def test_a_peak_is_the_largest_mean_that_monte_carlo_finds() -> None:
    rng = np.random.default_rng(3)
    geometry = grid(3.27, 4.6875, 4.6875, shape=(20, 20, 20))
    suv = rng.gamma(2, 2, geometry.shape).astype(np.float32)
    mask = np.zeros(geometry.shape, bool)
    mask[8:12, 9:12, 8:13] = True
    points = rng.uniform(-1, 1, (200_000, 3))
    points = points[np.linalg.norm(points, axis=1) <= 1] * PEAK_RADIUS_MM
    steps = np.rint(points / np.array(geometry.spacing_mm)).astype(int)
    means = [suv[tuple((steps + place).T)].mean() for place in np.argwhere(mask)]
    assert peak(suv, mask, geometry) == pytest.approx(max(means), rel=0.02)


def test_a_peak_at_the_edge_of_the_volume_is_found() -> None:
    suv = np.full((5, 5, 5), 2.0, np.float32)
    mask = np.zeros((5, 5, 5), bool)
    mask[0, 0, 0] = True
    assert peak(suv, mask, grid(4, 4, 4, shape=(5, 5, 5))) == pytest.approx(2)
