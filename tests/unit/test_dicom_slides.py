from __future__ import annotations

import struct
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from factories import file_bytes, series_of
from pydicom.dataset import Dataset
from slides import Scan, clean_slide, coarser, painting, pyramid, sm_image

from clic_edge.dicom.slides import build_slide, pictures_only
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.overview import fine_enough
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from slides import Codec, Picture, Table

SMALL = Scan(tile=(64, 96))


@pytest.fixture(scope="module")
def picture() -> Picture:
    return painting(160, 200, nuclei=10).pixels


@pytest.mark.slow
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(
    ("codec", "table"),
    [
        ("native", "none"),
        ("jpeg", "none"),
        ("jpeg", "basic"),
        ("jpeg", "extended"),
        ("jpeg2000", "none"),
        ("jpeg2000", "basic"),
    ],
)
def test_every_tile_is_found_at_every_level(
    picture: Picture, *, codec: Codec, table: Table, full: bool
) -> None:
    slide = build_slide(clean_slide(pyramid(Scan(codec=codec, table=table, full=full), picture)))
    for level, factor in zip(slide.levels, (1, 4), strict=True):
        there = coarser(picture, factor)
        assert (level.matrix.rows, level.matrix.columns) == there.shape[:2]
        found = level.tiles(0, 0, columns=there.shape[1], rows=there.shape[0])
        difference = np.abs(found.astype(int) - there)
        assert difference.mean() < (8 if codec == "jpeg" else 1e-9)


def test_levels_stand_from_fine_to_coarse_and_know_their_instance(picture: Picture) -> None:
    images = pyramid(Scan(factors=(4, 1, 2)), picture)
    slide = build_slide(clean_slide(images))
    assert [one.instance_index for one in slide.levels] == [1, 2, 0]
    assert [one.matrix.spacing_mm[0] for one in slide.levels] == [0.001, 0.002, 0.004]
    assert slide.objective_power == 20
    assert slide.acquisition.modality == "SM"


@pytest.mark.parametrize(
    ("asked", "given"), [(0.1, 0.004), (0.004, 0.004), (0.00393, 0.004), (0.003, 0.001)]
)
def test_a_level_is_as_coarse_as_it_may_be(picture: Picture, asked: float, given: float) -> None:
    level = fine_enough(build_slide(clean_slide(pyramid(SMALL, picture))).levels, asked)
    assert level.matrix.spacing_mm[0] == given


def test_beyond_the_edge_and_in_tiles_that_were_not_scanned_there_is_glass(
    picture: Picture,
) -> None:
    scan = Scan(full=False, absent=frozenset({4}), factors=(1,))
    (level,) = build_slide(clean_slide(pyramid(scan, picture))).levels
    assert (level.tiles(-30, -20, columns=30, rows=20) == 255).all()
    assert (level.tiles(200, 0, columns=5, rows=160) == 255).all()
    found = level.tiles(0, 0, columns=200, rows=160)
    assert (found[64:128, 96:192] == 255).all()  # the tile in the middle
    found = found.copy()
    found[64:128, 96:192] = picture[64:128, 96:192]
    np.testing.assert_array_equal(found, picture)


def test_few_decoded_tiles_stay_in_memory_however_many_were_read() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2048, 2048, 3), np.uint8)
    images = [sm_image(Scan(tile=(128, 128)), pixels)]
    (level,) = build_slide(clean_slide(images)).levels
    tracemalloc.start()
    try:
        for row in range(0, 2048, 128):
            level.tiles(0, row, columns=2048, rows=128)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < pixels.nbytes * 0.8  # all of it would be 12.6 MB, and 8 MB are kept


def test_what_was_read_cannot_be_changed(picture: Picture) -> None:
    (level,) = build_slide(clean_slide(pyramid(Scan(factors=(1,)), picture))).levels
    assert not level.tiles(0, 0, columns=4, rows=4).flags.writeable


def test_labels_overviews_and_thumbnails_are_left_out(picture: Picture) -> None:
    others = [
        sm_image(SMALL, picture[:64], flavour=one) for one in ("LABEL", "OVERVIEW", "THUMBNAIL")
    ]
    images = pyramid(SMALL, picture)
    whole = series_of([others[0], images[0], others[1], images[1], others[2]])
    assert pictures_only(whole).instances == (whole.instances[1], whole.instances[3])
    with pytest.raises(Refusal) as caught:
        pictures_only(series_of(others))
    assert caught.value.code == "no-slide"


def without(keyword: str) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        delattr(ds, keyword)

    return change


def with_value(keyword: str, value: object) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        setattr(ds, keyword, value)

    return change


def shared(ds: Dataset) -> Dataset:
    measures: Dataset = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    return measures


def two_paths(ds: Dataset) -> None:
    ds.OpticalPathSequence = [*ds.OpticalPathSequence, ds.OpticalPathSequence[0]]


def no_x(ds: Dataset) -> None:
    del ds.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (with_value("SOPClassUID", pydicom.uid.VLMicroscopicImageStorage), "not-a-slide"),
        (without("TotalPixelMatrixRows"), "not-a-slide"),
        (with_value("TotalPixelMatrixColumns", 0), "not-a-slide"),
        (with_value("SamplesPerPixel", 1), "slide-not-in-colour"),
        (with_value("PlanarConfiguration", 1), "slide-not-in-colour"),
        (with_value("ConcatenationUID", "1.2.3"), "slide-in-parts"),
        (with_value("TotalPixelMatrixFocalPlanes", 3), "several-focal-planes"),
        (with_value("NumberOfOpticalPaths", 2), "several-optical-paths"),
        (two_paths, "several-optical-paths"),
        (without("SharedFunctionalGroupsSequence"), "slide-without-spacing"),
        (lambda ds: delattr(shared(ds), "PixelSpacing"), "slide-without-spacing"),
        (lambda ds: setattr(shared(ds), "PixelSpacing", [0.001, 0]), "slide-without-spacing"),
        (without("TotalPixelMatrixOriginSequence"), "slide-unplaced"),
        (without("ImageOrientationSlide"), "slide-unplaced"),
        (no_x, "slide-unplaced"),
        (with_value("ImageOrientationSlide", [1, 0, 0, 1, 0, 0]), "invalid-attribute"),
        (with_value("NumberOfFrames", 8), "tiles-missing"),
        (with_value("Rows", 0), "invalid-attribute"),
        (with_value("ImageType", ["ORIGINAL", "PRIMARY", "OVERVIEW", "NONE"]), "label-image"),
        (with_value("ImageType", ["ORIGINAL", "PRIMARY"]), "label-image"),
    ],
)
def test_an_image_that_is_not_sure_is_refused_by_name(
    picture: Picture, change: Callable[[Dataset], None], code: str
) -> None:
    ds = sm_image(Scan(codec="jpeg"), picture)
    change(ds)
    assert code_of([ds]) == code


def code_of(datasets: list[Dataset]) -> str:
    with pytest.raises((Refusal, Defect)) as caught:
        build_slide(clean_slide(datasets))
    return caught.value.code


def test_a_series_of_nothing_is_refused() -> None:
    assert code_of([]) == "empty-series"


def test_another_compression_is_refused(picture: Picture) -> None:
    ds = sm_image(Scan(codec="jpeg"), picture)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    assert code_of([ds]) == "slide-syntax"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ColumnPositionInTotalImagePixelMatrix", 2),
        ("ColumnPositionInTotalImagePixelMatrix", 961),
        ("RowPositionInTotalImagePixelMatrix", -63),
        ("XOffsetInSlideCoordinateSystem", 20.01),
    ],
)
def test_a_tile_that_lies_elsewhere_is_refused(
    picture: Picture, keyword: str, value: float
) -> None:
    ds = sm_image(Scan(full=False), picture)
    place = ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
    setattr(place, keyword, value)
    assert code_of([ds]) == "tile-misplaced"


def test_two_tiles_at_one_place_and_tiles_without_a_place_are_refused(picture: Picture) -> None:
    twice, placeless = sm_image(Scan(full=False), picture), sm_image(Scan(full=False), picture)
    groups = twice.PerFrameFunctionalGroupsSequence
    groups[1].PlanePositionSlideSequence = groups[0].PlanePositionSlideSequence
    del placeless.PerFrameFunctionalGroupsSequence
    assert code_of([twice]) == code_of([placeless]) == "tile-misplaced"


def test_several_focal_planes_show_in_the_depths_of_tiles(picture: Picture) -> None:
    ds = sm_image(Scan(full=False), picture)
    place = ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
    place.ZOffsetInSlideCoordinateSystem = 1.5
    assert code_of([ds]) == "several-focal-planes"


@pytest.mark.parametrize("table", ["basic", "extended"])
def test_an_offset_table_that_points_beside_the_tiles_is_refused(
    picture: Picture, table: Table
) -> None:
    ds = sm_image(Scan(codec="jpeg", table=table), picture)
    if table == "basic":
        second = struct.unpack_from("<L", ds.PixelData, 12)[0]
        moved = bytearray(ds.PixelData)
        struct.pack_into("<L", moved, 12, second + 2)
        ds.PixelData = bytes(moved)
    else:
        ds.ExtendedOffsetTable = ds.ExtendedOffsetTable[8:] + ds.ExtendedOffsetTable[:8]
    assert code_of([ds]) == "offset-table-wrong"


