from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from model_packages import IMAGE_TOML, TOML, write_package

from clic_edge.domain.image import InputKind
from clic_edge.domain.prediction import OperatingPoint
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.declaration import read_declaration
from clic_edge.inference.package import load_package, write_digests

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_package(tmp_path / "brightness")


def complaint(folder: Path, old: str, new: str) -> str:
    assert old in TOML
    (folder / "model.toml").write_text(TOML.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        load_package(folder)
    assert error.value.code == "model-declaration"
    assert str(folder / "model.toml") in error.value.sentence
    return error.value.sentence


def test_an_unknown_attribute_is_named_with_the_nearest(folder: Path) -> None:
    told = complaint(folder, "[input]", '[input]\nattributes = ["echo_time"]')
    assert "echo_time_ms" in told


def test_an_operating_point_is_part_of_the_models_identity(folder: Path) -> None:
    point = '[operating_point]\nname = "balanced"\nthreshold = 0.4\nsensitivity = 0.9\n[window]'
    (folder / "model.toml").write_text(TOML.replace("[window]", point, 1))
    identity = write_digests(folder).identity
    assert identity.operating_point == OperatingPoint(
        name="balanced", threshold=0.4, sensitivity=0.9
    )
    assert identity.intended_use == "tests"


def test_a_package_says_what_it_is(folder: Path) -> None:
    package = load_package(folder)
    assert package.identity.title == "Brightness"
    assert [segment.name for segment in package.declaration.segments] == ["grey", "white"]
    assert package.declaration.segments[0].property_type.meaning == "Hippocampus"
    assert len(package.digest) == 64


@pytest.mark.parametrize(
    ("old", "new", "key", "nearest"),
    [
        ("version =", "versoin =", "versoin", "version"),
        ("spacing_mm = [1, 1, 1]", "spacing = [1, 1, 1]", "input.spacing", "spacing_mm"),
        ("overlap = 0.5", "overlop = 0.5", "window.overlop", "overlap"),
        ("low = 0", "lwo = 0", "input.intensity.0.clip-percentiles.lwo", "low"),
        ('name = "grey"', 'nam = "grey"', "segments.0.nam", "name"),
        ("scheme =", "schema =", "segments.0.category.schema", "scheme"),
        ("[window]", "[zzz]", "zzz", ""),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_valid_one(
    folder: Path, old: str, new: str, key: str, nearest: str
) -> None:
    sentence = complaint(folder, old, new)
    assert f"unknown key {key};" in sentence
    assert f"the nearest valid one is {nearest}" in sentence


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('id = "brightness"', 'id = "../state"', "id"),
        ('id = "brightness"', 'id = "/etc"', "id"),
        ('id = "brightness"', 'id = ".."', "id"),
        ('id = "brightness"', 'id = ""', "id"),
        ('id = "brightness"', 'id = "brightness\\n"', "id"),
        ('name = "white"', 'name = "../white"', "segments"),
        ('name = "white"', 'name = "white.matter"', "segments"),
        ('version = "0.1"', "version = 1", "version"),
        ('version = "0.1"', "", "version"),
        ("overlap = 0.5", "overlap = 2026-01-02", "window.overlap"),
        ('orientation = "RAS"', 'orientation = "RLS"', "input.orientation"),
        ('orientation = "RAS"', 'orientation = "XYZ"', "input.orientation"),
        ("source_spacing_mm = [0.5, 2.0]", "source_spacing_mm = [2.0, 0.5]", "input"),
        ("spacing_mm = [1, 1, 1]", "spacing_mm = [1, 0, 1]", "input.spacing_mm.1"),
        ("low = 0", "low = 100", "input.intensity.0.clip-percentiles"),
        ("overlap = 0.5", "overlap = 1.0", "window.overlap"),
        ("shape = [8, 8, 8]", "shape = [8, 8]", "window.shape.2"),
        ("largest_tilt_deg = 20", "largest_tilt_deg = nan", "input.largest_tilt_deg"),
        ("number = 2", "number = 3", "segments"),
        ('name = "white"', 'name = "grey"', "segments"),
        ('weights = "model.onnx"', 'weights = "../model.onnx"', "weights"),
        ('weights = "model.onnx"', 'weights = ".."', "weights"),
        ("[input]", "[input", None),
    ],
)
def test_a_wrong_value_is_named_with_its_key(
    folder: Path, old: str, new: str, key: str | None
) -> None:
    sentence = complaint(folder, old, new)
    assert key is None or f"{key}: " in sentence


def test_a_folder_that_a_link_leads_to_is_no_part_of_a_package(
    folder: Path, tmp_path: Path
) -> None:
    """Its files could change, or be run by a bundle, and no digest would tell."""
    (tmp_path / "elsewhere").mkdir()
    (folder / "test").mkdir(exist_ok=True)
    (folder / "test" / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError) as error:
        load_package(folder)
    assert error.value.code == "model-elsewhere"


@pytest.mark.parametrize("name", ["model.toml", "model.onnx", "digests.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ConfigError) as error:
        load_package(folder)
    assert name in error.value.sentence


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_package(tmp_path / "nowhere")
    assert "nowhere" in error.value.sentence


@pytest.mark.parametrize("text", ["{", "[]", '{"model.onnx": "0"}'])
def test_digests_that_do_not_fit_do_not_pass(folder: Path, text: str) -> None:
    (folder / "digests.json").write_text(text)
    with pytest.raises((ConfigError, Defect)):
        load_package(folder)


@pytest.mark.parametrize("position", [0, 100, -1])
def test_one_bit_of_the_weights_stops_the_package(folder: Path, position: int) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[position] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(Defect) as error:
        load_package(folder)
    assert error.value.code == "model-changed"


def test_the_digest_moves_with_every_file_and_with_nothing_else(folder: Path) -> None:
    before = load_package(folder).digest
    (folder / "README.md").write_text("a card")
    assert write_digests(folder).digest == before
    (folder / "model.toml").write_text(TOML + "# a comment\n")
    assert write_digests(folder).digest != before


def test_digests_are_plain_sha256_sums(folder: Path) -> None:
    digests = json.loads((folder / "digests.json").read_text())
    assert sorted(digests) == ["model.onnx", "model.toml"]
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests.values())


def test_the_example_of_a_package_for_images_is_by_the_schema(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "how-to" / "model-packages.md").read_text(encoding="utf-8")
    (example,) = [one for one in page.split("```toml\n")[1:] if one.startswith("[image]")]
    (tmp_path / "model.toml").write_text(IMAGE_TOML.split("[image]")[0] + example.split("```")[0])
    declared = read_declaration(tmp_path / "model.toml")
    assert declared.kind is InputKind.IMAGE
    assert declared.maps[0].category == "malignant"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "[image]",
            "[window]\nshape = [1, 1, 1]\noverlap = 0\nbatch = 1\n[image]",
            "'[image]' for images",
        ),
        ('name = "mild"', 'name = "benign"', "a name of its own"),
        ('category = "malignant"', 'category = "malign"', "a category that is not there"),
        ('name = "redness"\nlabel', 'name = "segments"\nlabel', "means something else"),
        ("mean = [0.5, 0.5, 0.5]", "mean = [0.5, 0.5]", "one 'deviation' for each 'mean'"),
        ("channels = 3", "channels = 1", "one 'mean' for each channel"),
        ("threshold = 0.4", "", None),
        ("[[maps]]", '[operating_point]\nname = "a"\nthreshold = 0.3\n[[maps]]', "of nothing"),
        ("channels = 3", "channles = 3", "the nearest valid one is channels"),
        ('activation = "ordinal"', 'activaton = "ordinal"', "the nearest valid one is activation"),
        ('label = "Mild"', 'lable = "Mild"', "the nearest valid one is label"),
    ],
)
def test_a_package_for_images_that_contradicts_itself_is_told_so(
    tmp_path: Path, old: str, new: str, complaint: str | None
) -> None:
    assert old in IMAGE_TOML
    (tmp_path / "model.toml").write_text(IMAGE_TOML.replace(old, new, 1))
    if complaint is None:
        assert read_declaration(tmp_path / "model.toml")
        return
    with pytest.raises(ConfigError) as error:
        read_declaration(tmp_path / "model.toml")
    assert error.value.code == "model-declaration"
    assert complaint in error.value.sentence
