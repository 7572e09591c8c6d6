"""What is written of a single image is valid, on its own pixels, and says what the model said."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import highdicom
import numpy as np
import pydicom
import pytest
from edits import as_file
from factories import Shots, make_shot, skin
from image_cases import image_analysis
from model_packages import write_image_package
from programs import assert_readable_report, errors_in, stored
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import generate_uid
from written import write_all

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.inference.loading import load_runtime
from clic_edge.results.check import check
from clic_edge.results.check_pixel_grid import check_pixel_grid
from clic_edge.results.edited import compare
from clic_edge.results.seg_fractional import SegFractionalWriter

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.domain.result import ResultObject
    from clic_edge.inference.runtime import Runtime
    from clic_edge.results.writer import Analysis


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return load_runtime(write_image_package(tmp_path_factory.mktemp("redness")))


def photograph(red: float = 0.5, index: int = 0, **attributes: object) -> Dataset:
    ds = make_shot(Shots(laterality="R"), skin(red=red), index)
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator = "39937001", "SCT"
    region.CodeMeaning = "Skin"
    ds.AnatomicRegionSequence = [region]
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.fixture(scope="module")
def analysis(runtime: Runtime) -> Analysis:
    return image_analysis(runtime, [photograph()])


@pytest.fixture(scope="module")
def results(analysis: Analysis) -> tuple[ResultObject, ...]:
    written = write_all(analysis)
    check(written, analysis)
    return written


def read(results: tuple[ResultObject, ...], kind: ResultKind) -> pydicom.FileDataset:
    (one,) = (one for one in results if one.kind is kind)
    return pydicom.dcmread(io.BytesIO(one.content))


def texts(ds: Dataset) -> list[str]:
    return [
        str(item.value)
        for item in ds.iterall()
        if item.keyword in {"CodeMeaning", "TextValue", "NumericValue"}
    ]


def test_it_is_written_as_segmentation_report_picture_page_and_selection(
    results: tuple[ResultObject, ...],
) -> None:
    assert {one.kind for one in results} == {
        ResultKind.SEG,
        ResultKind.SR,
        ResultKind.SC,
        ResultKind.PDF,
        ResultKind.KO,
    }


def test_programs_of_others_find_no_fault_with_it(
    results: tuple[ResultObject, ...], analysis: Analysis, tmp_path: Path
) -> None:
    originals = b"".join(one.content for one in analysis.series.instances)
    for path, result in stored(results, tmp_path).items():
        assert errors_in(path, result, originals) == []
        if result.kind is ResultKind.SR:
            assert_readable_report(path)


def test_a_segmentation_says_nothing_of_a_place_in_the_patient_and_is_on_its_image(
    results: tuple[ResultObject, ...], analysis: Analysis
) -> None:
    (one,) = (one for one in results if one.kind is ResultKind.SEG)
    seg = highdicom.seg.segread(io.BytesIO(one.content))
    original = pydicom.dcmread(io.BytesIO(analysis.series.instances[0].content))
    assert "FrameOfReferenceUID" not in seg
    (mask,) = seg.get_pixels_by_source_instance([original.SOPInstanceUID])
    np.testing.assert_array_equal(mask[..., 0], analysis.prediction.label_map[0])
    assert np.count_nonzero(mask[..., 0] != (skin()[..., 0] > 0)) < 20  # a corner is cut


def test_the_report_answers_the_question_of_an_image_with_side_and_operating_point(
    runtime: Runtime,
) -> None:
    analysis = image_analysis(runtime, [photograph(red=1.0)])
    results = write_all(analysis)
    check(results, analysis)
    sr = read(results, ResultKind.SR)
    said = texts(sr)
    malignant = next(one for one in analysis.prediction.categories if one.name == "malignant")
    assert malignant.chosen
    for word in ("Malignant", "Source of Measurement", "Right", "Skin", "Area", "Probability"):
        assert word in said
    numbers = [float(one) for one in said if one.replace(".", "", 1).isdigit()]
    assert any(abs(one - malignant.probability) < 1e-6 for one in numbers)
    assert "Volume" not in said
    assert "Frame of Reference UID" not in said


def test_images_of_one_series_share_series_of_results_and_no_instance(runtime: Runtime) -> None:
    shots = [photograph(red=share, index=index) for index, share in enumerate((0.3, 0.6))]
    written = [write_all(image_analysis(runtime, shots, index)) for index in range(2)]
    first, second = ({one.kind: one for one in results} for results in written)
    assert first.keys() == second.keys()
    for kind, one in first.items():
        assert one.series_instance_uid == second[kind].series_instance_uid
        assert one.sop_instance_uid != second[kind].sop_instance_uid
        numbers = [
            pydicom.dcmread(io.BytesIO(x.content)).InstanceNumber for x in (one, second[kind])
        ]
        assert numbers == [1, 2]


def test_the_same_image_gives_the_same_bytes(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    assert write_all(analysis) == results


def test_the_picture_shows_the_image_its_outline_and_the_heat_map_beside_it(
    results: tuple[ResultObject, ...],
) -> None:
    picture = read(results, ResultKind.SC).pixel_array
    height, width = picture.shape[:2]
    assert width > 1.9 * height * 160 / 120 * 0.6  # two of them, side by side
    middle = picture[height // 4 : height // 2]
    blue = (middle == (0, 0, 255)).all(axis=-1)
    assert blue[:, : width // 2].any()  # the image has its own colours
    assert not blue[:, width // 2 :].any()  # the heat map lies over grey


def test_an_image_in_grey_is_shown_by_its_window(runtime: Runtime) -> None:
    analysis = image_analysis(runtime, [photograph()])
    grey = make_shot(Shots(), np.tile(np.arange(160, dtype=np.uint8), (120, 1)))
    grey.WindowCenter, grey.WindowWidth = 80, 40
    other = image_analysis(runtime, [photograph()])
    shown = replace(other, series=replace(other.series, instances=_content(grey)))
    picture = read(write_all(replace(shown, prediction=analysis.prediction)), ResultKind.SC)
    left = picture.pixel_array[100]
    assert left[40].max() == 0
    assert left[600].min() == 255


def _content(ds: Dataset) -> tuple[object, ...]:
    from factories import series_of  # noqa: PLC0415 - for this alone

    return series_of([ds]).instances


def test_an_area_in_millimetres_is_checked_against_the_mask(runtime: Runtime) -> None:
    analysis = image_analysis(runtime, [photograph(PixelSpacing=[0.2, 0.1])])
    results = write_all(analysis)
    check(results, analysis)
    (segment,) = analysis.prediction.segments
    (area,) = segment.measurements
    assert (area.value, area.unit.value) == (pytest.approx(segment.voxel_count * 0.02), "mm2")
    wrong = replace(segment, measurements=(replace(area, value=area.value * 1.1),))
    prediction = replace(analysis.prediction, segments=(wrong,))
    with pytest.raises(Defect) as error:
        check(results, replace(analysis, prediction=prediction))
    assert error.value.code == "findings-differ"


def test_probabilities_are_written_on_the_images_pixels_too(
    analysis: Analysis, tmp_path: Path
) -> None:
    values = np.linspace(0, 1, 120 * 160, dtype=np.float32).reshape(1, 120, 160)
    values.flags.writeable = False
    (heat,) = analysis.prediction.maps
    maps = (replace(heat, name="probability", values=values, segment=1),)
    analysis = replace(analysis, prediction=replace(analysis.prediction, maps=maps))
    written = SegFractionalWriter().write(analysis, ())
    check(written, analysis)
    ((path, result),) = stored(written, tmp_path).items()
    assert errors_in(path, result, analysis.series.instances[0].content) == []
    shifted = replace(maps[0], values=np.roll(values, 1, axis=2))
    moved = replace(analysis, prediction=replace(analysis.prediction, maps=(shifted,)))
    with pytest.raises(Defect):
        check_pixel_grid(pydicom.dcmread(path), result, moved)


def test_a_mask_that_another_library_finds_elsewhere_does_not_leave(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    (seg,) = (one for one in results if one.kind is ResultKind.SEG)
    shifted = np.roll(analysis.prediction.label_map, 1, axis=2)
    moved = replace(analysis, prediction=replace(analysis.prediction, label_map=shifted))
    ds = pydicom.dcmread(io.BytesIO(seg.content))
    with pytest.raises(Defect) as error:
        check_pixel_grid(ds, seg, moved)
    assert error.value.code == "seg-differs"


@pytest.mark.slow
def test_a_tree_of_vessels_is_in_the_segmentation_though_no_report_has_room_for_its_outline(
    runtime: Runtime,
) -> None:
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[..., 2] = 255
    analysis = image_analysis(runtime, [make_shot(Shots(), pixels | 1)])
    mask = np.zeros((1, 200, 300), np.uint8)
    mask[0, :, ::4] = mask[0, ::2, 1::4] = mask[0, 100] = 1  # one piece with thousands of corners
    (segment,) = analysis.prediction.segments
    (area,) = segment.measurements
    count = int(mask.sum())
    found = replace(segment, voxel_count=count, measurements=(replace(area, value=float(count)),))
    mask.flags.writeable = False
    prediction = replace(analysis.prediction, label_map=mask, segments=(found,))
    analysis = replace(analysis, prediction=prediction)
    results = write_all(analysis)
    check(results, analysis)
    sr = read(results, ResultKind.SR)
    assert not [one for one in sr.iterall() if one.keyword == "GraphicData"]
    assert any("Referenced Segmentation Frame" in one for one in texts(sr))


def test_it_is_told_in_danish_too(runtime: Runtime) -> None:
    analysis = image_analysis(runtime, [photograph()], language="da")
    results = write_all(analysis)
    check(results, analysis)


def _with_mask(ours: pydicom.FileDataset, mask: np.ndarray) -> pydicom.Dataset:
    """Return our segmentation of an image as a viewer saves it, with another mask."""
    edited = pydicom.dcmread(io.BytesIO(as_file(ours)))
    edited.SOPInstanceUID = edited.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    edited.PixelData = pack_bits(mask.astype(np.uint8)[np.newaxis])
    return edited


def test_a_readers_edit_of_an_image_is_measured_in_its_pixels(
    results: tuple[ResultObject, ...],
) -> None:
    ours = read(results, ResultKind.SEG)
    before = np.atleast_3d(ours.pixel_array).reshape(ours.Rows, ours.Columns).astype(bool)
    after = before.copy()
    after.ravel()[np.flatnonzero(before)[::2]] = False
    (one,) = compare(_with_mask(ours, after), ours)
    assert one.dice == pytest.approx(2 * after.sum() / (before.sum() + after.sum()))
    assert (one.is_empty, one.was_empty, one.volume_mm3) == (False, False, None)
    (nothing,) = compare(_with_mask(ours, np.zeros_like(before)), ours)
    assert (nothing.is_empty, nothing.dice) == (True, 0)


def test_an_edit_on_another_image_is_not_measured(results: tuple[ResultObject, ...]) -> None:
    ours = read(results, ResultKind.SEG)
    theirs = _with_mask(ours, np.ones((ours.Rows, ours.Columns), np.bool_))
    shared, (frame,) = (
        theirs.SharedFunctionalGroupsSequence[0],
        theirs.PerFrameFunctionalGroupsSequence,
    )
    group = frame if "DerivationImageSequence" in frame else shared
    group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "2.25.9"
    with pytest.raises(Defect) as raised:
        compare(theirs, ours)
    assert raised.value.code == "edited-elsewhere"
