"""Which code ran: what a lineage says of it."""

from __future__ import annotations

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path

from clic_edge import __version__
from clic_edge.inference.lineage import Code
from clic_edge.training.recipe import RECIPE

LIBRARIES = ("torch", "monai", "onnx", "onnxruntime", "numpy", "nibabel")
_HERE = Path(__file__).parent
_GIT_SECONDS = 5


def code_of(package: Path) -> Code:
    """Return the version, the commit where there is one, and the digests of all that decides."""
    sources = sorted(_HERE.glob("*.py"))
    files = {f"training/{path.name}": _sha256(path) for path in sources}
    return Code(
        software=f"clic-edge {__version__}",
        commit=_commit(),
        files=files | {RECIPE: _sha256(package / RECIPE)},
        libraries={name: version(name) for name in LIBRARIES},
    )


def _commit() -> str:
    """Return the commit of the source tree; empty where it is no repository, or git is not there."""
    command = ["git", "-C", str(_HERE), "rev-parse", "HEAD"]
    try:
        told = subprocess.run(  # noqa: S603 - a fixed command on our own folder
            command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
