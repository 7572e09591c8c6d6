from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from slides import (
    EOSIN,
    GLASS,
    HAEMATOXYLIN,
    PEN,
    Scan,
    clean_slide,
    coarser,
    painting,
    pyramid,
    sm_image,
    stained,
)

from clic_edge.dicom.slides import build_slide
from clic_edge.domain.overview import overview
from clic_edge.domain.slide import Level, Matrix
from clic_edge.errors import Refusal
from clic_edge.inference.slide_grid import tile_grid
from clic_edge.inference.tissue import Tissue, otsu

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from slides import Picture

STEP = Tissue(step="tissue", spacing_mm=0.004, smallest_mm2=0.005, largest_hole_mm2=0.005)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * np.count_nonzero(one & other) / (one.sum() + other.sum()))


def glass(rows: int = 200, columns: int = 300) -> Picture:
    picture = np.empty((rows, columns, 3), np.uint8)
    picture[:] = GLASS
    noise = np.random.default_rng(1).integers(-3, 4, picture.shape)
    return (picture + noise).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_tissue_is_found_and_ink_is_not(seed: int) -> None:
    painted = painting(seed=seed)
    slide = build_slide(clean_slide(pyramid(Scan(codec="jpeg"), painted.pixels)))
    truth = coarser(np.repeat(painted.tissue[..., None] * 255, 3, 2).astype(np.uint8), 4)
    assert dice(STEP.apply(overview(slide.levels, 0.004)), truth[..., 0] > 127) > 0.98


@pytest.mark.parametrize(
    "stain",
    [EOSIN, HAEMATOXYLIN, np.array((0.27, 0.57, 0.78)), np.array((0.1, 0.7, 0.5))],
    ids=["eosin", "haematoxylin", "DAB", "Congo red"],
)
@pytest.mark.parametrize("amount", [0.15, 0.8])
def test_any_stain_counts_pale_or_dark(stain: NDArray[np.float64], amount: float) -> None:
    picture = glass()
    picture[50:150, 60:200] = stained((100, 140), [(stain, amount)])
    truth = np.zeros(picture.shape[:2], np.bool_)
    truth[50:150, 60:200] = True
    assert dice(STEP.apply(picture), truth) > 0.97


def test_pale_tissue_beside_dark_is_not_lost() -> None:
    picture = glass()
    picture[20:100, 20:280] = stained((80, 260), [(HAEMATOXYLIN, 1.0)])
    picture[120:180, 20:280] = stained((60, 260), [(EOSIN, 0.25)])
    found = STEP.apply(picture)
    assert found[25:95, 25:275].all()
    assert found[125:175, 25:275].all()


@pytest.mark.parametrize(
    "mark",
    [PEN, (20, 130, 60), (15, 15, 18), (190, 190, 193)],
    ids=["blue ink", "green ink", "black ink", "a grey shadow"],
)
def test_what_is_no_stain_is_no_tissue(mark: tuple[int, int, int]) -> None:
    picture = glass()
    picture[60:90, 20:280] = mark
    assert not STEP.apply(picture).any()


def test_an_empty_slide_has_no_tissue() -> None:
    assert not STEP.apply(glass()).any()


def test_a_slide_full_of_tissue_is_all_tissue() -> None:
    painted = painting(400, 400, nuclei=40)
    picture = coarser(painted.pixels[130:270, 80:180], 2)  # within the ellipse
    assert STEP.apply(picture).all()


def test_dust_goes_and_small_holes_are_filled() -> None:
    picture = glass()
    picture[40:160, 40:160] = stained((120, 120), [(EOSIN, 0.5)])
    picture[80:86, 80:86] = GLASS
    picture[20:24, 250:254] = stained((4, 4), [(EOSIN, 0.5)])
    found = STEP.apply(picture)
    assert found[45:155, 45:155].all()
    assert not found[:, 200:].any()


def test_the_threshold_is_the_one_that_splits_two_heaps() -> None:
    values = np.concatenate([np.linspace(0, 1, 500), np.linspace(4, 5, 100)]).astype(np.float32)
    assert 1 < otsu(values) < 4
    assert otsu(np.zeros(10, np.float32)) == pytest.approx(0, abs=0.51)


def test_an_overview_does_not_depend_on_the_level_that_it_is_read_from() -> None:
    pixels = painting(520, 780).pixels
    several = build_slide(clean_slide(pyramid(Scan(factors=(1, 2, 4)), pixels)))
    one = build_slide(clean_slide([sm_image(Scan(), pixels)]))
    ours, theirs = overview(several.levels, 0.004), overview(one.levels, 0.004)
    assert ours.shape == theirs.shape == (130, 195, 3)
    assert np.abs(ours.astype(int) - theirs).max() <= 2


class _Glass:
    """Tiles of empty glass, and how much of it was asked for at once."""

    largest = 0

    def __call__(self, column: int, row: int, *, columns: int, rows: int) -> Picture:  # noqa: ARG002 - all is alike
        """Return glass."""
        self.largest = max(self.largest, rows * columns)
        return np.full((rows, columns, 3), 245, np.uint8)


def test_a_slide_of_one_level_is_looked_at_from_afar_without_holding_it_in_memory() -> None:
    matrix = Matrix(
        rows=9000,
        columns=12000,
        origin_mm=(0, 0, 0),
        orientation=(1, 0, 0, 0, 1, 0),
        spacing_mm=(0.00025, 0.00025),
    )
    glass = _Glass()
    picture = overview((Level(matrix=matrix, tiles=glass, instance_index=0),), 0.032)
    assert picture.shape == (70, 94, 3)
    assert glass.largest <= 4096**2


@pytest.mark.slow
def test_a_slide_that_is_too_coarse_is_refused() -> None:
    slide = build_slide(clean_slide([sm_image(Scan(), painting(100, 100, nuclei=2).pixels)]))
    with pytest.raises(Refusal) as caught:
        tile_grid(slide, spacing_mm=0.0005, size=64, stride=64)
    assert caught.value.code == "slide-too-coarse"
    assert "1 µm" in caught.value.sentence


def test_real_tissue_is_found_and_glass_and_dust_are_not(test_data: Path) -> None:
    """Two sections of a lymph node; the boxes were chosen by eye on the picture."""
    path = "dicom/sm-wholeslide/ezwsi_multiframe_camelyon_challenge_image.dcm"
    ds = pydicom.dcmread(test_data / path)
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20, 40
    ds.TotalPixelMatrixOriginSequence = [origin]
    slide = build_slide(clean_slide([ds]))
    step = Tissue(step="tissue", spacing_mm=0.029, smallest_mm2=0.05)
    found = step.apply(overview(slide.levels, 0.0289685))
    assert 0.15 < found.mean() < 0.25
    assert found[150:250, 130:190].mean() > 0.99  # a node
    assert found[350:450, 750:800].mean() > 0.99
    assert found[0:40].mean() == 0  # glass, shadows and specks above it
    assert found[:, 1090:].mean() == 0
