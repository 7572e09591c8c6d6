"""Small disks that are filled, one for each place that the appliance writes to, or that fail."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = bytes(1 << 16)
_REPAIRED = 1
"""What e2fsck exits with when all errors are mended."""


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


@dataclass(frozen=True)
class FailingDisk:
    """A file system of its own, which can fail and be repaired."""

    folder: Path
    image: Path

    def fail(self) -> None:
        """Let it be read-only at once, open files and all, as ext4 is after an error of its device."""
        _mount("-o", "remount,abort", self.folder)

    def repair(self) -> None:
        """Check it and mount it again; nothing may have a file of it open any more."""
        wait_for(lambda: not _run("umount", self.folder).returncode, "nobody uses the disk")
        checked = _run("e2fsck", "-f", "-y", self.image)
        assert checked.returncode <= _REPAIRED, checked.stdout
        _mount("-o", "loop", self.image, self.folder)


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


@contextmanager
def failing_disk(folder: Path, *, megabytes: int = 512) -> Iterator[FailingDisk]:
    """Mount a small file system at a folder, which is made; unmount it at the end."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    folder.mkdir(parents=True)
    image = folder.with_suffix(".ext4")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    _mount("-o", "loop", image, folder)
    try:
        yield FailingDisk(folder, image)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, words)), check=False, capture_output=True, text=True)


def _mount(*words: object) -> None:
    done = _run("mount", *words)
    if done.returncode:
        pytest.skip(f"this machine mounts nothing: {done.stderr.strip()}")
