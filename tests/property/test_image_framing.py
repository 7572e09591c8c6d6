"""What a network sees of an image, and the way back: nothing moves by more than half a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from clic_edge.inference.framing import Framing, frame, resized
from clic_edge.inference.image_input import ImageInput

SIDES = st.integers(1, 90)
FITS = st.sampled_from(["stretch", "pad", "crop"])
SAMPLINGS = st.sampled_from(["area", "bilinear", "bicubic"])


def framing(
    source: tuple[int, int], size: tuple[int, int], *, fit: str, sampling: str = "area"
) -> Framing:
    table = {"modalities": ("XC",), "channels": 1, "size": size, "fit": fit, "sampling": sampling}
    return frame(source, ImageInput.model_validate(table | {"smallest": (1, 1)}))


def middle(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[float, float]:
    """Return the centre of mass, in pixels of `values`."""
    rows, columns = np.indices(values.shape)
    return float((rows * values).sum() / values.sum()), float(
        (columns * values).sum() / values.sum()
    )


@pytest.mark.slow
@given(rows=SIDES, columns=SIDES, size=st.tuples(SIDES, SIDES), fit=FITS, sampling=SAMPLINGS)
@settings(deadline=None, max_examples=60)
def test_an_even_image_stays_even_wherever_the_network_saw_it(
    rows: int, columns: int, size: tuple[int, int], fit: str, sampling: str
) -> None:
    way = framing((rows, columns), size, fit=fit, sampling=sampling)
    seen = way.to_network(np.full((rows, columns), 7, np.uint8))
    np.testing.assert_allclose(seen[way.placed], 7, atol=1e-4)
    back = way.to_source(np.full(size, 7, np.float32))
    assert back.shape == (rows, columns)
    np.testing.assert_allclose(back[way.taken], 7, atol=1e-4)
    assert back.sum() == pytest.approx(7 * back[way.taken].size, rel=1e-4)


@given(
    source=st.tuples(st.integers(24, 90), st.integers(24, 90)),
    size=st.tuples(st.integers(24, 90), st.integers(24, 90)),
    fit=FITS,
    sampling=SAMPLINGS,
    turned=st.sampled_from([(1, 1), (-1, 1), (1, -1), (-1, -1)]),
)
@settings(deadline=None, max_examples=80)
def test_a_spot_comes_back_where_it_was(
    source: tuple[int, int],
    size: tuple[int, int],
    fit: str,
    sampling: str,
    turned: tuple[int, int],
) -> None:
    way = framing(source, size, fit=fit, sampling=sampling)
    rows, columns = np.indices(source)
    taken = [(one.start, one.stop) for one in way.taken]
    at = [low + (high - low) * share for (low, high), share in zip(taken, (0.4, 0.55), strict=True)]
    spread = 4 + 2 * max(s / n for s, n in zip(source, size, strict=True))
    spot = np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / (2 * (spread / 3) ** 2))
    spot = (spot * (spot > 0.02)).astype(np.float32)[:: turned[0], :: turned[1]]
    inside = np.zeros(source, np.float32)
    inside[way.taken] = spot[way.taken]
    if not np.array_equal(inside, spot):  # a turned spot may reach beyond a crop
        return
    back = way.to_source(way.to_network(spot))
    assert np.abs(np.subtract(middle(back), middle(spot))).max() <= 0.5


@given(source=st.tuples(SIDES, SIDES), size=st.tuples(SIDES, SIDES), fit=FITS)
@settings(deadline=None, max_examples=80)
def test_padding_and_cropping_lie_in_the_middle_and_keep_the_aspect(
    source: tuple[int, int], size: tuple[int, int], fit: str
) -> None:
    way = framing(source, size, fit=fit)
    for part, whole in ((way.taken, source), (way.placed, size)):
        for one, n in zip(part, whole, strict=True):
            assert 0 <= one.start < one.stop <= n
            assert abs(one.start - (n - one.stop)) <= 1
    scales = [want / have for have, want in zip(source, size, strict=True)]
    placed = [n * (min(scales) if fit == "pad" else s) for n, s in zip(source, scales, strict=True)]
    taken = [n / (max(scales) if fit == "crop" else s) for n, s in zip(size, scales, strict=True)]
    for part, exact in ((way.placed, placed), (way.taken, taken)):
        for one, wanted in zip(part, exact, strict=True):
            assert abs(one.stop - one.start - max(1, wanted)) <= 0.5 + 1e-9


@pytest.mark.parametrize(("sampling", "filtered"), [("bilinear", 2), ("bicubic", 3)])
@pytest.mark.parametrize("size", [(28, 28), (33, 7), (90, 100)])
def test_bilinear_and_bicubic_are_those_of_pillow(
    sampling: str, filtered: int, size: tuple[int, int]
) -> None:
    values = np.random.default_rng(1).random((61, 45)).astype(np.float32)
    expected = Pillow.fromarray(values).resize(size[::-1], Pillow.Resampling(filtered))
    found = framing((61, 45), size, fit="stretch", sampling=sampling).to_network(values)
    np.testing.assert_allclose(found, np.asarray(expected), atol=1e-5)


def test_an_area_is_the_mean_over_what_the_new_pixel_covers() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = framing((3, 4), (2, 2), fit="stretch").to_network(values)
    whole = np.repeat(np.repeat(values, 2, axis=0), 2, axis=1)  # 6 x 8: blocks of 3 x 4
    np.testing.assert_allclose(found, whole.reshape(2, 3, 2, 4).mean(axis=(1, 3)), rtol=1e-6)


def test_colours_are_resized_one_by_one() -> None:
    values = np.random.default_rng(2).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    found = framing((20, 30), (8, 9), fit="pad", sampling="bicubic").to_network(values)
    way = framing((20, 30), (8, 9), fit="pad", sampling="bicubic")
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], way.to_network(values[..., channel]))


def test_a_map_of_few_numbers_reaches_over_the_whole_image() -> None:
    corners = np.array([[1, 0], [0, 0]], np.float32)
    found = resized(corners, (40, 40))
    assert found[0, 0] == 1
    assert found[39, 39] == 0
    assert found[20, 20] == pytest.approx(0.25, abs=0.03)