@pytest.mark.parametrize("codec", ["native", "jpeg", "jpeg2000"])
def test_a_file_that_was_cut_off_is_refused(picture: Picture, codec: Codec) -> None:
    content = file_bytes(sm_image(Scan(codec=codec), picture))
    series = CleanSeries(
        subject_id="s", series_uid="2.25.1", instances=(CleanInstance(content=content[:-500]),)
    )
    with pytest.raises(Defect) as caught:
        build_slide(series)
    assert caught.value.code == "truncated-instance"


def test_a_tile_of_another_size_is_refused(picture: Picture) -> None:
    ds = sm_image(Scan(codec="jpeg"), picture)
    other = sm_image(Scan(codec="jpeg", tile=(72, 96)), picture)
    ds.PixelData = other.PixelData
    assert code_of([ds]) == "undecodable-pixels"


def test_a_tile_that_is_broken_within_is_found_when_it_is_read(picture: Picture) -> None:
    ds = sm_image(Scan(codec="jpeg", factors=(1,)), picture)
    content = bytearray(file_bytes(ds))
    end = content.rfind(b"\xff\xda")  # of the last tile: its tables stay, its picture goes
    content[end:-8] = b"\0" * (len(content) - 8 - end)
    series = CleanSeries(
        subject_id="s", series_uid="2.25.1", instances=(CleanInstance(content=bytes(content)),)
    )
    (level,) = build_slide(series).levels
    level.tiles(0, 0, columns=96, rows=64)
    with pytest.raises(Defect) as caught:
        level.tiles(193, 129, columns=7, rows=31)
    assert caught.value.code == "undecodable-pixels"


def test_two_images_of_one_size_are_refused(picture: Picture) -> None:
    ds = sm_image(SMALL, picture)
    assert code_of([ds, ds]) == "slide-ambiguous"


def test_images_of_two_slides_are_refused(picture: Picture) -> None:
    fine, coarse = pyramid(SMALL, picture)
    coarse.FrameOfReferenceUID = "1.2.3"
    assert code_of([fine, coarse]) == "mixed-slides"


@pytest.mark.parametrize("moved_mm", [0.02, -0.02])
def test_a_level_that_lies_elsewhere_is_refused(picture: Picture, moved_mm: float) -> None:
    fine, coarse = pyramid(SMALL, picture)
    origin = coarse.TotalPixelMatrixOriginSequence[0]
    origin.XOffsetInSlideCoordinateSystem = float(origin.XOffsetInSlideCoordinateSystem) + moved_mm
    assert code_of([fine, coarse]) == "levels-disagree"


def test_a_level_that_is_turned_is_refused(picture: Picture) -> None:
    fine, coarse = pyramid(SMALL, picture)
    coarse.ImageOrientationSlide = [0, -1, 0, 1, 0, 0]
    assert code_of([fine, coarse]) == "levels-disagree"


def test_real_objects_are_refused_for_what_they_lack(test_data: Path) -> None:
    """Nine small objects of three projects: labels, without a place, or at odds with themselves."""
    expected = {
        "ezwsi_multiframe_camelyon_challenge_image": "slide-unplaced",
        "ezwsi_test": "label-image",
        "ezwsi_test_wsi": "label-image",
        "gmi_test_jpeg_dicom": "slide-unplaced",
        "gmi_test_raw_dicom": "slide-unplaced",
        "panimg_full_no_bot": "tile-misplaced",
        "panimg_full_with_bot": "tile-misplaced",
        "panimg_sparse_no_bot": "tile-misplaced",
        "panimg_sparse_with_bot": "tile-misplaced",
    }
    folder = test_data / "dicom" / "sm-wholeslide"
    found = {path.stem: code_of([pydicom.dcmread(path)]) for path in folder.glob("*.dcm")}
    assert found == expected


def test_a_real_level_is_read_once_it_says_where_it_lies(test_data: Path) -> None:
    folder = test_data / "dicom" / "sm-wholeslide"
    ds = pydicom.dcmread(folder / "ezwsi_multiframe_camelyon_challenge_image.dcm")
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20, 40
    ds.TotalPixelMatrixOriginSequence = [origin]
    (level,) = build_slide(clean_slide([ds])).levels
    found = level.tiles(256, 256, columns=256, rows=256)
    frame = ds.pixel_array[6]  # second row, second column of five
    assert np.abs(found.astype(int) - frame).mean() < 2
