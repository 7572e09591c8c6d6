"""Labels are made plane by plane, and are those of all planes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clic_edge.domain.volume import Geometry
from clic_edge.inference.intensity import Prepared, Range, ZScore, prepare
from clic_edge.inference.labelling import label_map, labelled, mean_by_label
from clic_edge.inference.transforms import network_grid
from clic_edge.inference.volume_input import Window
from clic_edge.inference.windows import finished_planes, sliding_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from clic_edge.inference.transforms import NetworkGrid

CLASSES = 3
TIE = 1e-5
"""Probabilities that lie nearer to each other are the same but for rounding."""
spacings = st.tuples(*[st.sampled_from([0.4, 0.7, 1.0, 2.3])] * 3)
orientations = st.sampled_from(["RAS", "LPS", "SPL", "IAR", "PIL"])


def grid_of(spacing: tuple[float, ...], orientation: str) -> NetworkGrid:
    geometry = Geometry(affine=np.diag([*spacing, 1.0]), shape=(11, 14, 9))
    return network_grid(geometry, orientation=orientation, spacing_mm=(1.0, 1.0, 1.0))


def noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(4).random((CLASSES, *shape), dtype=np.float32)


@given(spacing=spacings, orientation=orientations, thickness=st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_thin_slabs_are_labelled_as_the_whole_is(
    spacing: tuple[float, ...], orientation: str, thickness: int
) -> None:
    grid = grid_of(spacing, orientation)
    probabilities = noise(grid.shape)
    cuts = range(0, grid.shape[0], thickness)
    slabs = (probabilities[:, first : first + thickness] for first in cuts)
    found = labelled(slabs, grid, classes=CLASSES)

    brought_back = np.stack([grid.to_source(one) for one in probabilities])
    least, most = np.sort(brought_back, axis=0)[-2:]
    sure = most - least > TIE
    np.testing.assert_array_equal(found.label_map[sure], brought_back.argmax(axis=0)[sure])
    means = mean_by_label(brought_back.max(axis=0), found.label_map, classes=CLASSES)
    assert found.mean_probability == pytest.approx(means, abs=1e-5)


def test_a_class_that_no_voxel_has_has_no_probability() -> None:
    grid = grid_of((1.0, 1.0, 1.0), "LPS")
    sure = np.zeros((CLASSES, *grid.shape), np.float32)
    sure[0] = 1
    assert label_map(sure, grid).mean_probability == (1, 0, 0)


def test_a_window_is_prepared_as_the_whole_volume_is() -> None:
    voxels = np.random.default_rng(0).normal(300, 90, (20, 30, 25)).astype(np.float32)
    steps = (ZScore(step="z-score"), Range(step="range", low=-1.0, high=3.0))
    whole, lazy = (
        prepare(voxels.transpose(2, 0, 1), steps),
        Prepared(voxels.transpose(2, 0, 1), steps),
    )
    assert lazy.shape == whole.shape
    window = Window(shape=(12, 10, 8), overlap=0.5, batch=2)
    blends = [
        sliding_window(image, lambda windows: windows, window=window, classes=1)
        for image in (whole, lazy)
    ]
    np.testing.assert_array_equal(*blends)


@dataclass(frozen=True)
class Counted:
    """A step that tells how many voxels it has seen."""

    seen: list[int] = field(default_factory=list)

    def settled(self, values: Callable[[], NDArray[np.float64]]) -> Counted:  # noqa: ARG002 - as a step's
        """Return the step."""
        return self

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values, counted."""
        self.seen.append(values.size)
        return values


class AskedError(Exception):
    """The network was asked."""


def test_the_network_is_asked_before_the_rest_of_the_volume_is_prepared() -> None:
    def forward(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AskedError(windows.shape)

    step, window = Counted(), Window(shape=(8, 8, 8), overlap=0.5, batch=1)
    image = Prepared(np.zeros((40, 40, 40), np.float32), (step,))
    with pytest.raises(AskedError):
        next(finished_planes(image, forward, window=window, classes=1))
    assert step.seen == [8**3]
