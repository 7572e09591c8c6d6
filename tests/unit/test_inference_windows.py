from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from clic_edge.inference.volume_input import Window
from clic_edge.inference.windows import importance, sliding_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW = (12, 10, 8)


def position_aware(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return two classes; one depends on the place in the window, so that blending shows."""
    place = np.linspace(-1, 1, int(np.prod(windows.shape[2:])), dtype=np.float32)
    return np.concatenate([windows * 2, windows + place.reshape(windows.shape[2:])], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "shape", [(12, 10, 8), (13, 10, 8), (30, 25, 21), (5, 7, 3), (24, 7, 16), (12, 31, 5)]
)
def test_the_blend_equals_monais(shape: tuple[int, int, int], overlap: float, batch: int) -> None:
    torch = pytest.importorskip("torch")
    inferers = pytest.importorskip("monai.inferers")
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    window = Window(shape=WINDOW, overlap=overlap, batch=batch)
    ours = sliding_window(image, position_aware, window=window, classes=2)
    theirs = inferers.sliding_window_inference(
        torch.from_numpy(image)[None, None],
        WINDOW,
        batch,
        lambda windows: torch.from_numpy(position_aware(windows.numpy())),
        overlap=overlap,
        mode="gaussian",
    )
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-4, rtol=0)


def test_a_network_that_ignores_place_is_blended_to_itself() -> None:
    image = np.random.default_rng(2).normal(size=(20, 18, 17)).astype(np.float32)
    window = Window(shape=WINDOW, overlap=0.25, batch=4)
    blended = sliding_window(image, lambda windows: windows, window=window, classes=1)
    np.testing.assert_allclose(blended[0], image, atol=1e-6)


def test_no_more_windows_than_the_batch_are_in_one_pass() -> None:
    sizes = []

    def counted(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.append(len(windows))
        return windows

    window = Window(shape=WINDOW, overlap=0.5, batch=4)
    sliding_window(np.zeros((20, 30, 20), np.float32), counted, window=window, classes=1)
    assert max(sizes) == 4


def test_the_middle_of_a_window_counts_most_and_a_corner_a_little() -> None:
    weight = importance((9, 9, 9))
    assert weight.max() == weight[4, 4, 4] == 1
    assert weight.min() == weight[0, 0, 0] == np.float32(1e-3)
