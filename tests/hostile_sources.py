"""Files that do to the process that reads them what files of the field have done."""

from __future__ import annotations

import os
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class KillsItsProcess:
    """Ends the worker process that reads it, as a decoder in C may."""

    path: Path | None = None
    origin: str = "deadly"

    def read(self) -> bytes:
        """Do not return."""
        if parent_process() is None:  # never the test's own
            raise ZeroDivisionError
        os._exit(9)


@dataclass(frozen=True)
class KillsWhenItIsCleaned:
    """Says nothing when it is looked into, and ends the process that reads it again."""

    sign: Path
    """Remembers, over all processes, that it was read."""
    path: Path | None = None
    origin: str = "deadly"

    def read(self) -> bytes:
        """Return nothing, once."""
        if self.sign.exists() and parent_process() is not None:
            os._exit(9)
        self.sign.touch()
        return b""


@dataclass(frozen=True)
class RaisesAnything:
    """Raises what nobody expected, with a value in its text."""

    path: Path | None = None
    origin: str = "odd"

    def read(self) -> bytes:
        """Raise."""
        value = "Kanariefugl"
        raise ZeroDivisionError(value)
