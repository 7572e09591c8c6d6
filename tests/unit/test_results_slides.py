"""Results of slides: read back by pydicom, highdicom and wsidicom, and compared with the slide."""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import highdicom
import numpy as np
import pydicom
import pytest
import wsidicom
from highdicom.spatial import ReferenceToPixelTransformer
from slide_cases import analysed, dense, slide_analysis
from slides import Scan, clean_slide, pyramid
from written import write_all

from clic_edge.dicom.slides import build_slide
from clic_edge.domain.overview import overview
from clic_edge.domain.result import ResultKind
from clic_edge.domain.volume import Geometry
from clic_edge.errors import Defect
from clic_edge.inference.package import write_digests
from clic_edge.results.check import check

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis

TURNED = tuple(np.round([np.cos(2.1), np.sin(2.1), 0, -np.sin(2.1), np.cos(2.1), 0], 9).tolist())
SCANS = {
    "as scanned": Scan(codec="jpeg"),
    "turned and sparse": Scan(orientation=TURNED, full=False, origin_mm=(-3.5, 12.25)),
    "mirrored": Scan(orientation=(1, 0, 0, 0, -1, 0), spacing_mm=0.0005),
}


@pytest.fixture(scope="module")
def analysis(root: Path) -> Analysis:
    return slide_analysis(root)


@pytest.fixture(scope="module")
def results(analysis: Analysis) -> tuple[ResultObject, ...]:
    return write_all(analysis)


def read(result: ResultObject) -> Dataset:
    return pydicom.dcmread(io.BytesIO(result.content))


def of_kind(results: tuple[ResultObject, ...], kind: ResultKind) -> list[Dataset]:
    return [read(one) for one in results if one.kind is kind]


