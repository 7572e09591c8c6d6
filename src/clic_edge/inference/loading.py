"""From a package's folder to its runtime: ``runtime`` in ``model.toml`` names an entry point."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from clic_edge.errors import ConfigError
from clic_edge.inference.declaration import read_declaration
from clic_edge.inference.package import DECLARATION
from clic_edge.inference.site import HERE

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.inference.card import PixelGate
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.pixel_gate import Gated
    from clic_edge.inference.runtime import Runtime
    from clic_edge.inference.site import Site

RUNTIMES = "clic_edge.runtimes"


def load_runtime(folder: Path, site: Site = HERE) -> Runtime:
    """Return the package in `folder`, ready to run by the runtime that it names.

    An entry point is a class whose ``load(folder, site)`` returns a `Runtime`.

    Raises
    ------
    ConfigError
        ``runtime-unknown``: nothing installed has that name. What the runtime raises of the
        package.
    Defect
        What the runtime raises of the package; ``gate-network``.

    """
    declared = read_declaration(folder / DECLARATION)
    name = declared.runtime
    installed = entry_points(group=RUNTIMES)
    if name not in installed.names:
        (nearest,) = get_close_matches(name, installed.names, n=1, cutoff=0)
        raise ConfigError(
            "runtime-unknown", f"{folder} asks for the runtime '{name}'; is it '{nearest}'?"
        )
    runtime: Runtime = installed[name].load().load(folder, site)
    return (
        _gated(runtime, declared.gate, declared=declared, folder=folder)
        if declared.gate
        else runtime
    )


def _gated(runtime: Runtime, gate: PixelGate, *, declared: Declaration, folder: Path) -> Gated:
    from clic_edge.inference.onnx import OnnxNetwork  # noqa: PLC0415 - few packages have a gate
    from clic_edge.inference.pixel_gate import Gate, Gated  # noqa: PLC0415 - as above

    judge = OnnxNetwork(folder / gate.network, ("CPUExecutionProvider",))
    channels = declared.image.channels if declared.image else 1
    orientation = declared.volume.orientation if declared.volume else None
    return Gated(runtime, judge, Gate(gate, channels=channels, orientation=orientation))
