"""The source tree as the architecture tests read it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "clic_edge"


@dataclass(frozen=True, kw_only=True)
class Module:
    """One module of the package."""

    name: str
    """Dotted, below ``clic_edge``."""
    path: Path

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The source, parsed."""
        return ast.parse(self.text)

    @property
    def package(self) -> str:
        """The first part of the name."""
        return self.name.split(".")[0]

    def __str__(self) -> str:
        return self.name


def _name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = [Module(path=path, name=_name(path)) for path in sorted(SRC.rglob("*.py"))]
PLUGIN = Module(path=ROOT / "orthanc-plugins" / "clic_edge.py", name="orthanc-plugins")
