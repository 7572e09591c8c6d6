"""Runs a model package with ONNX Runtime: on the devices that the site names, or the best."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Self

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.embedding import require_layer
from clic_edge.inference.external_data import has_external_data
from clic_edge.inference.limits import memory_short
from clic_edge.inference.looking import ImageRuntime
from clic_edge.inference.package import load_package
from clic_edge.inference.predicting import PackageRuntime
from clic_edge.inference.site import HERE, Site
from clic_edge.inference.tiling import SlideRuntime
from clic_edge.inference.windowed import Windowed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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

_BEST_FIRST = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""TensorRT builds its engine for minutes at the first case, so a site has to ask for it."""
_ON_CUDA = {"CUDAExecutionProvider", "TensorrtExecutionProvider"}
_PRECISIONS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
"""By what ONNX Runtime calls the type of an input."""
_TOO_NEW = ("opset", "ir version", "ir_version", "not a registered", "no op registered")
"""How it says, in errors of several classes, that it lacks what a network needs."""
_OUT_OF_MEMORY = ("failed to allocate memory", "bad_alloc", "bad allocation", "out of memory")
"""The same of memory."""


class OnnxRuntime(PackageRuntime):
    """A package whose network is in ONNX."""

    @classmethod
    def load(cls, folder: Path, site: Site = HERE) -> Runtime:
        """Return a runtime for the package in `folder`.

        Raises
        ------
        ConfigError
            The folder holds no complete, well-formed package; ``network-opset``: the network
            needs what this ONNX Runtime lacks; ``runtime-provider``: the site asks for a device
            that is not there; ``model-embedding``: the network lacks the layer that is named.
        Defect
            Its files changed since their digests were written, or hold no network, or one whose
            numbers lie in a file that has no digest; as `ImageRuntime` of one for images.

        """
        package = load_package(folder)
        network = OnnxNetwork(package.weights_path, site.providers)
        require_layer(package.declaration.embedding, network.layers)
        package.verify()
        if package.declaration.image:
            return ImageRuntime(package, network)
        if package.declaration.tiles:
            return SlideRuntime(package, network)
        return cls(package, Windowed(network, package.declaration))


class OnnxNetwork:
    """A network in a session of ONNX Runtime, read from `path`. Raises as `OnnxRuntime.load`.

    One whose input is half precision (float16) is given that, and answers in single precision.
    """

    def __init__(self, path: Path, providers: Sequence[str] = ()) -> None:
        self._path = path
        self._session = _session(path, _present(providers))
        self._pass = onnxruntime.RunOptions()
        self._on_cpu: Self | None = None
        self._input, *others = self._session.get_inputs()
        if others or self._input.type not in _PRECISIONS:
            raise Defect("network-unreadable", f"{path} takes more than one array of real numbers.")

    @property
    def device(self) -> str:
        """``cuda`` or ``cpu``."""
        return "cuda" if _ON_CUDA & set(self._session.get_providers()) else "cpu"

    def on(self, device: str) -> Self:
        """Return the network on the CPU, loaded there at the first call; else itself."""
        if device != "cpu" or self.device == "cpu":
            return self
        if self._on_cpu is None:
            self._on_cpu = type(self)(self._path, ("CPUExecutionProvider",))
        return self._on_cpu

    @property
    def layers(self) -> tuple[tuple[str, int], ...]:
        """Name and number of dimensions of each output."""
        return tuple((one.name, len(one.shape)) for one in self._session.get_outputs())

    def interrupt(self) -> None:
        """End the pass that is under way, at its next node."""
        self._pass.terminate = True

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, as `Network` says."""
        (logits, *_) = self.outputs(windows).values()
        return logits

    def outputs(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Return every output by name, as `Seeing` says."""
        given = images.astype(_PRECISIONS[self._input.type], copy=False)
        self._pass = onnxruntime.RunOptions()
        try:
            found = self._on_device(given) if self.device == "cuda" else self._run(given)
        except _SESSION_ERRORS as error:
            if _says(error, _OUT_OF_MEMORY):
                raise memory_short() from error
            raise Defect("network-failed", "The network's forward pass failed.") from error
        names = (one.name for one in self._session.get_outputs())
        return {
            name: one.astype(np.float32, copy=False) for name, one in zip(names, found, strict=True)
        }

    def _run(self, given: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        outputs: list[NDArray[np.generic]] = self._session.run(
            None, {self._input.name: given}, self._pass
        )
        return outputs

    def _on_device(self, given: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        """Run with outputs bound where the network is: one copy there, one back."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._input.name, np.ascontiguousarray(given))
        for output in self._session.get_outputs():
            binding.bind_output(output.name, self.device)
        self._session.run_with_iobinding(binding, self._pass)
        outputs: list[NDArray[np.generic]] = binding.copy_outputs_to_cpu()
        return outputs


def _says(error: Exception, words: Sequence[str]) -> bool:
    """Whether an error is about something; the classes of ONNX Runtime don't tell."""
    return any(one in str(error).lower() for one in words)


def _present(wanted: Sequence[str]) -> list[str]:
    """Return the providers that are here, of those that are wanted, in their order."""
    known, here = onnxruntime.get_all_providers(), onnxruntime.get_available_providers()
    for name in wanted:
        if name not in known:
            (nearest,) = get_close_matches(name, known, n=1, cutoff=0)
            raise ConfigError(
                "runtime-provider", f"ONNX Runtime has no provider {name}; is it {nearest}?"
            )
    found = [name for name in wanted or _BEST_FIRST if name in here]
    if not found:
        raise ConfigError(
            "runtime-provider", f"None of the providers {', '.join(wanted)} is on this machine."
        )
    return found


def _session(path: Path, providers: list[str]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # The runtime has a second format of its own, in which nobody has looked for external data.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        network = path.read_bytes()
        if has_external_data(network):
            raise Defect(
                "network-external-data",
                f"{path} keeps a part of the network in another file, which no digest covers.",
            )
        return onnxruntime.InferenceSession(network, options, providers=providers)
    except (*_SESSION_ERRORS, OSError, ValueError) as error:
        if _says(error, _OUT_OF_MEMORY):
            raise memory_short() from error
        if _says(error, _TOO_NEW):
            raise ConfigError(
                "network-opset",
                f"{path} needs an opset, a format or an operator that ONNX Runtime "
                f"{onnxruntime.__version__} does not have; export it for an older one.",
            ) from error
        raise Defect("network-unreadable", f"{path} does not load.") from error
