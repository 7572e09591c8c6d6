"""Training needs more than an appliance has: said in one sentence where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from clic_edge.errors import ConfigError

NEEDED = ("torch", "monai", "onnx")


def require_extra() -> None:
    """Return where training can run. Raises ConfigError ``training-extra``."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            "training-extra",
            f"Training needs {', '.join(missing)}, which the extra 'monai' installs: "
            "pip install 'clic-edge[monai]'.",
        )
