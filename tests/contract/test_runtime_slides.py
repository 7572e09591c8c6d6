"""The runtime for slides, on the package that ships and on packages made to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import known_labels, volume_of, write_package
from slides import (
    EOSIN,
    HAEMATOXYLIN,
    Scan,
    clean_slide,
    painting,
    pyramid,
    slide_package,
    sm_image,
    stained,
)

from clic_edge.dicom.slides import build_slide
from clic_edge.domain.image import InputKind
from clic_edge.domain.overview import overview
from clic_edge.drift.features import agreement_features
from clic_edge.errors import ConfigError, Defect, Refusal
from clic_edge.inference.declaration import read_declaration
from clic_edge.inference.footprint import size_of
from clic_edge.inference.limits import Adjustable, Clock, Limits
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.made_up import made_up
from clic_edge.inference.package import load_package
from clic_edge.inference.slide_grid import tile_grid
from clic_edge.inference.tiling import SlideRuntime, tissue_share

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from slides import Picture

    from clic_edge.domain.slide import Slide


@pytest.fixture(scope="module")
def ships(root: Path) -> Path:
    return root / "models" / "tissue-tiles"


def slide_of(pixels: Picture, scan: Scan | None = None) -> Slide:
    return build_slide(clean_slide(pyramid(scan or Scan(), pixels)))


def haematoxylin(tile: Picture) -> NDArray[np.float64]:
    """Return its optical density by least squares: not how the network does it."""
    density = np.maximum(-np.log10(np.maximum(tile, 1) / 245.0), 0)
    dyes = np.array([HAEMATOXYLIN, EOSIN, np.cross(HAEMATOXYLIN, EOSIN)])
    dyes /= np.linalg.norm(dyes, axis=1, keepdims=True)
    amounts = np.linalg.lstsq(dyes.T, density.reshape(-1, 3).T, rcond=None)[0]
    return np.maximum(amounts[0], 0).reshape(tile.shape[:2])


@pytest.mark.slow
def test_each_tile_has_the_score_that_the_method_gives(ships: Path) -> None:
    pixels = painting(nuclei=150).pixels
    found = load_runtime(ships).predict(slide_of(pixels))
    looked_at = np.argwhere(found.label_map[0])
    assert len(looked_at) > 10
    for row, column in looked_at:
        tile = pixels[row * 128 : row * 128 + 128, column * 128 : column * 128 + 128]
        padded = np.full((128, 128, 3), 255, np.uint8)
        padded[: tile.shape[0], : tile.shape[1]] = tile
        density = haematoxylin(padded)
        area, mean = (one.values[0, row, column] for one in found.maps)
        assert area == pytest.approx((density >= 0.3).mean(), abs=2e-4)  # a pixel at the limit
        assert mean == pytest.approx(density.mean(), rel=1e-4)


@pytest.mark.slow
def test_the_area_of_known_nuclei_is_measured(ships: Path) -> None:
    """Whatever the codec: 49 pixels for each nucleus, of a tissue whose tiles are all looked at."""
    painted = painting(768, 1024, nuclei=120, seed=3)
    for codec in ("native", "jpeg2000", "jpeg"):
        found = load_runtime(ships).predict(slide_of(painted.pixels, Scan(codec=codec)))
        tiles = painted.nuclei // 128
        looked_at = found.label_map[0][tiles[:, 1], tiles[:, 0]] > 0
        measured = found.maps[0].values.sum() * 128 * 128 / 49
        assert measured == pytest.approx(looked_at.sum(), rel=0.1 if codec == "jpeg" else 0.03)
        assert found.maps[0].values.max() < 0.1


def dense(rows: int = 512, columns: int = 640) -> Picture:
    """Return pink tissue, of which one tile is full of nuclei."""
    pixels = np.full((rows, columns, 3), 245, np.uint8)
    pixels[128:384, 128:512] = stained((1, 1), [(EOSIN, 0.4)])[0, 0]
    pixels[260:380, 390:510] = stained((1, 1), [(HAEMATOXYLIN, 0.8)])[0, 0]
    return pixels


def test_the_tile_that_reaches_the_operating_point_is_marked_and_its_neighbours_are_not(
    ships: Path,
) -> None:
    found = load_runtime(ships).predict(slide_of(dense()))
    assert found.label_map.shape == (1, 4, 5)
    assert np.argwhere(found.label_map[0] == 2).tolist() == [[2, 3]]
    assert np.argwhere(found.label_map[0] == 1).tolist() == [
        [row, column] for row in (1, 2) for column in (1, 2, 3) if (row, column) != (2, 3)
    ]
    tissue, marked = found.segments
    assert (tissue.voxel_count, marked.voxel_count) == (5, 1)
    assert tissue.measurements[0].value == pytest.approx(0.256 * 0.384, rel=0.03)
    assert marked.measurements[0].value == pytest.approx(0.128**2)
    (mean, highest) = (one.value for one in tissue.measurements[1:3])
    assert highest == pytest.approx(120 * 120 / 128 / 128, abs=0.01)
    assert mean == pytest.approx(highest / 6, abs=0.01)


@pytest.mark.slow
def test_the_prediction_lies_where_the_tiles_lie(ships: Path) -> None:
    slide = slide_of(dense())
    geometry = load_runtime(ships).predict(slide).geometry
    assert geometry.on_slide
    assert not geometry.in_patient
    centre = geometry.affine @ np.array([0, 2, 3, 1])
    middle = np.array([[3 * 128 + 63.5, 2 * 128 + 63.5]])
    np.testing.assert_allclose(centre[:3], slide.levels[0].matrix.on_slide(middle)[0], atol=1e-9)
    np.testing.assert_allclose(geometry.spacing_mm[1:], (0.128, 0.128))


def test_a_finer_slide_gives_the_same_scores(ships: Path) -> None:
    coarse = load_runtime(ships).predict(slide_of(dense()))
    finer = np.repeat(np.repeat(dense(), 2, 0), 2, 1)
    fine = load_runtime(ships).predict(slide_of(finer, Scan(spacing_mm=0.0005, factors=(1,))))
    for one, other in zip(coarse.maps, fine.maps, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-6)
    np.testing.assert_array_equal(coarse.label_map, fine.label_map)


def test_the_same_slide_gives_the_same_prediction_and_nobody_can_change_it(ships: Path) -> None:
    runtime = load_runtime(ships)
    first, second = (runtime.predict(slide_of(dense())) for _ in range(2))
    np.testing.assert_array_equal(first.maps[1].values, second.maps[1].values)
    assert not first.label_map.flags.writeable
    assert not first.maps[0].values.flags.writeable
    assert runtime.takes is InputKind.SLIDE
    assert runtime.needs == {"modality"}


@pytest.mark.parametrize(
    ("pixels", "spacing_mm", "code"),
    [
        (np.full((300, 400, 3), 244, np.uint8), 0.001, "no-tissue"),
        (dense(), 0.002, "slide-too-coarse"),
    ],
)
def test_a_slide_that_does_not_fit_is_refused(
    ships: Path, pixels: Picture, spacing_mm: float, code: str
) -> None:
    slide = slide_of(pixels, Scan(spacing_mm=spacing_mm, factors=(1,)))
    with pytest.raises(Refusal) as caught:
        load_runtime(ships).predict(slide)
    assert caught.value.code == code


def test_what_is_no_slide_and_a_slide_for_another_model_are_refused(
    ships: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_runtime(ships).predict(volume_of(known_labels()))
    assert caught.value.code == "model-for-slides"
    with pytest.raises(ConfigError) as caught:
        load_runtime(write_package(tmp_path / "brightness")).predict(slide_of(dense()))
    assert caught.value.code == "model-for-volumes"


def test_another_modality_is_refused(ships: Path) -> None:
    image = sm_image(Scan(), dense())
    image.Modality = "GM"
    with pytest.raises(Refusal) as caught:
        load_runtime(ships).predict(build_slide(clean_slide([image])))
    assert caught.value.code == "modality-unsupported"


def test_a_sigmoid_makes_probabilities_of_logits(tmp_path: Path) -> None:
    runtime = load_runtime(slide_package(tmp_path, logit=2.0))
    found = runtime.predict(slide_of(dense()))
    inside = found.maps[0].values[found.label_map > 0]
    np.testing.assert_allclose(inside, 1 / (1 + np.exp(-2.0)), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"outputs": 3}, "network-shape"), ({"logit": np.nan}, "network-not-finite")],
)
def test_a_network_that_does_not_fit_does_not_load(
    tmp_path: Path, change: dict[str, float], code: str
) -> None:
    with pytest.raises(Defect) as caught:
        load_runtime(slide_package(tmp_path, **change))  # type: ignore[arg-type] # one of two
    assert caught.value.code == code


def test_a_challenger_with_tiles_of_its_own_is_compared_where_it_can_be(tmp_path: Path) -> None:
    slide = slide_of(dense())
    active = load_runtime(slide_package(tmp_path / "active")).predict(slide)
    denser = slide_package(tmp_path / "denser", old="stride = 128", new="stride = 64")
    challenger = load_runtime(denser).predict(slide)
    assert agreement_features(challenger, active) == ()
    assert {one.name for one in agreement_features(active, active)} == {
        "agreement.tissue.dice",
        "agreement.tumour.dice",
    }


class _Several:
    """A network with two outputs, of which none is called ``scores``."""

    device = "cpu"

    def outputs(self, tiles: Picture) -> dict[str, NDArray[np.float32]]:
        """Return a number of each kind for each tile."""
        one = np.ones((len(tiles), 1), np.float32)
        return {"confidence": one, "tumour": -one}


def test_of_several_outputs_none_is_taken_for_the_scores_by_its_place(tmp_path: Path) -> None:
    package = load_package(slide_package(tmp_path))
    with pytest.raises(Defect) as caught:
        SlideRuntime(package, _Several())  # type: ignore[arg-type] # floats too
    assert caught.value.code == "network-shape"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("stride = 128", "stride = 256", "stride"),
        ("spacing_mm = 0.008", "spacing_mm = 0.0001", "farther"),
        ('[operating_point]\nname = "likely"\nthreshold = 0.5\n', "", "operating_point"),
        ("batch = 4", "bach = 4", "batch"),
        ('step = "tissue"', 'step = "tissues"', "tissue"),
        ("[tiles]", "[image]\nfit = 'pad'\n[tiles]", "image"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        slide_package(tmp_path, old=old, new=new)
    assert told in caught.value.sentence


def test_the_share_of_tissue_is_counted_over_the_whole_tile() -> None:
    slide = slide_of(dense())
    mask = np.zeros(overview(slide.levels, 0.008).shape[:2], np.bool_)
    mask[16:32, 16:24] = True  # the lower half of a row of tiles
    grid = tile_grid(slide, spacing_mm=0.001, size=128, stride=128)
    assert tissue_share(mask, grid, spacing_mm=0.008)[1, 1] == 0.5
    # Tiles around cells of half their side: this one from row 12 to 28 and column 20 to 36.
    grid = tile_grid(slide, spacing_mm=0.001, size=128, stride=64)
    share = tissue_share(mask, grid, spacing_mm=0.008)
    assert share.shape == (8, 10)
    assert share[2, 3] == 12 * 4 / 16**2
    assert share[0, 0] == 0


def test_limits_change_no_score_and_time_runs_out(ships: Path) -> None:
    runtime = load_runtime(ships)
    assert isinstance(runtime, Adjustable)
    whole = runtime.predict(slide_of(dense()))
    single = runtime.within(Limits(batch=1)).predict(slide_of(dense()))
    np.testing.assert_allclose(single.maps[0].values, whole.maps[0].values, atol=1e-6)
    clock = Clock(60)
    clock._expired.set()
    with pytest.raises(Defect) as caught:
        runtime.within(Limits(clock=clock)).predict(slide_of(dense()))
    assert caught.value.code == "prediction-too-slow"


@pytest.mark.slow
def test_slides_that_are_made_up_to_measure_a_package_are_looked_at_everywhere(
    ships: Path,
) -> None:
    for seen in made_up(read_declaration(ships / "model.toml")):
        assert load_runtime(ships).predict(seen).label_map.all()


def test_memory_is_asked_for_the_slide_from_afar_whatever_its_resolution(ships: Path) -> None:
    declared = read_declaration(ships / "model.toml")
    finer = np.repeat(np.repeat(dense(), 2, 0), 2, 1)
    sizes = {
        size_of(slide_of(dense()), declared),
        size_of(slide_of(finer, Scan(spacing_mm=0.0005)), declared),
    }
    assert sizes == {64 * 80}
