"""However a head lies and its slices run: no voxel of the brain goes, and the nose always does."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from heads import BRAIN, CONTRASTS, NOSE, MadeHead, Pose, make_head, volume_of
from hypothesis import given, settings
from hypothesis import strategies as st

from clic_edge.deid.headmask import cut_of, levelled

ORIENTATIONS = [
    tuple(float(x) for x in (*(np.eye(3)[row] * one), *(np.eye(3)[column] * other)))
    for (row, column), one, other in product(permutations(range(3), 2), (1, -1), (1, -1))
]


def check(made: MadeHead) -> None:
    head = levelled(volume_of(made.datasets))
    removed = cut_of(head).removed(head.geometry)
    assert not removed[made.truth == BRAIN].any()
    assert removed[made.truth == NOSE].all()


@pytest.mark.parametrize("number", range(0, len(ORIENTATIONS), 2))
def test_slices_of_any_orientation_show_the_same_head(number: int) -> None:
    contrast = tuple(CONTRASTS)[number % len(CONTRASTS)]
    check(make_head(contrast, orientation=ORIENTATIONS[number]))


@settings(deadline=None, max_examples=8)
@given(
    contrast=st.sampled_from(tuple(CONTRASTS)),
    orientation=st.sampled_from(ORIENTATIONS),
    spacing=st.tuples(st.floats(2.2, 3.4), st.floats(2.2, 3.0), st.floats(2.2, 3.0)),
    pose=st.builds(
        Pose,
        nod=st.floats(-20, 20),
        turn=st.floats(-10, 10),
        tilt=st.floats(-6, 6),
        size=st.floats(0.9, 1.1),
    ),
)
def test_a_head_in_any_pose_and_spacing_keeps_its_brain_and_loses_its_nose(
    contrast: str,
    orientation: tuple[float, ...],
    spacing: tuple[float, float, float],
    pose: Pose,
) -> None:
    check(make_head(contrast, pose, orientation=orientation, spacing=spacing))
