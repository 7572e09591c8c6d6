"""A coverage-guided fuzz run of the reader or of the stage, with Atheris (optional, see README.md)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import atheris

with atheris.instrument_imports(include=["clic_edge.deid"]):
    from fuzz import targets

TARGETS = {"read": targets.read, "clean": targets.clean}


def main() -> None:
    """Run the target named first; the rest goes to libFuzzer."""
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
