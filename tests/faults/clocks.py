"""A wall clock of the appliance's own, which a scenario sets: a library in each of its processes."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("faked_clock.c")


@dataclass(kw_only=True)
class FakedClock:
    """The wall clock of processes that have `environment`; what measures durations goes on."""

    file: Path
    library: Path
    seconds: int = field(default=0, init=False)
    """How far it is ahead of the machine's."""

    def jump(self, seconds: int) -> None:
        """Set it ahead, or back below zero; every process sees that within a second."""
        self.seconds += seconds
        new = self.file.with_suffix(".new")
        new.write_text(f"{self.seconds:+d}\n")
        new.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment."""
        return {"LD_PRELOAD": str(self.library), "CLIC_EDGE_CLOCK": str(self.file)}


def faked_clock(folder: Path) -> FakedClock:
    """Return a clock that is right until it jumps; skip where there is no compiler."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no clock can be set without a C compiler: apt-get install gcc libc6-dev")
    library = folder / "faked_clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
    clock = FakedClock(file=folder / "clock", library=library)
    clock.jump(0)
    return clock
