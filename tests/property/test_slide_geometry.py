"""Where pixels and tiles lie on the glass, compared with highdicom's reading of the same headers."""

from __future__ import annotations

import numpy as np
import pytest
from highdicom.spatial import PixelToReferenceTransformer
from hypothesis import given, settings
from hypothesis import strategies as st
from slides import Scan, clean_slide, pyramid

from clic_edge.dicom.slides import build_slide
from clic_edge.inference.slide_grid import tile_grid


def turned(degrees: float, *, mirrored: bool) -> tuple[float, ...]:
    """Return Image Orientation (Slide) of a slide that lies turned, or was put in upside down."""
    angle = np.deg2rad(degrees)
    row = np.array([np.cos(angle), np.sin(angle), 0])
    column = np.array([-np.sin(angle), np.cos(angle), 0]) * (-1 if mirrored else 1)
    return tuple(round(float(value), 9) for value in (*row, *column))


scans = st.builds(
    Scan,
    spacing_mm=st.sampled_from([0.00025, 0.0005, 0.01]),
    origin_mm=st.tuples(st.floats(-30, 30), st.floats(-70, 70)),
    orientation=st.builds(turned, st.floats(-180, 180), mirrored=st.booleans()),
    tile=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    full=st.booleans(),
)
pictures = st.builds(
    lambda rows, columns, seed: np.random.default_rng(seed).integers(
        0, 256, (rows, columns, 3), np.uint8
    ),
    st.integers(9, 70),
    st.integers(9, 70),
    st.integers(0, 9),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(scan=scans, pixels=pictures)
def test_a_pixel_of_any_level_lies_where_its_header_says(
    scan: Scan, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    images = pyramid(scan, pixels)
    slide = build_slide(clean_slide(images))
    for ds, level in zip(images, slide.levels, strict=True):
        origin = ds.TotalPixelMatrixOriginSequence[0]
        theirs = PixelToReferenceTransformer(
            image_position=(
                float(origin.XOffsetInSlideCoordinateSystem),
                float(origin.YOffsetInSlideCoordinateSystem),
                0.0,
            ),
            image_orientation=ds.ImageOrientationSlide,
            pixel_spacing=ds.SharedFunctionalGroupsSequence[0]
            .PixelMeasuresSequence[0]
            .PixelSpacing,
        )
        ends = np.array([[0, 0], [level.matrix.columns - 1, 0], [3, level.matrix.rows - 1]])
        np.testing.assert_allclose(level.matrix.on_slide(ends), theirs(ends), atol=1e-9)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    scan=scans,
    pixels=pictures,
    zoom=st.floats(1, 6),
    size=st.integers(4, 32),
    overlap=st.integers(1, 3),
)
def test_a_tile_shows_what_lies_where_the_grid_says(
    scan: Scan,
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    zoom: float,
    size: int,
    overlap: int,
) -> None:
    slide = build_slide(clean_slide(pyramid(scan, pixels)))
    spacing = scan.spacing_mm * zoom
    grid = tile_grid(slide, spacing_mm=spacing, size=size, stride=max(1, size // overlap))
    matrix, (down, across) = grid.level.matrix, grid.shape
    last_row, last_column = grid.corner(down - 1, across - 1)
    first_row, first_column = grid.corner(0, 0)
    assert first_row <= 0  # nothing is left out
    assert first_column <= 0
    assert last_row + grid.size[0] >= matrix.rows
    assert last_column + grid.size[1] >= matrix.columns
    assert last_row < matrix.rows  # and no tile shows nothing
    assert last_column < matrix.columns
    top, left = grid.corner(down // 2, across // 2)
    centre = grid.geometry.affine @ np.array([0, down // 2, across // 2, 1])
    middle = [left + (grid.size[1] - 1) / 2, top + (grid.size[0] - 1) / 2]
    np.testing.assert_allclose(centre[:3], matrix.on_slide(np.array([middle]))[0], atol=1e-9)
    shown = grid.level.tiles(left, top, columns=grid.size[1], rows=grid.size[0])
    if grid.level is slide.levels[0]:
        padded = np.pad(pixels, ((99, 99), (99, 99), (0, 0)), constant_values=255)
        there = padded[99 + top : 99 + top + grid.size[0], 99 + left : 99 + left + grid.size[1]]
        np.testing.assert_array_equal(shown[: there.shape[0], : there.shape[1]], there)
    assert grid.read(down // 2, across // 2, pixels=size).shape == (size, size, 3)
