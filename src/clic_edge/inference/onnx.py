"""Runs a model package with ONNX Runtime: on CUDA where there is one, else on the CPU."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from clic_edge.domain.prediction import Prediction, SegmentFinding
from clic_edge.errors import Defect
from clic_edge.inference.external_data import has_external_data
from clic_edge.inference.gate import admit
from clic_edge.inference.intensity import prepare
from clic_edge.inference.measuring import measure
from clic_edge.inference.package import load_package
from clic_edge.inference.transforms import label_map, network_grid
from clic_edge.inference.windows import sliding_window

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.domain.prediction import ModelIdentity, SegmentDefinition
    from clic_edge.domain.volume import Geometry, Volume
    from clic_edge.inference.package import ModelPackage

_SESSION_ERRORS = (
    ort.EPFail,
    ort.Fail,
    ort.InvalidArgument,
    ort.InvalidGraph,
    ort.InvalidProtobuf,
    ort.NotImplemented,
    ort.RuntimeException,
)


class OnnxRuntime:
    """A package and its network, loaded once; one case at a time runs, the others wait."""

    def __init__(self, package: ModelPackage, session: onnxruntime.InferenceSession) -> None:
        self.package = package
        self._session = session
        self._stamps = package.stamps()
        self._one_at_a_time = threading.Lock()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return a runtime for the package in `folder`.

        Raises
        ------
        ConfigError
            The folder holds no complete, well-formed package.
        Defect
            Its files changed since their digests were written, or hold no network, or one whose
            numbers lie in a file that has no digest.

        """
        package = load_package(folder)
        session = _session(package.weights_path)
        package.verify()
        return cls(package, session)

    @property
    def model(self) -> ModelIdentity:
        """Which model this is, as it was verified when it was loaded."""
        return self.package.identity

    @property
    def needs(self) -> frozenset[str]:
        """The fields of `Acquisition` that the package declares."""
        return self.package.declaration.needs

    @property
    def device(self) -> str:
        """``cuda`` or ``cpu``."""
        return "cuda" if "CUDAExecutionProvider" in self._session.get_providers() else "cpu"

    def predict(self, volume: Volume) -> Prediction:
        """Return what the model finds, as `Runtime.predict` says."""
        declared = self.package.declaration
        grid = network_grid(
            volume.geometry,
            orientation=declared.input.orientation,
            spacing_mm=declared.input.spacing_mm,
        )
        admit(volume, grid, declared)
        network = _Network(session=self._session, classes=len(declared.segments) + 1)
        voxels = _in_quantity(volume, declared.input.quantity)
        probabilities = self._run(network, grid.to_network(voxels))
        labels, probability = label_map(probabilities, grid)
        labels.flags.writeable = False
        return Prediction(
            model=self.package.identity,
            geometry=volume.geometry,
            label_map=labels,
            segments=tuple(
                replace(
                    _finding(volume.geometry, segment, labels=labels, probability=probability),
                    measurements=measure(
                        voxels,
                        labels == segment.number,
                        volume.geometry,
                        kinds=declared.measurements,
                    ),
                )
                for segment in declared.segments
            ),
            device=self.device,
            forward_seconds=network.seconds,
        )

    def _run(self, network: _Network, voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (classes, x, y, z), background first."""
        declared = self.package.declaration
        image = prepare(voxels, declared.input.intensity)
        with self._one_at_a_time:
            self._check_package()
            logits = sliding_window(image, network, window=declared.window, classes=network.classes)
        return _softmax(logits)

    def _check_package(self) -> None:
        stamps = self.package.stamps()
        if stamps != self._stamps:
            self.package.verify()
            self._stamps = stamps


@dataclass(slots=True, kw_only=True)
class _Network:
    """The forward pass of one case, timed and checked."""

    session: onnxruntime.InferenceSession
    classes: int
    seconds: float = field(default=0.0, init=False)

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        begin = time.perf_counter()
        name = self.session.get_inputs()[0].name
        logits: NDArray[np.float32]
        try:
            (logits,) = self.session.run(None, {name: windows})
        except _SESSION_ERRORS as error:
            raise Defect("network-failed", "The network's forward pass failed.") from error
        self.seconds += time.perf_counter() - begin
        expected = (len(windows), self.classes, *windows.shape[2:])
        if logits.shape != expected:
            raise Defect(
                "network-shape", f"The network returned {logits.shape} in place of {expected}."
            )
        if not np.isfinite(logits).all():
            raise Defect("network-not-finite", "The network returned values that are no numbers.")
        return logits


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


def _in_quantity(volume: Volume, quantity: str | None) -> NDArray[np.generic]:
    """Return the voxels in what the network was trained on; `admit` has seen that it is known."""
    factor = volume.acquisition.suv_bw_factor
    if quantity is None or factor is None:
        return volume.voxels
    converted: NDArray[np.float32] = volume.voxels.astype(np.float32) * np.float32(factor)
    return converted


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities over the first axis, in place of the logits."""
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits


def _finding(
    geometry: Geometry,
    segment: SegmentDefinition,
    *,
    labels: NDArray[np.uint8],
    probability: NDArray[np.float32],
) -> SegmentFinding:
    inside = probability[labels == segment.number]
    return SegmentFinding(
        definition=segment,
        voxel_count=inside.size,
        volume_mm3=inside.size * geometry.voxel_volume_mm3,
        mean_probability=float(inside.mean(dtype=np.float64)) if inside.size else 0.0,
    )
