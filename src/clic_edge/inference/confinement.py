"""Programs that may run code of a model, in a process that can do little else.

Such a process has no network, reads the package and the installed programs alone, writes to a
folder of its own, and is bounded in memory and time. It gets none of our environment. Whatever
happens to it is a Defect of the case. `confined.launch` takes the rights away.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import clic_edge
from clic_edge.errors import ConfigError
from clic_edge.inference.confined import launch
from clic_edge.inference.site import MEBIBYTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clic_edge.inference.site import Site

_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/sys"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"),
)
_KEPT = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
"""What is kept of our environment."""
SOURCE = Path(clic_edge.__file__).parents[1]
"""Where our own modules are found."""
_PREFIX = "clic-edge-model-"
_BEGINS_SECONDS = 60.0
"""A folder that is younger may be one that its worker is about to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is run, and what it may touch beside the installed programs."""

    argv: tuple[str, ...]
    reads: tuple[Path, ...] = ()
    environment: Mapping[str, str]
    folder: Path
    """Where it works and may write."""
    dies_with_us: bool = False
    """Ends when the thread that started it ends: for a program that the thread waits for."""


class WorkingFolder(tempfile.TemporaryDirectory[str]):
    """A folder for a process to work in, held as long as its worker lives.

    What a worker that was killed left behind is nobody's any more, and deleted first.
    """

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        super().__init__(prefix=_PREFIX)
        self._held: int | None = os.open(self.name, os.O_RDONLY)
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def cleanup(self) -> None:
        """Delete the folder, and let go of it."""
        super().cleanup()
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another's, held, or gone meanwhile
            if time.time() - left.stat().st_mtime > _BEGINS_SECONDS:
                held = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left)
                finally:
                    os.close(held)


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder for a process to work in, and delete it."""
    with WorkingFolder() as name:
        yield Path(name)


def environment(folder: Path) -> dict[str, str]:
    """Return what a confined process is told: nothing of ours that could be a secret."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.defpath))
    told = {
        "PATH": path,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        # Where the machine does not confine it, Python would write into the package.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return told | {name: os.environ[name] for name in _KEPT if name in os.environ}


def start(
    program: Program, site: Site, *, status: int, passed: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Return the process; a line with what could be taken from it comes at `status`."""
    limits = {
        "memory_bytes": site.memory_mb * MEBIBYTE,
        "required": not site.trusted,
        "status": status,
        "reads": [*_SYSTEM, *_installed(), *(str(path.resolve()) for path in program.reads)],
        "writes": [str(program.folder)],
        "dies_with_parent": program.dies_with_us,
    }
    launcher = (sys.executable, "-I", "-S", launch.__file__, json.dumps(limits))
    return subprocess.Popen(  # noqa: S603 - the program is a file that the digests cover, or ours
        (*launcher, *program.argv),
        cwd=program.folder,
        env=program.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(status, *passed),
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with all of its group, also where it ended before what it started."""
    if process.returncode is None:  # nobody has reaped it: the group is still its own
        with suppress(ProcessLookupError):  # another thread was faster
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def has_ended(process: subprocess.Popen[bytes], *, within: float = 0) -> bool:
    """Return whether it ends within so many seconds; `kill` still finds its group then."""
    if process.returncode is not None:
        return True
    descriptor = os.pidfd_open(process.pid)
    try:
        ending = select.poll()
        ending.register(descriptor, select.POLLIN)
        return bool(ending.poll(within * 1000))
    finally:
        os.close(descriptor)


def require_isolated(process: subprocess.Popen[bytes]) -> None:
    """Return unless the process ended because it could not be isolated. Raises ConfigError."""
    if process.poll() == launch.INCOMPLETE:
        raise ConfigError(
            "isolation-unavailable",
            "Nobody whom the site trusts has signed the package, and this machine can't run what "
            "comes with it without network and files: allow user namespaces and Landlock.",
        )


def _installed() -> list[str]:
    folders = (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path)
    return [str(Path(folder).resolve()) for folder in dict.fromkeys(folders) if folder]
