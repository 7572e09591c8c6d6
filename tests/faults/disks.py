"""Small disks that are filled: a tmpfs for each place that the appliance writes to."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = bytes(1 << 16)


@dataclass(frozen=True)
class SmallDisk:
    """A disk of its own; what fills it lies beside what is written to it."""

    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave not a byte free, until the scenario has seen what that does."""
        filling = self.folder / ".filling"
        with filling.open("wb", buffering=0) as file:
            for block in (_BLOCK, _BLOCK[:4096], _BLOCK[:1]):
                _fill(file.fileno(), block)
        try:
            yield
        finally:
            filling.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let nothing be written, as a kernel does with a disk that fails.

        A disk with files that are open for writing would refuse an honest remount, so it is asked
        of the super block (`mount -o remount,ro` of a bind mount would leave open files alone).
        """
        _mount("-o", "remount,ro", self.folder)
        try:
            yield
        finally:
            _mount("-o", "remount,rw", self.folder)


def _fill(descriptor: int, block: bytes) -> None:
    try:
        while os.write(descriptor, block) == len(block):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 16) -> Iterator[SmallDisk]:
    """Mount a small disk at a folder, which is made; unmount it at the end."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*words: object) -> None:
    done = subprocess.run(["mount", *map(str, words)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine mounts nothing: {done.stderr.strip()}")
