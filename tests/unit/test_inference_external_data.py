"""A network is one file: nothing of it is read from elsewhere, where no digest looks."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st
from model_packages import known_labels, volume_of, write_package

from clic_edge.errors import Defect
from clic_edge.inference.external_data import has_external_data
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from collections.abc import Callable

onnx = pytest.importorskip("onnx")

ROOT = Path(__file__).resolve().parents[2]
PLACES: dict[str, Callable[[onnx.ModelProto], onnx.TensorProto]] = {
    "initializer": lambda model: model.graph.initializer.add(),
    "values of a sparse initializer": lambda model: model.graph.sparse_initializer.add().values,
    "indices of a sparse initializer": lambda model: model.graph.sparse_initializer.add().indices,
    "attribute": lambda model: model.graph.node.add().attribute.add().t,
    "attribute of many": lambda model: model.graph.node.add().attribute.add().tensors.add(),
    "sparse attribute": lambda model: model.graph.node.add().attribute.add().sparse_tensor.values,
    "sparse attribute of many": lambda model: (
        model.graph.node.add().attribute.add().sparse_tensors.add().indices
    ),
    "branch": lambda model: model.graph.node.add().attribute.add().g.initializer.add(),
    "branch of a branch": lambda model: (
        model.graph.node.add()
        .attribute.add()
        .graphs.add()
        .node.add()
        .attribute.add()
        .g.initializer.add()
    ),
    "function": lambda model: model.functions.add().node.add().attribute.add().t,
    "default of a function": lambda model: model.functions.add().attribute_proto.add().t,
    "training": lambda model: model.training_info.add().initialization.initializer.add(),
    "step of training": lambda model: model.training_info.add().algorithm.initializer.add(),
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "brightness")


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_that_lies_elsewhere_is_found_in_every_place(package: Path, place: str) -> None:
    model = onnx.load(package / "model.onnx")
    assert not has_external_data(model.SerializeToString())
    tensor = PLACES[place](model)
    tensor.raw_data = b"\x70\x01" * 8  # what would be the mark, were it not inside of numbers
    assert not has_external_data(model.SerializeToString())
    tensor.data_location = onnx.TensorProto.EXTERNAL
    assert has_external_data(model.SerializeToString())


def test_a_network_with_numbers_in_another_file_is_not_loaded(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(package / "model.onnx")
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save_model(model, str(package / "model.onnx"), **options)
    write_digests(package)
    monkeypatch.chdir(package)
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = (package / "model.onnx").read_bytes()
    assert onnxruntime.InferenceSession(content, plain), "the runtime itself reads the other file"
    with pytest.raises(Defect) as error:
        OnnxRuntime.load(package)
    assert error.value.code == "network-external-data"


def test_the_runtimes_own_format_is_not_read(package: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(package / "model.ort")
    onnxruntime.InferenceSession(package / "model.onnx", options)
    assert (package / "model.ort").read_bytes()[4:8] == b"ORTM"
    (package / "model.ort").rename(package / "model.onnx")
    write_digests(package)
    with pytest.raises(Defect) as error:
        OnnxRuntime.load(package)
    assert error.value.code == "network-unreadable"


def test_a_network_in_one_file_is_loaded(package: Path) -> None:
    found = OnnxRuntime.load(package).predict(volume_of(known_labels()))
    np.testing.assert_array_equal(found.label_map, known_labels())
    assert not has_external_data((ROOT / "models/hippocampus/model.onnx").read_bytes())


def by_protobuf(message: Message) -> bool:
    """Return the same, as protobuf itself reads the network."""
    if isinstance(message, onnx.TensorProto):
        return bool(message.data_location)
    parts = (
        part
        for field, value in message.ListFields()
        if field.message_type
        for part in ([value] if isinstance(value, Message) else value)
    )
    return any(map(by_protobuf, parts))


def network() -> bytes:
    """Return a network with a tensor in every place, each saying that its numbers are in it."""
    model = onnx.ModelProto(ir_version=8, domain="x")
    for place in PLACES.values():
        place(model).data_location = onnx.TensorProto.DEFAULT
    return model.SerializeToString()


@settings(deadline=None, max_examples=500)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(network()) - 1), st.integers(0, 255)), max_size=3)
)
def test_whatever_protobuf_reads_as_external_is_found(changes: list[tuple[int, int]]) -> None:
    content = bytearray(network())
    for at, byte in changes:
        content[at] = byte
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(content))
    except DecodeError:
        return
    with contextlib.suppress(ValueError):  # stricter than protobuf: such a network is not loaded
        assert has_external_data(bytes(content)) or not by_protobuf(model)


@pytest.mark.parametrize(
    "content", [b"\x3a", b"\x3a\x05\x01", b"\x3b", b"\x09\x00", b"\xff" * 11], ids=str
)
def test_bytes_that_are_cut_off_are_no_protobuf(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"a field|an integer"):
        has_external_data(content)
