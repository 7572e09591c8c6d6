"""Runs a model package whose network is in TorchScript or ``torch.export``.

Both kinds of file are programs, and reading one can run what it holds: torch itself warns of it.
So torch is imported, and the file read, in a confined process alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from clic_edge.errors import Defect
from clic_edge.inference.confined.wire import Message
from clic_edge.inference.looking import ImageRuntime
from clic_edge.inference.package import load_package
from clic_edge.inference.predicting import PackageRuntime
from clic_edge.inference.resident import Resident, require_extra
from clic_edge.inference.site import HERE, Site
from clic_edge.inference.windowed import Windowed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.inference.runtime import Runtime

_MOST_LOGITS = 256
"""Times its input that a network may return."""


class _TorchRuntime(PackageRuntime):
    kind: ClassVar[str]

    @classmethod
    def load(cls, folder: Path, site: Site = HERE) -> Runtime:
        """Return a runtime for the package in `folder`.

        Raises
        ------
        ConfigError
            The folder holds no complete, well-formed package; torch is not installed
            (``runtime-extra``); nobody vouches, and the machine does not isolate
            (``isolation-unavailable``).
        Defect
            Its files changed since their digests were written, or hold no network.

        """
        package = load_package(folder)
        require_extra("torch", "monai")
        network = TorchNetwork(cls.kind, package.weights_path, site)
        package.verify()
        if package.declaration.image:
            return ImageRuntime(package, network)
        return cls(package, Windowed(network, package.declaration))


class TorchScriptRuntime(_TorchRuntime):
    """A package whose network was saved by ``torch.jit.save``."""

    kind = "torchscript"


class TorchExportRuntime(_TorchRuntime):
    """A package whose network was saved by ``torch.export.save`` (``.pt2``)."""

    kind = "torch-export"


class TorchNetwork:
    """A network that a confined process holds."""

    def __init__(self, kind: str, path: Path, site: Site) -> None:
        self.process = Resident(
            "torch_network", kind, str(path.resolve()), reads=(path,), site=site
        )
        self.device = self.process.begin()

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, as `Network` says."""
        answer = self.process.ask(
            Message(word="windows", arrays=(windows,)), most_bytes=_MOST_LOGITS * windows.nbytes
        )
        if len(answer.arrays) != 1:
            raise Defect("network-failed", "The model's process answers what is no tensor.")
        (logits,) = answer.arrays
        return np.asarray(logits, np.float32)

    def outputs(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Return the only output, as `Seeing` says; its name says nothing."""
        return {"output": self(images)}
