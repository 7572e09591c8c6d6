"""The source tree as the architecture tests read it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "clic_edge"


@dataclass(frozen=True, kw_only=True)
class Module:
    """One module of the package."""

    name: str
    """Dotted, below ``clic_edge``."""
    path: Path
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    @property
    def package(self) -> str:
        """The first part of the name."""
        return self.name.split(".")[0]

    def __str__(self) -> str:
        return self.name


def read(path: Path, name: str) -> Module:
    """Return a module of the tree."""
    text = path.read_text(encoding="utf-8")
    return Module(name=name, path=path, text=text, tree=ast.parse(text))


def _name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def over(modules: Sequence[Module]) -> Callable[[Callable[[Module], None]], Callable[[], None]]:
    """Let one test look at every module; where it fails, it names the module."""

    def of_each(rule: Callable[[Module], None]) -> Callable[[], None]:
        def test() -> None:
            for module in modules:
                try:
                    rule(module)
                except AssertionError as error:
                    error.add_note(f"in {module}")
                    raise

        test.__name__ = rule.__name__
        return test

    return of_each


MODULES = [read(path, _name(path)) for path in sorted(SRC.rglob("*.py"))]
PLUGIN = read(ROOT / "orthanc-plugins" / "clic_edge.py", "orthanc-plugins")
