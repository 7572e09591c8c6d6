"""Runs a model package with ONNX Runtime: on CUDA where there is one, else on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from clic_edge.errors import Defect
from clic_edge.inference.external_data import has_external_data
from clic_edge.inference.looking import ImageRuntime
from clic_edge.inference.package import load_package
from clic_edge.inference.predicting import PackageRuntime
from clic_edge.inference.windowed import Windowed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from clic_edge.inference.runtime import Runtime

_SESSION_ERRORS = (
    ort.EPFail,
    ort.Fail,
    ort.InvalidArgument,
    ort.InvalidGraph,
    ort.InvalidProtobuf,
    ort.NotImplemented,
    ort.RuntimeException,
)


class OnnxRuntime(PackageRuntime):
    """A package whose network is in ONNX."""

    @classmethod
    def load(cls, folder: Path) -> Runtime:
        """Return a runtime for the package in `folder`.

        Raises
        ------
        ConfigError
            The folder holds no complete, well-formed package.
        Defect
            Its files changed since their digests were written, or hold no network, or one whose
            numbers lie in a file that has no digest; as `ImageRuntime` of one for images.

        """
        package = load_package(folder)
        network = OnnxNetwork(package.weights_path)
        package.verify()
        if package.declaration.image:
            return ImageRuntime(package, network)
        return cls(package, Windowed(network, package.declaration))


class OnnxNetwork:
    """A network in a session of ONNX Runtime, read from `path`. Raises Defect as `load` says."""

    def __init__(self, path: Path) -> None:
        self._session = _session(path)

    @property
    def device(self) -> str:
        """``cuda`` or ``cpu``."""
        return "cuda" if "CUDAExecutionProvider" in self._session.get_providers() else "cpu"

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, as `Network` says."""
        (logits, *_) = self.outputs(windows).values()
        return logits

    def outputs(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Return every output by name, as `Seeing` says."""
        name = self._session.get_inputs()[0].name
        try:
            found = self._session.run(None, {name: images})
        except _SESSION_ERRORS as error:
            raise Defect("network-failed", "The network's forward pass failed.") from error
        return dict(zip((one.name for one in self._session.get_outputs()), found, strict=True))


def _session(path: Path) -> onnxruntime.InferenceSession:
    available = onnxruntime.get_available_providers()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    options = onnxruntime.SessionOptions()
    # The runtime has a second format of its own, in which nobody has looked for external data.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    network = path.read_bytes()
    try:
        if has_external_data(network):
            raise Defect(
                "network-external-data",
                f"{path} keeps a part of the network in another file, which no digest covers.",
            )
        return onnxruntime.InferenceSession(
            network,
            options,
            providers=[provider for provider in wanted if provider in available],
        )
    except (*_SESSION_ERRORS, ValueError) as error:
        raise Defect("network-unreadable", f"{path} does not load.") from error
