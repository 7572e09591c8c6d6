"""A package's gate looks at the pixels before the model does, whatever runs the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import (
    TOML,
    image_of,
    known_labels,
    volume_of,
    write_image_package,
    write_package,
)
from PIL import Image as PictureFile
from runtime_packages import KINDS, KSERVE, Kind
from sites import ROOT

from clic_edge.errors import ClicEdgeError, ConfigError, Defect, Refusal
from clic_edge.inference.limits import Limits
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import load_package, write_digests
from clic_edge.inference.pixel_gate import Gated

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Volume

GATE = """
[gate]
network = "gate.onnx"
size = [16, 16]
least = 0.5
shows = "something bright"
"""


def write_gate(folder: Path, *, channels: int = 1, offset: float = -6.0) -> None:
    """Add a gate that is sure where the mean of the last channel is above 6 / 20."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.zeros((1, channels, 1, 1), np.float32)
    weight[0, -1] = 20
    constants = {"weight": weight, "bias": np.array([offset], np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["pictures", "weight", "bias"], ["logits"]),
            helper.make_node("GlobalAveragePool", ["logits"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("Sigmoid", ["flat"], ["sure"]),
        ],
        "gate",
        [helper.make_tensor_value_info("pictures", floats, ["n", channels, 16, 16])],
        [helper.make_tensor_value_info("sure", floats, ["n", 1])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "gate.onnx").write_bytes(model.SerializeToString())
    write_digests(folder)


def _add_gate(folder: Path, *, channels: int = 1) -> Path:
    declaration = folder / "model.toml"
    before, bracket, after = declaration.read_text().partition("\n[")
    declaration.write_text(f"{before}\n{GATE}{bracket}{after}")
    write_gate(folder, channels=channels)
    return folder


def _mostly(level: int) -> Volume:
    labels: NDArray[np.uint8] = np.full((10, 12, 14), level, np.uint8)
    labels[0], labels[-1] = 0, 2
    return volume_of(labels)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(one, id=one.name) for one in KINDS if one is not KSERVE],
)
@pytest.mark.slow
def test_every_runtime_is_behind_the_gate_of_its_package(tmp_path: Path, kind: Kind) -> None:
    kind.write(tmp_path, toml=TOML)
    _add_gate(tmp_path)
    runtime = load_runtime(tmp_path, kind.site)
    assert runtime.predict(_mostly(2)).label_map.any()
    with pytest.raises(Refusal) as raised:
        runtime.predict(_mostly(0))
    assert raised.value.code == "pixels-unsupported"
    assert "something bright" in raised.value.sentence


def test_what_a_volume_shows_is_seen_in_whatever_orientation_and_type(tmp_path: Path) -> None:
    runtime = load_runtime(_add_gate(write_package(tmp_path)))
    for turned in ([2, 1, 0, 3], [0, 1, 2, 3], [1, 2, 0, 3]):
        affine = np.eye(4)[turned]
        labels = np.full((12, 12, 12), 2, np.uint8)
        labels[0] = 0
        assert runtime.predict(volume_of(labels, affine=affine)).label_map.any()


def test_an_image_is_looked_at_in_its_colours(tmp_path: Path) -> None:
    runtime = load_runtime(_add_gate(write_image_package(tmp_path), channels=3))
    blue, red = np.zeros((32, 48), np.bool_), np.ones((32, 48), np.bool_)
    red[0, 0], blue[0, 0] = False, True
    assert runtime.predict(image_of(blue)).categories
    with pytest.raises(Refusal) as raised:
        runtime.predict(image_of(red))
    assert raised.value.code == "pixels-unsupported"


def test_another_kind_of_input_is_told_by_the_model_itself(tmp_path: Path) -> None:
    runtime = load_runtime(_add_gate(write_package(tmp_path)))
    with pytest.raises(ConfigError) as raised:
        runtime.predict(image_of(np.ones((32, 48), np.bool_)))
    assert raised.value.code == "model-for-volumes"


def test_within_limits_the_gate_is_still_there(tmp_path: Path) -> None:
    runtime = load_runtime(_add_gate(write_package(tmp_path)))
    assert isinstance(runtime, Gated)
    with pytest.raises(Refusal):
        runtime.within(Limits(batch=1, device="cpu")).predict(_mostly(0))


def test_the_gate_changes_nothing_of_what_it_lets_through(tmp_path: Path) -> None:
    gated = _add_gate(write_package(tmp_path / "gated"))
    plain = write_package(tmp_path / "plain")
    labels = 2 - known_labels()
    found = load_runtime(gated).predict(volume_of(labels)).label_map
    np.testing.assert_array_equal(found, load_runtime(plain).predict(volume_of(labels)).label_map)
    assert found.any()


def test_the_gates_network_is_among_what_the_digests_cover(tmp_path: Path) -> None:
    folder = _add_gate(write_package(tmp_path))
    assert "gate.onnx" in load_package(folder).names
    (folder / "gate.onnx").write_bytes(b"another")
    with pytest.raises(Defect) as raised:
        load_runtime(folder)
    assert raised.value.code == "model-changed"


@pytest.mark.slow
def test_the_model_for_eyes_refuses_a_photograph_of_skin(test_data: Path) -> None:
    runtime = load_runtime(ROOT / "models" / "retina-vessels")
    (mole, *_) = sorted((test_data / "2d" / "dermoscopy-isic2017" / "images").glob("*.jpg"))
    pixels = np.asarray(PictureFile.open(mole).convert("RGB"))
    image = replace(image_of(np.zeros((8, 8), np.bool_), modality="OP"), pixels=pixels)
    with pytest.raises(Refusal) as raised:
        runtime.predict(image)
    assert raised.value.code == "pixels-unsupported"


@pytest.mark.parametrize("broken", ["missing", "channels", "size"])
def test_a_gate_that_can_not_judge_stops_the_package_when_it_is_loaded(
    tmp_path: Path, broken: str
) -> None:
    folder = _add_gate(write_package(tmp_path))
    if broken == "missing":
        (folder / "gate.onnx").unlink()
    elif broken == "channels":
        write_gate(folder, channels=3)
    else:
        text = (folder / "model.toml").read_text().replace("[16, 16]", "[24, 16]")
        (folder / "model.toml").write_text(text)
        write_digests(folder)
    with pytest.raises(ClicEdgeError) as raised:
        load_runtime(folder)
    assert raised.value.code in {"model-incomplete", "network-failed"}


def test_a_gate_that_is_never_sure_refuses(tmp_path: Path) -> None:
    folder = _add_gate(write_package(tmp_path))
    write_gate(folder, offset=-100)
    with pytest.raises(Refusal):
        load_runtime(folder).predict(_mostly(2))