def test_a_slide_gets_maps_annotations_a_report_and_a_picture(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    kinds = [one.kind for one in results]
    assert kinds.count(ResultKind.PM) == 2
    assert {ResultKind.ANN, ResultKind.SR, ResultKind.SC} <= set(kinds)
    assert not {ResultKind.SEG, ResultKind.SEG_LABELMAP, ResultKind.PR} & set(kinds)
    check(results, analysis)


def test_the_same_analysis_gives_the_same_bytes(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    assert [one.content for one in write_all(analysis)] == [one.content for one in results]


@pytest.mark.slow
@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS.keys())
def test_what_is_marked_lies_on_the_dark_tile_of_the_slide(root: Path, scan: Scan) -> None:
    """The outline, by wsidicom, and the map's brightest pixel, by highdicom, in pixels of the slide."""
    pixels = dense()
    if scan.spacing_mm < 0.001:
        pixels = np.repeat(np.repeat(pixels, 2, 0), 2, 1)
    analysis = slide_analysis(root, scan, pixels)
    results = write_all(analysis)
    check(results, analysis)
    header = pydicom.dcmread(io.BytesIO(analysis.series.instances[0].content))
    scale = 0.001 / scan.spacing_mm
    (annotations,) = of_kind(results, ResultKind.ANN)
    opened = wsidicom.AnnotationInstance.open_dataset(annotations)
    (tile,) = opened[0].annotations
    assert opened.coordinate_type == "volume"
    found = on_header(header, np.array(tile.geometry.to_coords()))
    np.testing.assert_allclose(
        (found.min(axis=0), found.max(axis=0)),
        np.array([[384, 256], [512, 384]]) * scale - 0.5,
        atol=1e-3,
    )
    area = of_kind(results, ResultKind.PM)[0]
    image = highdicom.Image.from_dataset(area)
    row, column = np.unravel_index(area_of(area).argmax(), area_of(area).shape)
    transform = highdicom.spatial.PixelToReferenceTransformer.for_image(
        image, for_total_pixel_matrix=True
    )
    place = transform(np.array([[column, row]]))
    np.testing.assert_allclose(
        on_header(header, place[:, :2])[0],
        np.array([447.5, 319.5]) * scale + (scale - 1) / 2,
        atol=1e-3,
    )


def area_of(ds: Dataset) -> NDArray[np.float32]:
    values: NDArray[np.float32] = np.frombuffer(ds.FloatPixelData, "<f4").reshape(
        ds.Rows, ds.Columns
    )
    return values


def on_header(header: Dataset, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (column, row) of slide millimetres (x, y), as highdicom reads the slide's header."""
    origin = header.TotalPixelMatrixOriginSequence[0]
    transform = ReferenceToPixelTransformer(
        image_position=(
            float(origin.XOffsetInSlideCoordinateSystem),
            float(origin.YOffsetInSlideCoordinateSystem),
            0.0,
        ),
        image_orientation=[float(one) for one in header.ImageOrientationSlide],
        pixel_spacing=header.SharedFunctionalGroupsSequence[0]
        .PixelMeasuresSequence[0]
        .PixelSpacing,
        round_output=False,
    )
    placed: NDArray[np.float64] = transform(np.column_stack([points, np.zeros(len(points))]))
    return placed[:, :2]


def test_where_no_tile_was_looked_at_the_map_says_so(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    for ds in of_kind(results, ResultKind.PM):
        nowhere = area_of(ds) == ds.FloatPixelPaddingValue
        np.testing.assert_array_equal(nowhere, analysis.prediction.label_map[0] == 0)


def test_each_annotation_tells_its_scores(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    (annotations,) = of_kind(results, ResultKind.ANN)
    (tile,) = wsidicom.AnnotationInstance.open_dataset(annotations)[0].annotations
    expected = [one.values[0, 2, 3] for one in analysis.prediction.maps]
    assert [one.value for one in tile.measurements] == expected


def test_the_report_tells_areas_and_scores_of_the_tissue(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    (report,) = of_kind(results, ResultKind.SR)
    numbers = {
        (str(item.ConceptNameCodeSequence[0].CodeValue), float(value.NumericValue))
        for item in walked(report)
        if item.ValueType == "NUM"
        for value in item.MeasuredValueSequence
    }
    for finding in analysis.prediction.segments:
        for one in finding.measurements:
            assert any(
                name == one.name.value and value == pytest.approx(one.value)
                for name, value in numbers
            )
    referred = {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in walked(report)
        if item.ValueType == "IMAGE"
    }
    original = pydicom.dcmread(io.BytesIO(analysis.series.instances[0].content))
    assert referred == {original.SOPInstanceUID}


def walked(ds: Dataset) -> list[Dataset]:
    items = list(ds.get("ContentSequence", []))
    return items + [one for item in items for one in walked(item)]


def test_no_tile_is_marked_where_none_is_dense(root: Path) -> None:
    pixels = dense()
    pixels[260:380, 390:510] = pixels[200, 200]
    analysis = slide_analysis(root, pixels=pixels)
    results = write_all(analysis)
    check(results, analysis)
    assert of_kind(results, ResultKind.ANN) == []


@pytest.mark.parametrize("kind", [ResultKind.PM, ResultKind.ANN])
@pytest.mark.parametrize("moved_mm", [0.001, -0.5, 40.0])
def test_a_result_that_lies_elsewhere_does_not_leave(
    analysis: Analysis,
    results: tuple[ResultObject, ...],
    kind: ResultKind,
    moved_mm: float,
) -> None:
    result = next(one for one in results if one.kind is kind)
    ds = read(result)
    if kind is ResultKind.PM:
        place = ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
        place.XOffsetInSlideCoordinateSystem = (
            float(place.XOffsetInSlideCoordinateSystem) + moved_mm
        )
    else:
        group = ds.AnnotationGroupSequence[0]
        points = np.frombuffer(group.DoublePointCoordinatesData, "<f8") + moved_mm
        group.DoublePointCoordinatesData = points.tobytes()
    assert code_of(analysis, ds, result) == "slide-misplaced"


def code_of(analysis: Analysis, ds: Dataset, result: ResultObject) -> str:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    with pytest.raises(Defect) as caught:
        check((replace(result, content=buffer.getvalue()),), analysis)
    return caught.value.code


def test_a_score_that_is_another_does_not_leave(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    area = next(one for one in results if one.kind is ResultKind.PM)
    ds = read(area)
    values = area_of(ds).copy()
    values[2, 3] += 0.01
    ds.FloatPixelData = values.tobytes()
    assert code_of(analysis, ds, area) == "slide-differs"
    marks = next(one for one in results if one.kind is ResultKind.ANN)
    ds = read(marks)
    told = ds.AnnotationGroupSequence[0].MeasurementsSequence[0].MeasurementValuesSequence[0]
    told.FloatingPointValues = np.float32([0.5]).tobytes()
    assert code_of(analysis, ds, marks) == "slide-differs"


def test_another_frame_of_reference_does_not_leave(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    marks = next(one for one in results if one.kind is ResultKind.ANN)
    ds = read(marks)
    ds.FrameOfReferenceUID = "1.2.3"
    assert code_of(analysis, ds, marks) == "slide-misplaced"


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_grid_of_tiles_that_lies_beside_the_slide_is_refused(
    analysis: Analysis, axis: int
) -> None:
    """Moved by a tenth of a tile, or stretched by one."""
    geometry = analysis.prediction.geometry
    affine = geometry.affine.copy()
    affine[:3, axis] += 0.1 * geometry.affine[:3, 1]
    moved = Geometry(affine=affine, shape=geometry.shape, in_patient=False, on_slide=True)
    wrong = replace(analysis, prediction=replace(analysis.prediction, geometry=moved))
    with pytest.raises(Defect) as caught:
        check((), wrong)
    assert caught.value.code == "slide-misplaced"


def test_dciodvfy_finds_no_error(results: tuple[ResultObject, ...], tmp_path: Path) -> None:
    """Of dicom3tools 2022-06-18, which knows both kinds."""
    if not shutil.which("dciodvfy"):
        pytest.skip("dicom3tools is not installed")
    for one in results:
        path = tmp_path / "result.dcm"
        path.write_bytes(one.content)
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        assert errors == [], one.kind


def test_a_danish_reader_gets_the_same_places(analysis: Analysis) -> None:
    danish = replace(analysis, language="da")
    results = write_all(danish)
    check(results, danish)
    (marks,) = of_kind(results, ResultKind.ANN)
    assert (
        marks.SeriesInstanceUID != of_kind(write_all(analysis), ResultKind.ANN)[0].SeriesInstanceUID
    )


@pytest.mark.slow
def test_real_tissue_gets_results_where_it_lies(
    root: Path, test_data: Path, tmp_path: Path
) -> None:
    """A level of a lymph node, given the place that it lacks, at a magnification that it has."""
    folder = test_data / "dicom" / "sm-wholeslide"
    ds = pydicom.dcmread(folder / "ezwsi_multiframe_camelyon_challenge_image.dcm")
    origin = pydicom.Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20, 40
    ds.TotalPixelMatrixOriginSequence = [origin]
    ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "node", "1.2.3.4", "1.2.3.5"
    ds.FrameOfReferenceUID = "1.2.3.6"
    package = coarse_package(root, tmp_path / "coarse")
    analysis = analysed([ds], package)
    check(write_all(analysis), analysis)
    label_map = analysis.prediction.label_map[0]
    pixels = overview(build_slide(clean_slide([ds])).levels, 0.029 * 32)
    rows, columns = (min(a, b) for a, b in zip(label_map.shape, pixels.shape, strict=False))
    brightness, labels = pixels.mean(axis=2)[:rows, :columns], label_map[:rows, :columns]
    assert (labels == 2).sum() > 20
    assert brightness[labels == 2].mean() < brightness[labels == 1].mean() - 10
    assert brightness[labels == 0].mean() > brightness[labels == 1].mean() + 30


def coarse_package(root: Path, folder: Path) -> Path:
    """Return the package that ships, looking from thirty times as far."""
    shutil.copytree(root / "models" / "tissue-tiles", folder, ignore=lambda *_: ["test"])
    text = (folder / "model.toml").read_text()
    for was, becomes in (
        ("spacing_mm = 0.001", "spacing_mm = 0.029"),
        ("spacing_mm = 0.008", "spacing_mm = 0.029"),
        ("= 128", "= 32"),
        ("threshold = 0.25", "threshold = 0.9"),
    ):
        text = text.replace(was, becomes)
    (folder / "model.toml").write_text(text)
    write_digests(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("stride", [64, 50, 37])
def test_scores_of_tiles_that_overlap_lie_in_the_middle_of_their_tiles(
    root: Path, tmp_path: Path, stride: int
) -> None:
    folder = tmp_path / "overlapping"
    shutil.copytree(root / "models" / "tissue-tiles", folder, ignore=lambda *_: ["test"])
    text = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(text.replace("stride = 128", f"stride = {stride}"))
    write_digests(folder)
    images = pyramid(Scan(), dense())
    analysis = analysed(images, folder)
    check(write_all(analysis), analysis)
    geometry, values = analysis.prediction.geometry, analysis.prediction.maps[0].values[0]
    best = np.argwhere(values > values.max() - 1e-6).mean(axis=0)
    place = geometry.affine @ np.array([0, *best, 1])
    (found,) = on_header(images[0], place[np.newaxis, :2])
    # The dark square is smaller than a tile; whole or nearly so it lies in those around it.
    np.testing.assert_allclose(found, (449.5, 319.5), atol=stride / 2 + 5)
