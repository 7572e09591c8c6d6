"""A network that sees a volume window by window: all that is the same whatever runs it."""

from __future__ import annotations

import threading
import time
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import numpy as np

from clic_edge.errors import Defect
from clic_edge.inference.embedding import embedding_of, pooled
from clic_edge.inference.intensity import Prepared, prepare
from clic_edge.inference.labelling import labelled
from clic_edge.inference.limits import Limits, on_device
from clic_edge.inference.predicting import Answer
from clic_edge.inference.windows import finished_planes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Volume
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.limits import Clock
    from clic_edge.inference.transforms import NetworkGrid


class Network(Protocol):
    """Windows in, logits out: what a runtime brings."""

    @property
    def device(self) -> str:
        """``cuda``, ``cpu``, or the name of the server that runs it."""
        ...

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits (n, classes, x, y, z) of windows (n, 1, x, y, z); one caller at a time.

        Whether the shape is right and the values are finite is looked at by who calls. Raises
        Defect ``network-failed`` where there is no answer.
        """
        ...


@runtime_checkable
class Layered(Network, Protocol):
    """A network that shows more than its logits."""

    def outputs(self, windows: NDArray[np.float32], /) -> Mapping[str, NDArray[np.float32]]:
        """Return every output by name: logits, and the layer that the package names."""
        ...


class Windowed:
    """A network with the grid, the steps and the windows that its package declares.

    One case at a time runs, the others wait.
    """

    def __init__(self, network: Network, declaration: Declaration) -> None:
        self._network = network
        self._declaration = declaration
        self._one_at_a_time = threading.Lock()
        self._limits = Limits()

    def within(self, limits: Limits) -> Self:
        """Return the same network, and the same turn to wait for, within limits."""
        other = copy(self)
        other._limits = limits  # noqa: SLF001 - a copy of itself
        other._network = on_device(self._network, limits.device)  # noqa: SLF001 - a copy of itself
        return other

    @property
    def device(self) -> str:
        """Where the network runs."""
        return self._network.device

    def __call__(
        self,
        voxels: NDArray[np.generic],
        volume: Volume,  # noqa: ARG002 - a network sees voxels alone
        *,
        grid: NetworkGrid,
    ) -> Answer:
        """Return the answer, as `Answering` says.

        Raises
        ------
        Defect
            ``network-failed``, ``network-shape``, ``network-not-finite`` or
            ``prediction-too-slow``.

        """
        declared, clock = self._declaration, self._limits.clock
        image = Prepared(grid.lazily(voxels), declared.input.intensity)
        passes = _Passes(
            network=self._network,
            classes=len(declared.segments) + 1,
            clock=clock,
            layer=declared.embedding.output if declared.embedding else "",
        )
        window = declared.window
        if self._limits.batch:
            window = window.model_copy(update={"batch": self._limits.batch})
        with self._one_at_a_time, clock.running(self._network):
            logits = finished_planes(image, passes, window=window, classes=passes.classes)
            found = labelled(map(softmax, logits), grid, classes=passes.classes)
        return Answer(
            label_map=found.label_map,
            mean_probability=found.mean_probability,
            forward_seconds=passes.seconds,
            embedding=embedding_of(passes.embeddings),
        )


def seen_by_network(
    voxels: NDArray[np.generic], declared: Declaration, *, grid: NetworkGrid
) -> NDArray[np.float32]:
    """Return the image (x, y, z) that windows are cut from; training cuts its patches from it too."""
    return prepare(grid.lazily(voxels), declared.input.intensity)


@dataclass(slots=True, kw_only=True)
class _Passes:
    """The forward passes of one case, timed and checked."""

    network: Network
    classes: int
    clock: Clock
    layer: str
    """Of the embedding; empty for none."""
    seconds: float = field(default=0.0, init=False)
    embeddings: list[NDArray[np.float64]] = field(default_factory=list, init=False)

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        self.clock.check()
        begin = time.perf_counter()
        logits = self._logits(windows)
        self.seconds += time.perf_counter() - begin
        expected = (len(windows), self.classes, *windows.shape[2:])
        if logits.shape != expected:
            raise Defect(
                "network-shape", f"The network returned {logits.shape} in place of {expected}."
            )
        if not np.isfinite(logits).all():
            raise Defect("network-not-finite", "The network returned values that are no numbers.")
        return logits

    def _logits(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        if not (self.layer and isinstance(self.network, Layered)):
            return self.network(windows)
        outputs = {**self.network.outputs(windows)}
        self.embeddings.append(pooled(outputs.pop(self.layer)))
        return next(iter(outputs.values()))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities over the first axis, in place of the logits."""
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits
