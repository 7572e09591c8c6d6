"""Small disks that are filled: a tmpfs for each place that the appliance writes to."""

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


@dataclass(frozen=True)
class FailingDisk:
    """A disk whose file system the kernel gives up, as it does when writing to it fails."""

    folder: Path
    device: str

    def fail(self) -> None:
        """Let nothing be written from now on, not even to files that are open for that."""
        _mount("-o", "remount,abort", self.folder)

    def repair(self) -> None:
        """Do what a person does, with nothing running on it: check it, and mount it again."""
        umount = ["umount", str(self.folder)]
        # Who was killed may still be on its way out.
        wait_for(lambda: not subprocess.run(umount, check=False).returncode, "nothing is on it")
        checked = subprocess.run(["e2fsck", "-fy", self.device], check=False)
        assert checked.returncode in {0, 1}, "it is repaired"  # e2fsck(8): 1 is errors corrected
        _mount(self.device, self.folder)


@contextmanager
def failing_disk(folder: Path, *, megabytes: int = 128) -> Iterator[FailingDisk]:
    """Mount a disk with a file system that can fail at a folder, which is made."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    attach = ["losetup", "--find", "--show", str(image)]
    attached = subprocess.run(attach, check=False, capture_output=True, text=True)
    if attached.returncode:
        pytest.skip(f"this machine has no loop device: {attached.stderr.strip()}")
    device = attached.stdout.strip()
    try:
        _mount(device, folder)
        yield FailingDisk(folder, device)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
        subprocess.run(["losetup", "--detach", device], check=True)


def _mount(*words: object) -> None:
    done = subprocess.run(["mount", *map(str, words)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine mounts nothing: {done.stderr.strip()}")
