"""What this machine is made of, as far as a model's numbers may depend on it."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from clic_edge import __version__
from clic_edge.domain.constancy import Component

if TYPE_CHECKING:
    from clic_edge.config import Settings

_LIBRARIES = (
    *("onnxruntime", "onnxruntime-gpu", "torch", "monai"),
    *("numpy", "scipy", "pydicom", "highdicom", "imagecodecs"),
)
_CPU = Path("/proc/cpuinfo")
_DRIVER = Path("/proc/driver/nvidia/version")
_GPUS = Path("/proc/driver/nvidia/gpus")


def environment(settings: Settings) -> tuple[Component, ...]:
    """Return the components of this machine by name; what is not there has no entry."""
    found = {
        "clic-edge": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": _first(r"model name\s*: (.+)", _CPU) or platform.machine(),
        "gpu driver": _first(r"Kernel Module[^0-9]*([0-9.]+)", _DRIVER),
        "gpu": ", ".join(
            sorted(_first(r"Model:\s*(.+)", one / "information") for one in _GPUS.glob("*"))
        ),
        "providers": ", ".join(settings.runtimes.providers),
        "language": settings.appliance.language,
    }
    found |= {name: _version(name) for name in _LIBRARIES}
    return tuple(Component(name=name, value=value) for name, value in found.items() if value)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _first(pattern: str, path: Path) -> str:
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found[1].strip() if found else ""
