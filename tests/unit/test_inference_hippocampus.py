"""The package that ships: complete, small, the network that it says, and right on real brains."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from clic_edge.inference.onnx import OnnxNetwork, OnnxRuntime
from clic_edge.validation.folder import read_case
from clic_edge.validation.metrics import compare

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

MOST_BYTES = 8_000_000


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "models" / "hippocampus"


@pytest.fixture(scope="module")
def runtime(folder: Path) -> OnnxRuntime:
    return OnnxRuntime.load(folder)


def script(folder: Path, name: str) -> ModuleType:
    """Return one of the package's scripts as a module, under its own name."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_package_is_whole_and_small(runtime: OnnxRuntime) -> None:
    assert runtime.package.weights_path.stat().st_size <= MOST_BYTES
    assert [segment.name for segment in runtime.package.declaration.segments] == [
        "anterior",
        "posterior",
    ]


@pytest.mark.slow
def test_the_shipped_weights_say_the_same_in_torch(folder: Path, runtime: OnnxRuntime) -> None:
    torch = pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("monai")
    network = script(folder, "network")
    graph = onnx.load(runtime.package.weights_path).graph
    weights = {
        w.name: torch.from_numpy(onnx.numpy_helper.to_array(w).copy()) for w in graph.initializer
    }
    rebuilt = network.build_network().eval()
    left = rebuilt.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys
    image = torch.randn((2, 1, *network.PATCH), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = rebuilt(image).numpy()
    logits = OnnxNetwork(runtime.package.weights_path)(image.numpy())
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    # Every weight came from the file: the modules share theirs under several names.
    pointers = {parameter.data_ptr() for parameter in rebuilt.parameters()}
    assert len(pointers) == len(weights)


@pytest.mark.slow
def test_a_network_says_the_same_after_export(folder: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("monai")
    network, export = script(folder, "network"), script(folder, "export")
    torch.manual_seed(4)
    fresh = network.build_network()
    export.export(fresh, tmp_path / "fresh.onnx")
    image = torch.randn(2, 1, *network.PATCH)
    with torch.inference_mode():
        expected = fresh.eval()(image).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "fresh.onnx")
    (logits,) = session.run(["logits"], {"image": image.numpy()})
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.slow
def test_real_hippocampi_that_it_has_not_seen_are_found(
    folder: Path, test_data: Path, runtime: OnnxRuntime
) -> None:
    split = json.loads((folder / "split.json").read_text())
    for name in split["validation"][:2]:
        case = read_case(test_data / "hippocampus", name, modality="MR")
        prediction = runtime.predict(case.volume)
        for segment in runtime.package.declaration.segments:
            found, reference = (m == segment.number for m in (prediction.label_map, case.reference))
            agreement = compare(found, reference, case.volume.geometry)
            assert agreement.dice is not None
            assert agreement.dice > 0.8


def test_the_card_reports_what_the_validation_of_these_weights_found(
    folder: Path, runtime: OnnxRuntime
) -> None:
    report = json.loads((folder / "validation.json").read_text())
    assert report["model"]["digest"] == runtime.package.digest
    split = json.loads((folder / "split.json").read_text())
    assert [case["name"] for case in report["cases"]] == split["validation"]
    card = (folder / "README.md").read_text()
    dice = [report["classes"][name]["dice"] for name in ("anterior", "posterior")]
    cells = " | ".join(f"{d['mean']:.3f} ± {d['sd']:.3f}" for d in dice)
    assert f"| Dice, mean ± sd | {cells} |" in card
    assert dice[0]["mean"] >= 0.88
    assert dice[1]["mean"] >= 0.86
