"""How much memory there is, and who has been promised some of it."""

from __future__ import annotations

import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_NO_LIMIT = 1 << 60
_MIB = 1 << 20
_SMI = ("nvidia-smi", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits")
_SMI_SECONDS = 10


class Room:
    """The memory of one device, shared by the cases that run at the same time.

    What was promised counts as gone until the case has ended, though some of it is not used yet:
    two cases never get the same free memory.
    """

    def __init__(self, free: Callable[[], int], total: int) -> None:
        """Take what says how many bytes are free now, and how many there can ever be."""
        self._free = free
        self.total = total
        self._lock = threading.Lock()
        self._promised = 0

    @property
    def free(self) -> int:
        """Bytes that are free and promised to nobody."""
        with self._lock:
            return max(0, self._free() - self._promised)

    @contextmanager
    def promised(self, size: int) -> Iterator[bool]:
        """Hold `size` bytes for the time of the context; say whether they could be had."""
        with self._lock:
            had = size <= self._free() - self._promised
            held = size if had else 0
            self._promised += held
        try:
            yield had
        finally:
            with self._lock:
                self._promised -= held


def room_of(device: str) -> Room | None:
    """Return the room of ``cpu`` or ``cuda``; None where nobody can tell, as of a remote server."""
    if device == "cpu":
        return Room(host_free, host_total())
    if device == "cuda" and (found := _cuda()):
        return Room(cuda_free, found[1])
    return None


def host_free() -> int:
    """Return how many bytes this process could still get: of the machine, and of its cgroup."""
    return min([_meminfo("MemAvailable"), *(limit - used for limit, used in _cgroups())])


def host_total() -> int:
    """Return how many bytes this process could get if it were alone."""
    return min([_meminfo("MemTotal"), *(limit for limit, _ in _cgroups())])


def cuda_free() -> int:
    """Return the bytes that are free on the first CUDA device; 0 where it does not answer."""
    found = _cuda()
    return found[0] if found else 0


def _cuda() -> tuple[int, int] | None:
    try:
        said = subprocess.run(  # noqa: S603 - a fixed command
            _SMI, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True
        )
        free, total = said.stdout.splitlines()[0].split(",")
        return int(free) * _MIB, int(total) * _MIB
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _meminfo(name: str) -> int:
    for line in (_PROC / "meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return _NO_LIMIT


def _cgroups() -> Iterator[tuple[int, int]]:
    """Yield limit and use, in bytes, of this process's control groups, the inner before the outer.

    Pages of files that can be dropped at once do not count as used.
    """
    try:
        groups = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return  # a kernel without control groups
    for group in groups:
        _, controllers, name = group.split(":", 2)
        if controllers == "":
            root, files = _CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = _CGROUPS / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        inner = root / name.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder != root and root not in folder.parents:
                break
            if found := _cgroup(folder, files):
                yield found


def _cgroup(folder: Path, files: tuple[str, str, str]) -> tuple[int, int] | None:
    maximum, current, droppable = files
    try:
        limit = (folder / maximum).read_text().strip()
        used = int((folder / current).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if limit == "max" or int(limit) >= _NO_LIMIT:
        return None
    return int(limit), used - int(stat.get(droppable, 0))
