from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import IMAGE_TOML, write_image_package
from PIL import Image as Pillow
from typer.testing import CliRunner

from clic_edge.cli import app, console
from clic_edge.errors import ConfigError
from clic_edge.validation.answered import AnswerReport
from clic_edge.validation.photographs import labelled_answers
from clic_edge.validation.report import Report
from clic_edge.validation.validate_images import SECOND, validate_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

HEAD, FIRST, SECOND_QUESTION = IMAGE_TOML.partition("[[maps]]")[0].split("[[questions]]\n")
OUTLINES = "[[segments]]\n" + IMAGE_TOML.partition("[[segments]]\n")[2]
MALIGNANT = f"{HEAD}[[questions]]\n{FIRST}"
SEVERITY = f"{HEAD}[[questions]]\n{SECOND_QUESTION}"
RED = np.array([0.0, 0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 1.0])
"""Shares of red columns in eight images; the model says malignant from about 0.4 upward."""


def photograph(red: float) -> NDArray[np.uint8]:
    """Return 16 x 24 pixels, blue with red columns on the left."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    columns = round(24 * red)
    pixels[:, :columns, 0], pixels[:, columns:, 2] = 255, 255
    return pixels


def write_archive(path: Path, labels: list[int], *, part: str = "test") -> Path:
    images = np.stack([photograph(red) for red in RED[: len(labels)]])
    np.savez(path, **{f"{part}_images": images, f"{part}_labels": np.array(labels)[:, None]})
    return path


def write_table(folder: Path, labels: list[int], columns: dict[str, list[str]]) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, red in enumerate(RED[: len(labels)]):
        Pillow.fromarray(photograph(red)).save(folder / "images" / f"{number}.png")
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "malignant", *columns])
        for number, label in enumerate(labels):
            writer.writerow([f"{number}.png", label, *(said[number] for said in columns.values())])
    return folder


def answered(package: Path, data: Path, split: Path | None = None) -> AnswerReport:
    report = validate_images(package, data, split=split)
    assert isinstance(report, AnswerReport)
    return report


@pytest.fixture(scope="module")
def malignant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("malignant")
    return write_image_package(folder, toml=MALIGNANT, logits=slice(0, 2))


def test_a_classifier_is_told_right_and_wrong_answers(malignant: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "some.npz", [0, 0, 0, 1, 0, 1, 1, 1])
    content = json.loads(answered(malignant, tmp_path).to_json())
    assert content["n"] == 8
    assert content["selection"] == "All 8 cases."
    metrics = content["metrics"]
    assert metrics["accuracy"]["value"] == 0.75
    assert metrics["sensitivity"]["value"] == 0.75
    assert metrics["sensitivity"]["interval"] == "Clopper-Pearson"
    assert metrics["specificity"] == content["classes"]["malignant"]["specificity"]
    # One pair of sixteen is in the wrong order.
    assert metrics["auroc"]["value"] == pytest.approx(15 / 16)
    assert metrics["auroc"]["low"] < 15 / 16 < metrics["auroc"]["high"] < 1
    assert content["confusion"]["rows"] == [[3, 1], [1, 3]]
    assert content["cases"][3]["name"] == "test/3"
    assert (content["cases"][3]["truth"], content["cases"][3]["found"]) == ("malignant", "benign")
    assert sum(one["n"] for one in content["calibration"]) == 8
    assert len(content["decision_curve"]) == 19


@pytest.mark.slow
def test_grades_in_order_have_a_kappa(tmp_path: Path) -> None:
    package = write_image_package(tmp_path / "package", toml=SEVERITY, logits=slice(2, 4))
    write_archive(tmp_path / "some.npz", [0, 0, 0, 0, 1, 1, 2, 2])
    report = answered(package, tmp_path)
    content = json.loads(report.to_json())
    assert "sensitivity" not in content["metrics"]
    assert 0 < content["metrics"]["quadratic_kappa"]["value"] < 1
    # The middle grade is no most extreme one: one of its twelve pairs is in the wrong order.
    assert content["metrics"]["auroc"]["value"] == pytest.approx((1 + 11 / 12 + 1) / 3)
    assert content["decision_curve"] == []


def test_what_was_learned_from_or_chosen_by_is_left_out(malignant: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "some.npz", [0, 1] * 4)
    package = write_image_package(tmp_path / "package", toml=MALIGNANT, logits=slice(0, 2))
    split = {"train": ["test/0", "train/*"], "validation": ["test/1"]}
    (package / "split.json").write_text(json.dumps(split))
    report = answered(package, tmp_path)
    assert [one.name for one in report.cases] == [f"test/{n}" for n in range(2, 8)]
    assert report.selection.endswith("learned from or was chosen by the other 2.")
    chosen = answered(malignant, tmp_path, package / "split.json")
    assert [one.name for one in chosen.cases] == ["test/1"]


@pytest.mark.slow
def test_a_table_tells_answers_and_subgroups(malignant: Path, tmp_path: Path) -> None:
    columns = {
        "age_approximate": ["35", "80", "39.5", "unknown", "", "20", "60", "61"],
        "sex": ["male", "female"] * 3 + ["unknown", "male"],
    }
    write_table(tmp_path, [0, 0, 0, 0, 1, 1, 1, 1], columns)
    report = answered(malignant, tmp_path)
    assert report.groups["age_band"] == {
        "20-39": ("0.png", "2.png", "5.png"),
        "60-79": ("6.png", "7.png"),
        "80-99": ("1.png",),
    }
    assert {sex: len(names) for sex, names in report.groups["sex"].items()} == {"F": 3, "M": 4}
    women = json.loads(report.to_json())["subgroups"]["sex"]["F"]
    assert women["n"] == 3
    assert women["too_small"]
    assert women["metrics"]["auroc"]["value"] == 1


def test_a_second_observer_stands_beside_the_model(tmp_path: Path) -> None:
    package = write_image_package(tmp_path / "package", toml=HEAD + OUTLINES)
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    red = photograph(0.5)[..., 0]
    fewer = red.copy()
    fewer[:, 6:] = 0
    for eye in ("Image_01L", "Image_01R"):
        Pillow.fromarray(photograph(0.5)).save(tmp_path / "images" / f"{eye}.png")
        Pillow.fromarray(red).save(tmp_path / "masks" / f"{eye}_1stHO.png")
        Pillow.fromarray(fewer).save(tmp_path / "masks" / f"{eye}_2ndHO.png")
    report = validate_images(package, tmp_path)
    assert isinstance(report, Report)
    assert report.class_names == ("red", SECOND)
    assert report.values("red", "dice") == (1, 1)
    assert report.values(SECOND, "dice") == pytest.approx((2 / 3, 2 / 3))
    assert report.values(SECOND, "sensitivity") == (0.5, 0.5)
    assert report.values(SECOND, "precision") == (1, 1)
    assert report.values(SECOND, "area_error_percent") == (-50, -50)


def test_an_image_that_the_model_does_not_take_is_listed(malignant: Path, tmp_path: Path) -> None:
    data = write_table(tmp_path, [0, 1], {})
    Pillow.new("L", (24, 16), 7).save(data / "images" / "1.png")
    report = answered(malignant, data)
    assert [one.name for one in report.cases] == ["0.png"]
    assert [(one.name, one.code) for one in report.refused] == [("1.png", "colour-unsupported")]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda folder: (folder / "labels.csv").unlink(), "validation-empty"),
        (lambda folder: (folder / "images" / "0.png").unlink(), "validation-case"),
        (lambda folder: (folder / "images" / "0.png").write_bytes(b"?"), "validation-unreadable"),
        (lambda folder: (folder / "labels.csv").write_text("image,other\n0.png,1\n"), "validation-label"),
        (lambda folder: (folder / "labels.csv").write_text("image,malignant\n0.png,2\n"), "validation-label"),
        (lambda folder: (folder / "labels.csv").write_text("image,malignant\n../0.png,1\n"), "validation-case"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_as_it_should_be_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], code: str
) -> None:
    spoil(write_table(tmp_path, [0, 1], {}))
    with pytest.raises(ConfigError) as error:
        list(labelled_answers(tmp_path, categories=("benign", "malignant"), modality="XC"))
    assert error.value.code == code
    assert str(tmp_path) in error.value.sentence


def test_the_archive_is_the_one_with_as_many_answers(tmp_path: Path) -> None:
    write_archive(tmp_path / "two.npz", [0, 1, 1])
    write_archive(tmp_path / "three.npz", [0, 1, 2])
    names = ("none", "mild", "severe")
    found = list(labelled_answers(tmp_path, categories=names, modality="OP"))
    assert [one.answer for one in found] == [0, 1, 2]
    (tmp_path / "three.npz").write_bytes(b"PK")
    with pytest.raises(ConfigError) as error:
        list(labelled_answers(tmp_path, categories=names, modality="OP"))
    assert error.value.code == "validation-unreadable"


@pytest.mark.slow
def test_the_command_writes_report_page_and_curves(
    malignant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.stdout, "width", 120)
    data = write_archive(tmp_path / "some.npz", [0, 0, 0, 1, 0, 1, 1, 1])
    command = ["validate", str(malignant), "--data", str(data), "--out", str(tmp_path / "r.json")]
    result = CliRunner().invoke(app, [*command, "--against", str(malignant)])
    assert result.exit_code == 0, result.output
    assert "AUROC" in result.output
    same = json.loads((tmp_path / "r.json").read_text())["against"]["metrics"]
    assert same["accuracy"]["p_value"] == same["auroc of malignant"]["p_value"] == 1
    page = (tmp_path / "r.html").read_text()
    assert "0.938 (" in page
    assert "<script" not in page
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "r-curves.png").read_bytes().startswith(b"\x89PNG")
