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
        What the runtime raises of the package.

    """
    name = read_declaration(folder / DECLARATION).runtime
    installed = entry_points(group=RUNTIMES)
    if name not in installed.names:
        (nearest,) = get_close_matches(name, installed.names, n=1, cutoff=0)
        raise ConfigError(
            "runtime-unknown", f"{folder} asks for the runtime '{name}'; is it '{nearest}'?"
        )
    runtime: Runtime = installed[name].load().load(folder, site)
    return runtime
