"""What ONNX Runtime alone can do, and what it is asked that it can't."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import known_labels, volume_of, write_package

from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.onnx import OnnxNetwork, OnnxRuntime
from clic_edge.inference.package import write_digests
from clic_edge.inference.site import Site

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx")
helper = onnx.helper
WINDOWS = np.random.default_rng(1).normal(size=(2, 1, 4, 5, 6)).astype(np.float32)


def network(path: Path, *, kind: int, opset: int = 17, ir: int = 8, operator: str = "Conv") -> Path:
    """Write a network of one operator with numbers of one kind."""
    numbers = helper.tensor_dtype_to_np_dtype(kind)
    weight = np.array([1, -2, 0.5]).astype(numbers).reshape(3, 1, 1, 1, 1)
    graph = helper.make_graph(
        [helper.make_node(operator, ["image", "weight"], ["logits"])],
        "network",
        [helper.make_tensor_value_info("image", kind, ["n", 1, "x", "y", "z"])],
        [helper.make_tensor_value_info("logits", kind, ["n", 3, "x", "y", "z"])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    path.write_bytes(model.SerializeToString())
    return path


def test_half_precision_answers_as_single_precision_does(tmp_path: Path) -> None:
    single = OnnxNetwork(network(tmp_path / "single.onnx", kind=onnx.TensorProto.FLOAT))
    half = OnnxNetwork(network(tmp_path / "half.onnx", kind=onnx.TensorProto.FLOAT16))
    found = half(WINDOWS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, single(WINDOWS), atol=5e-3)


def test_bound_outputs_are_those_of_a_plain_run(tmp_path: Path) -> None:
    one = OnnxNetwork(network(tmp_path / "single.onnx", kind=onnx.TensorProto.FLOAT))
    (bound,), (plain,) = one._on_device(WINDOWS), one._run(WINDOWS)
    np.testing.assert_array_equal(bound, plain)


def test_a_network_that_takes_no_real_numbers_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(Defect) as error:
        OnnxNetwork(
            network(tmp_path / "a.onnx", kind=onnx.TensorProto.INT32, operator="Add"),
        )
    assert error.value.code == "network-unreadable"


@pytest.mark.parametrize(
    "ahead", [{"opset": 99}, {"ir": 99}, {"operator": "Telepathy"}], ids=["opset", "ir", "operator"]
)
def test_what_onnx_runtime_lacks_is_said_when_the_package_is_loaded(
    tmp_path: Path, ahead: dict[str, int | str]
) -> None:
    write_package(tmp_path)
    network(tmp_path / "model.onnx", kind=onnx.TensorProto.FLOAT, **ahead)  # type: ignore[arg-type]
    write_digests(tmp_path)
    with pytest.raises(ConfigError) as error:
        OnnxRuntime.load(tmp_path)
    assert error.value.code == "network-opset"


def test_the_first_provider_that_is_here_is_taken(tmp_path: Path) -> None:
    site = Site(providers=("TensorrtExecutionProvider", "CPUExecutionProvider"))
    runtime = OnnxRuntime.load(write_package(tmp_path), site)
    assert runtime.predict(volume_of(known_labels())).device in {"cuda", "cpu"}


def test_a_provider_that_there_is_not_is_named_with_the_nearest(tmp_path: Path) -> None:
    write_package(tmp_path)
    with pytest.raises(ConfigError, match="CPUExecutionProvider") as error:
        OnnxRuntime.load(tmp_path, Site(providers=("CPUProvider",)))
    assert error.value.code == "runtime-provider"


def test_a_site_whose_providers_are_all_absent_is_told(tmp_path: Path) -> None:
    write_package(tmp_path)
    with pytest.raises(ConfigError) as error:
        OnnxRuntime.load(tmp_path, Site(providers=("QNNExecutionProvider",)))
    assert error.value.code == "runtime-provider"
