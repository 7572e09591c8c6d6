"""A mask goes to the network's grid by any list of steps and comes back to where it was."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.ndimage import center_of_mass
from scipy.spatial.transform import Rotation

from clic_edge.domain.volume import Geometry
from clic_edge.inference.labelling import label_map
from clic_edge.inference.transforms import laid_out, oriented
from clic_edge.inference.volume_input import Input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from clic_edge.inference.transforms import NetworkGrid

    Told = Mapping[str, object]

ALL_48 = [
    np.diag(signs)[:, axes]
    for axes in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
ORIENTATIONS = ["".join(o) for p in permutations(["RL", "AP", "SI"]) for o in product(*p)]
ORIENT: Told = {"step": "orient"}
CROP: Told = {"step": "crop-foreground", "above": 500, "margin_mm": 2}
PAD: Told = {"step": "pad", "multiple": 8}

BALL_STEPS = 5
"""Radius of the ball, in the coarsest spacing of either grid."""

tilts = st.tuples(*[st.floats(-0.35, 0.35)] * 3).map(lambda t: Rotation.from_rotvec(t).as_matrix())
turns = st.sampled_from(ALL_48)
millimetres = st.floats(0.7, 2.5)
spacings = st.tuples(*[millimetres] * 3)
resamplings = st.one_of(
    st.just({"step": "average"}),
    st.builds(
        lambda order, smooth: {"step": "resample", "order": order, "anti_alias": smooth},
        st.sampled_from([0, 1, 3]),
        st.booleans(),
    ),
)
orders = st.sampled_from(
    [("=",), ("=", CROP, PAD), (CROP, "=", PAD), (PAD, "="), (PAD, CROP, "=", PAD)]
)
lists = st.builds(
    lambda order, resampling: [ORIENT, *(resampling if one == "=" else one for one in order)],
    orders,
    resamplings,
)


def declared(steps: list[Told], orientation: str, spacing_mm: tuple[float, ...]) -> Input:
    return Input.model_validate(
        {
            "modality": "CT",
            "orientation": orientation,
            "spacing_mm": spacing_mm,
            "source_spacing_mm": (0.1, 9.0),
            "smallest_mm": (1.0,) * 3,
            "largest_mm": (900.0,) * 3,
            "largest_tilt_deg": 40.0,
            "geometry": steps,
        }
    )


def brought_back(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], wanted: Input
) -> tuple[NDArray[np.uint8], NetworkGrid]:
    """Return the labels after they went to the network's grid, where each is a probability."""
    geometry = Geometry(affine=affine, shape=labels.shape)  # type: ignore[arg-type] # three long
    grid = laid_out(labels.astype(np.float32) * 1000, geometry, wanted)
    shares = np.stack([grid.to_network(labels == one) for one in range(int(labels.max()) + 1)])
    return label_map(shares, grid).label_map, grid


axes = st.builds(lambda tilt, turn: tilt @ turn, tilts, turns)


@pytest.mark.slow
@given(
    axes=axes,
    spacing=spacings,
    wanted_mm=spacings,
    orientation=st.sampled_from(ORIENTATIONS),
    steps=lists,
    off_centre=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
)
@settings(deadline=None, max_examples=60)
def test_a_ball_comes_back_to_its_place_by_any_steps(
    axes: NDArray[np.float64],
    spacing: tuple[float, ...],
    wanted_mm: tuple[float, ...],
    orientation: str,
    steps: list[Told],
    off_centre: tuple[float, ...],
) -> None:
    coarsest = max(*spacing, *wanted_mm)
    radius = BALL_STEPS * coarsest
    shape = tuple(int(2 * (radius + coarsest) / step) + 3 for step in spacing)
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag(spacing)
    middle = (np.array(shape) - 1) / 2 + off_centre
    places = np.indices(shape) - middle[:, None, None, None]
    ball = np.linalg.norm(np.tensordot(affine[:3, :3], places, 1), axis=0) <= radius

    found, _ = brought_back(ball.astype(np.uint8), affine, declared(steps, orientation, wanted_mm))

    moved = np.subtract(center_of_mass(found), center_of_mass(ball))
    assert np.abs(moved).max() < 0.5
    # No border moves by more than half of the coarser voxel: a shell of that thickness about a
    # ball holds 3 h / r of its volume, and of two such volumes Dice loses half of that.
    dice = 2 * (ball & (found == 1)).sum() / (ball.sum() + found.sum())
    assert dice > 1 - 1.5 * (coarsest / 2) / radius


@given(
    axes=axes,
    spacing=spacings,
    orientation=st.sampled_from(ORIENTATIONS),
    order=st.sampled_from([0, 1, 3]),
    labels=npst.arrays(
        np.uint8, st.tuples(*[st.integers(1, 9)] * 3), elements=st.integers(0, 2)
    ).filter(np.any),
)
@settings(deadline=None, max_examples=100)
def test_labels_come_back_exactly_where_the_grids_agree(
    axes: NDArray[np.float64],
    spacing: tuple[float, ...],
    orientation: str,
    order: int,
    labels: NDArray[np.uint8],
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag(spacing)
    own = oriented(Geometry(affine=affine, shape=labels.shape), orientation)  # type: ignore[arg-type] # three long
    steps = [ORIENT, CROP, {"step": "resample", "order": order}, PAD]
    found, grid = brought_back(labels, affine, declared(steps, orientation, own.source_spacing_mm))
    np.testing.assert_array_equal(found, labels)
    assert all(count % 8 == 0 for count in grid.shape)


@given(
    axes=axes,
    spacing=spacings,
    wanted_mm=spacings,
    orientation=st.sampled_from(ORIENTATIONS),
    steps=lists,
)
@settings(deadline=None, max_examples=60)
def test_the_affine_says_where_each_voxel_of_the_network_lies(
    axes: NDArray[np.float64],
    spacing: tuple[float, ...],
    wanted_mm: tuple[float, ...],
    orientation: str,
    steps: list[Told],
) -> None:
    """A ramp is the same ramp on every grid, so it tells the place of a voxel in the patient."""
    shape = (13, 16, 15)
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag(spacing)
    geometry = Geometry(affine=affine, shape=shape)
    sharp = [{**one, "order": 1} if one["step"] == "resample" else one for one in steps]
    # All voxels are foreground, so that the crop keeps them all.
    grid = laid_out(
        np.full(shape, 1000, np.float32), geometry, declared(sharp, orientation, wanted_mm)
    )
    index = np.stack([*np.indices(shape), np.ones(shape)])
    there = np.einsum("ij,jabc->iabc", affine, index)[:3]
    found = np.stack([grid.to_network(axis) for axis in there])

    own = np.stack([*np.indices(grid.shape), np.ones(grid.shape)])
    expected = np.einsum("ij,jabc->iabc", grid.affine(geometry), own)[:3]
    # Within three voxels of a border, either grid's, smoothing or padding may show.
    reach = 3 * np.abs(np.linalg.inv(affine[:3, :3]) @ grid.affine(geometry)[:3, :3]).max() + 3
    place = np.einsum("ij,jabc->iabc", np.linalg.inv(affine) @ grid.affine(geometry), own)[:3]
    far = [
        (reach <= one) & (one <= size - 1 - reach) for one, size in zip(place, shape, strict=True)
    ]
    inner = np.logical_and.reduce(far)
    np.testing.assert_allclose(found[:, inner], expected[:, inner], atol=2e-3)
