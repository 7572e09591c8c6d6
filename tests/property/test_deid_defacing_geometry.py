"""However a head lies and its slices run: no voxel of the brain goes, and the nose always does."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from heads import BRAIN, CONTRASTS, NOSE, MadeHead, Pose, make_head, volume_of
from hypothesis import Phase, given, settings
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


COVERING = (0, 6, 8, 15, 17, 23)
"""Each pair of axes once; rows and columns run along each axis either way."""


def test_the_orientations_that_are_tried_cover_all_axes_and_directions() -> None:
    tried = [ORIENTATIONS[number] for number in COVERING]
    pairs = {tuple(np.flatnonzero(orientation)) for orientation in tried}
    assert len(pairs) == len(tried)
    for vectors in ([one[:3] for one in tried], [one[3:] for one in tried]):
        assert len(set(vectors)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("number", COVERING)
def test_slices_of_any_orientation_show_the_same_head(number: int) -> None:
    contrast = tuple(CONTRASTS)[number % len(CONTRASTS)]
    check(make_head(contrast, orientation=ORIENTATIONS[number]))


# Without shrinking: each example is a head, and a hundred of them take minutes.
@pytest.mark.slow
@settings(deadline=None, max_examples=3, phases=(Phase.explicit, Phase.reuse, Phase.generate))
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
