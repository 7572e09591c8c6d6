from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from clic_edge.domain.volume import Geometry
from clic_edge.inference.labelling import label_map
from clic_edge.inference.transforms import network_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL_48 = [
    np.diag([*signs, 1.0])[:, [*axes, 3]]
    for axes in permutations(range(3))
    for signs in product((1.0, -1.0), repeat=3)
]
ORIENTATIONS = ["".join(o) for p in permutations(["RL", "AP", "SI"]) for o in product(*p)]
ISOTROPIC = (1.0, 1.0, 1.0)

turns = st.sampled_from(ALL_48)
shapes = st.tuples(*[st.integers(1, 7)] * 3)
small_tilts = st.tuples(*[st.floats(-0.3, 0.3)] * 3)


def geometry(affine: NDArray[np.float64], shape: tuple[int, ...]) -> Geometry:
    return Geometry(affine=affine, shape=shape)  # type: ignore[arg-type] # shapes are three long


def rotation(tilt: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return a rotation by Rodrigues' formula, as a (4, 4) matrix."""
    angle = float(np.linalg.norm(tilt)) or 1e-12
    x, y, z = np.array(tilt) / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(4)
    turn[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn


@given(
    turn=turns,
    tilt=small_tilts,
    orientation=st.sampled_from(ORIENTATIONS),
    labels=npst.arrays(np.uint8, shapes, elements=st.integers(0, 2)),
)
@settings(deadline=None, max_examples=300)
def test_a_label_map_comes_back_exactly_from_every_orientation(
    turn: NDArray[np.float64],
    tilt: tuple[float, float, float],
    orientation: str,
    labels: NDArray[np.uint8],
) -> None:
    source = geometry(rotation(tilt) @ turn, labels.shape)
    grid = network_grid(source, orientation=orientation, spacing_mm=ISOTROPIC)
    seen = grid.to_network(labels)
    assert seen.shape == grid.shape
    found = label_map([(seen == number).astype(np.float32) for number in range(3)], grid)
    np.testing.assert_array_equal(found.label_map, labels)


@pytest.mark.parametrize("turn", ALL_48, ids=lambda a: str(a[:3, :3].astype(int).tolist()))
def test_the_networks_axes_point_where_its_orientation_says(turn: NDArray[np.float64]) -> None:
    shape = (4, 5, 6)
    index = np.stack([*np.indices(shape), np.ones(shape)])
    lps = np.einsum("ij,jabc->iabc", turn, index)[:3]
    grid = network_grid(geometry(turn, shape), orientation="RAS", spacing_mm=ISOTROPIC)
    right, anterior, superior = (grid.to_network(values) for values in (-lps[0], -lps[1], lps[2]))
    assert (np.diff(right, axis=0) == 1).all()
    assert (np.diff(anterior, axis=1) == 1).all()
    assert (np.diff(superior, axis=2) == 1).all()
    assert grid.tilt_deg == 0


def test_tilt_is_the_angle_to_the_nearest_axis() -> None:
    tilted = rotation((np.radians(17), 0, 0)) @ ALL_48[5]
    grid = network_grid(geometry(tilted, (4, 4, 4)), orientation="RAS", spacing_mm=ISOTROPIC)
    assert grid.tilt_deg == pytest.approx(17)


def test_a_sheared_grid_is_as_tilted_as_its_most_tilted_axis() -> None:
    sheared = np.eye(4)
    sheared[0, 2] = np.tan(np.radians(12))
    grid = network_grid(geometry(sheared, (4, 4, 4)), orientation="LPS", spacing_mm=ISOTROPIC)
    assert grid.tilt_deg == pytest.approx(12)


@given(
    spacing=st.tuples(*[st.floats(0.4, 2.5)] * 3),
    turn=turns,
    slope=st.tuples(*[st.floats(-3, 3)] * 3),
)
@settings(deadline=None, max_examples=60)
def test_a_linear_ramp_in_the_patient_is_the_same_ramp_on_every_grid(
    spacing: tuple[float, float, float],
    turn: NDArray[np.float64],
    slope: tuple[float, float, float],
) -> None:
    shape = (16, 18, 20)
    affine = turn @ np.diag([*spacing, 1.0])
    index = np.stack([*np.indices(shape), np.ones(shape)])
    values = np.einsum("i,ij,jabc->abc", (*slope, 0.0), affine, index)
    grid = network_grid(geometry(affine, shape), orientation="RAS", spacing_mm=ISOTROPIC)
    back = grid.to_source(grid.to_network(values))
    inner = (slice(6, -6),) * 3
    np.testing.assert_allclose(back[inner], values[inner], atol=1e-3)


def test_spacing_within_five_percent_is_left_alone() -> None:
    affine = np.diag([1.04, 0.97, 1.2, 1.0])
    grid = network_grid(geometry(affine, (20, 20, 20)), orientation="LPS", spacing_mm=ISOTROPIC)
    assert grid.shape == (20, 20, 24)
    assert grid.extent_mm == pytest.approx((20.8, 19.4, 24.0))


def test_halving_the_resolution_averages_what_becomes_one_voxel() -> None:
    stripes = np.tile([0.0, 1.0], 10).reshape(1, 1, 20)
    affine = np.diag([1, 1, 0.5, 1.0])
    grid = network_grid(geometry(affine, (1, 1, 20)), orientation="LPS", spacing_mm=ISOTROPIC)
    np.testing.assert_allclose(grid.to_network(stripes)[0, 0, 1:-1], 0.5, atol=1e-6)


def test_labels_are_compared_after_they_were_brought_back() -> None:
    affine = np.diag([1, 1, 0.5, 1.0])
    grid = network_grid(geometry(affine, (1, 1, 4)), orientation="LPS", spacing_mm=ISOTROPIC)
    background, inside = np.array([[[1.0, 0.2]]]), np.array([[[0.0, 0.8]]])
    found = label_map([background, inside], grid)
    assert found.label_map[0, 0].tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(found.mean_probability, [0.9, 0.7], atol=1e-6)
