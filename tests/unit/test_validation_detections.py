"""A detector's boxes lie where they were found, are written in their place, and are counted fairly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_cases import image_analysis
from model_packages import IMAGE_TOML, image_of
from PIL import Image as Pillow
from typer.testing import CliRunner
from written import write_all

from clic_edge.cli import app
from clic_edge.domain.result import ResultKind
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.framing import frame
from clic_edge.inference.image_input import ImageInput
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import write_digests
from clic_edge.results.check import check
from clic_edge.validation.detected import DetectionReport
from clic_edge.validation.froc import Box, DetectedCase, Find, curve, judge, score, sensitivity_at
from clic_edge.validation.validate_images import validate_images

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TOML = (
    IMAGE_TOML.partition("[[questions]]")[0]
    + """
[[detections]]
name = "spot"
label = "Red spot"
finding = { value = "4147007", scheme = "SCT", meaning = "Mass" }
threshold = 0.2

[[detections]]
name = "mark"
label = "Mark"
finding = { value = "52988006", scheme = "SCT", meaning = "Lesion" }
threshold = 0.2
"""
)
BOXES = [(2, 4, 6, 10, 0.9, 0), (14, 2, 20, 8, 0.6, 1), (20, 12, 22, 14, 0.3, 0)]
"""What the network finds in an image that is red all over; paler images less surely."""


def write_detector(folder: Path, boxes: list[tuple[float, ...]], toml: str = TOML) -> Path:
    """Return `folder` holding a detector: the probability of each box goes with the redness."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    fixed = np.array(boxes, np.float32).reshape(1, -1, 6)
    sure = np.zeros_like(fixed)
    sure[..., 4], fixed[..., 4] = fixed[..., 4], 0
    constants = {
        "red": np.array([0.5, 0, 0], np.float32).reshape(1, 3, 1, 1),
        "half": np.array([0.5], np.float32),
        "whole": np.array([1, 1, 1], np.int64),
        "sure": sure,
        "fixed": fixed,
    }
    nodes = [
        helper.make_node("Conv", ["image", "red", "half"], ["redness"]),
        helper.make_node("GlobalAveragePool", ["redness"], ["mean"]),
        helper.make_node("Reshape", ["mean", "whole"], ["share"]),
        helper.make_node("Mul", ["share", "sure"], ["probabilities"]),
        helper.make_node("Add", ["probabilities", "fixed"], ["detections"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("image", floats, [1, 3, 16, 24])],
        [helper.make_tensor_value_info("detections", floats, [1, len(boxes), 6])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.toml").write_text(toml)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_digests(folder)
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector(tmp_path_factory.mktemp("detector"), BOXES)


def all_red(rows: int, columns: int) -> NDArray[np.bool_]:
    red = np.ones((rows, columns), np.bool_)
    red[0, 0] = False
    return red


def test_a_box_lies_on_the_images_own_pixels_and_the_surest_comes_first(package: Path) -> None:
    image = image_of(all_red(32, 48), spacing=(0.5, 0.25))
    first, second, third = load_runtime(package).predict(image).detections
    assert [one.name for one in (first, second, third)] == ["spot 1", "mark 1", "spot 2"]
    np.testing.assert_allclose(
        first.corners_mm, [((4 - 0.5) * 0.25, 7.5 * 0.5, 0), (11.5 * 0.25, 19.5 * 0.5, 0)]
    )
    assert first.probability == pytest.approx(0.9, abs=0.01)


def test_what_does_not_reach_its_threshold_is_not_told(package: Path) -> None:
    pale = np.zeros((32, 48), np.bool_)
    pale[:, :24] = True
    assert len(load_runtime(package).predict(image_of(pale)).detections) == 2


@given(
    rows=st.integers(8, 300),
    columns=st.integers(8, 300),
    fit=st.sampled_from(["stretch", "pad", "crop"]),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_place_comes_back_from_the_networks_picture_as_masks_do(
    rows: int, columns: int, fit: str, place: tuple[float, float]
) -> None:
    declared = ImageInput.model_validate(
        {
            "modalities": ("XC",),
            "channels": 3,
            "size": (16, 24),
            "fit": fit,
            "sampling": "area",
            "smallest": (8, 8),
        }
    )
    framing = frame((rows, columns), declared)
    x, y = framing.point_in_source(24 * place[0], 16 * place[1])
    assert 0 <= x <= columns
    assert 0 <= y <= rows
    (placed_rows, placed_columns), (rows_taken, columns_taken) = framing.placed, framing.taken
    assert framing.point_in_source(placed_columns.start, placed_rows.start) == pytest.approx(
        (columns_taken.start, rows_taken.start)
    )
    assert framing.point_in_source(placed_columns.stop, placed_rows.stop) == pytest.approx(
        (columns_taken.stop, rows_taken.stop)
    )


@pytest.mark.parametrize(
    "broken",
    [(6, 4, 2, 10, 0.9, 0), (2, 4, 6, 10, 1.9, 0), (2, 4, 6, 10, 0.9, 2), (2, 4, 6, 10, 0.9, 0.5)],
)
def test_a_box_that_means_nothing_is_a_defect(tmp_path: Path, broken: tuple[float, ...]) -> None:
    runtime = load_runtime(write_detector(tmp_path, [broken]))
    with pytest.raises(Defect) as raised:
        runtime.predict(image_of(all_red(32, 48)))
    assert raised.value.code == "network-detections"


def test_a_network_may_find_nothing(tmp_path: Path) -> None:
    runtime = load_runtime(write_detector(tmp_path, []))
    assert runtime.predict(image_of(all_red(32, 48))).detections == ()


@pytest.mark.slow
def test_what_was_found_is_written_in_its_place_and_checked(package: Path) -> None:
    from factories import Shots, make_shot  # noqa: PLC0415 - for this test alone

    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[..., 0], pixels[0, 0] = 255, 0
    analysis = image_analysis(load_runtime(package), [make_shot(Shots(), pixels, 0)])
    written = write_all(analysis)
    check(written, analysis)
    assert ResultKind.SR in {one.kind for one in written}


def cases(*finds: tuple[float, bool], there: int = 2) -> list[DetectedCase]:
    boxes = [Box(kind="spot", x0=10 * n, y0=0, x1=10 * n + 4, y1=4) for n in range(there)]
    hits = iter(range(there))
    found = [
        Find(kind="spot", x=10 * next(hits) + 2 if hit else 7, y=2, probability=probability)
        for probability, hit in finds
    ]
    judged = judge(found, boxes)
    return [DetectedCase(name="a", there=tuple(one.kind for one in boxes), finds=judged)]


def test_the_curve_is_that_of_a_worked_example() -> None:
    points = curve(cases((0.9, True), (0.8, False), (0.7, True), (0.6, False)))
    assert [(one.false_per_image, one.sensitivity) for one in points] == [
        (0, 0.5),
        (1, 0.5),
        (1, 1),
        (2, 1),
    ]
    assert sensitivity_at(points, 0.5) == 0.5
    assert sensitivity_at(points, 1) == 1
    assert score(points) == pytest.approx((3 * 0.5 + 4 * 1) / 7)


def test_of_two_finds_in_one_box_the_surer_counts_and_the_other_is_not_false() -> None:
    box = Box(kind="spot", x0=0, y0=0, x1=4, y1=4)
    finds = [Find(kind="spot", x=2, y=2, probability=p) for p in (0.4, 0.8)]
    assert [(one.probability, one.hit) for one in judge(finds, [box])] == [(0.8, True)]


def test_a_find_of_another_kind_is_false() -> None:
    box = Box(kind="spot", x0=0, y0=0, x1=4, y1=4)
    (judged,) = judge([Find(kind="mark", x=2, y=2, probability=0.9)], [box])
    assert not judged.hit


def test_finds_of_one_probability_come_to_one_point() -> None:
    (point,) = curve(cases((0.5, True), (0.5, False)))
    assert (point.sensitivity, point.false_per_image) == (0.5, 1)


def write_labels(folder: Path, rows: list[str]) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in range(3):
        pixels = np.zeros((32, 48, 3), np.uint8)
        pixels[..., 0], pixels[0, 0] = 255, 0
        Pillow.fromarray(pixels).save(folder / "images" / f"{number}.png")
    text = "\n".join(["image,name,x0,y0,x1,y1", *rows])
    (folder / "boxes.csv").write_text(text + "\n")
    return folder


def test_a_detector_is_validated_from_images_and_boxes(package: Path, tmp_path: Path) -> None:
    rows = ["0.png,spot,2,8,14,20", "0.png,mark,0,0,2,2", "1.png,mark,28,4,40,16"]
    report = validate_images(package, write_labels(tmp_path, rows))
    assert isinstance(report, DetectionReport)
    content = json.loads(report.to_json(report))
    assert (content["n"], content["boxes"]) == (3, 3)
    assert content["metrics"]["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert content["metrics"]["false_per_image"]["value"] == pytest.approx(7 / 3)
    assert content["classes"]["spot"]["sensitivity"]["value"] == 1
    assert content["against"]["metrics"]["sensitivity"]["value"] == 0


@pytest.mark.slow
def test_the_command_writes_numbers_page_and_curve(package: Path, tmp_path: Path) -> None:
    data = write_labels(tmp_path / "data", ["0.png,spot,2,8,14,20"])
    out = tmp_path / "report.json"
    order = ["validate", str(package), "--data", str(data), "--out", str(out)]
    result = CliRunner().invoke(app, order)
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["metrics"]["sensitivity"]["value"] == 1
    assert out.with_name("report-froc.png").read_bytes().startswith(b"\x89PNG")
    assert "Free-response ROC" in out.with_suffix(".html").read_text()
    assert out.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("0.png,nothing,1,1,2,2", "validation-label"),
        ("0.png,spot,3,1,2,2", "validation-label"),
        ("0.png,spot,a,1,2,2", "validation-unreadable"),
        ("9.png,spot,1,1,2,2", "validation-case"),
    ],
)
def test_a_row_that_means_nothing_is_named(
    package: Path, tmp_path: Path, row: str, code: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        validate_images(package, write_labels(tmp_path, [row]))
    assert raised.value.code == code
