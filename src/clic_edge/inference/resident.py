"""One of our own programs in `confined`, kept running and asked again and again."""

from __future__ import annotations

import socket
import sys
import threading
import weakref
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.confined import wire
from clic_edge.inference.confinement import (
    SOURCE,
    Program,
    WorkingFolder,
    environment,
    has_ended,
    kill,
    require_isolated,
    start,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from clic_edge.inference.site import Site

_LONGEST_STATUS = 64
"""Bytes of what `launch` says."""


def require_extra(library: str, extra: str) -> None:
    """Return where a library is installed. Raises ConfigError ``runtime-extra``."""
    if find_spec(library) is None:
        raise ConfigError(
            "runtime-extra",
            f"This package is run by {library}, which is not installed: "
            f"pip install 'clic-edge[{extra}]'.",
        )


class Resident:
    """A program that is started once and answers many requests, one at a time.

    Where it dies, the case that it died of is a Defect, and the next one starts it again.
    """

    def __init__(self, module: str, *arguments: str, reads: tuple[Path, ...], site: Site) -> None:
        self._module = module
        self._arguments = arguments
        self._reads = reads
        self._site = site
        self._lock = threading.Lock()
        self._life: _Life | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now; it is started where none does."""
        with self._lock:
            return self._living().pid

    def begin(self) -> str:
        """Start it now, and return the device that it runs on; raises as `ask`."""
        with self._lock:
            return self._living().device

    def ask(self, request: wire.Message, *, most_bytes: int) -> wire.Message:
        """Return the answer, with at most so many bytes of arrays.

        Raises
        ------
        ConfigError
            ``isolation-unavailable``, where it is started.
        Defect
            ``network-unreadable``, ``network-failed``, ``runtime-memory``, ``runtime-timeout`` or
            ``runtime-died``.

        """
        with self._lock:
            return self._living().ask(request, most_bytes=most_bytes)

    def _living(self) -> _Life:
        if self._life is None or self._life.is_over():
            self._life = _Life(self._module, *self._arguments, reads=self._reads, site=self._site)
        return self._life


class _Life:
    """A process from its start to its end."""

    def __init__(self, module: str, *arguments: str, reads: tuple[Path, ...], site: Site) -> None:
        self._seconds = site.seconds
        self._folder = WorkingFolder()
        folder = Path(self._folder.name)
        # Sockets, as only these can be shut for a program of the model's own that outlives it.
        asked, asking = socket.socketpair()
        answered, answering = socket.socketpair()
        self._links = asking, answered
        ends = asked.fileno(), answering.fileno()
        name = f"clic_edge.inference.confined.{module}"
        program = Program(
            argv=(sys.executable, "-P", "-m", name, *map(str, ends), *arguments),
            reads=(*reads, SOURCE),
            environment=environment(folder) | {"PYTHONPATH": str(SOURCE)},
            folder=folder,
        )
        with asked, answering:
            self._process = start(program, site, status=ends[1], passed=ends[:1])
        self._requests = asking.makefile("wb")
        self._replies = answered.makefile("rb")
        pipes = (self._requests, self._replies, *self._links)
        weakref.finalize(self, _end, self._process, self._folder, pipes=pipes)
        self.device = self._timed(self._begin).detail

    def _begin(self) -> wire.Message:
        self._replies.readline(_LONGEST_STATUS)
        return wire.receive(self._replies, most_bytes=0)

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    def is_over(self) -> bool:
        """Whether the process has ended."""
        return has_ended(self._process)

    def ask(self, request: wire.Message, *, most_bytes: int) -> wire.Message:
        """Return the answer; raises Defect where there is none."""

        def talk() -> wire.Message:
            wire.send(self._requests, request)
            return wire.receive(self._replies, most_bytes=most_bytes)

        return self._timed(talk)

    def _timed(self, talk: Callable[[], wire.Message]) -> wire.Message:
        late = threading.Event()
        timer = threading.Timer(self._seconds, _give_up, (self._process, self._links, late))
        timer.start()
        try:
            answer = talk()
        except (OSError, wire.WireError) as error:
            kill(self._process)
            require_isolated(self._process)
            raise self._why(late=late.is_set()) from error
        finally:
            timer.cancel()
        failure = _failure(answer)
        if failure:
            kill(self._process)
            raise failure
        return answer

    def _why(self, *, late: bool) -> Defect:
        if late:
            return Defect(
                "runtime-timeout",
                f"The process of the model took more than {self._seconds:g} seconds; it was ended.",
            )
        return Defect(
            "runtime-died",
            f"The process of the model ended, with status {self._process.returncode}, "
            "or said what it should not.",
        )


def _failure(answer: wire.Message) -> Defect | None:
    """Return what is raised where a process says that it can't, and why."""
    if answer.word == "memory":
        return Defect("runtime-memory", "The model needs more memory than the site grants it.")
    if answer.word == "unreadable":
        return Defect("network-unreadable", f"The model does not load: {answer.detail}.")
    if answer.word == "failed":
        return Defect("network-failed", f"The model failed: {answer.detail}.")
    return None


def _give_up(
    process: subprocess.Popen[bytes], links: tuple[socket.socket, ...], late: threading.Event
) -> None:
    late.set()
    kill(process)
    for link in links:
        with suppress(OSError):  # the other end is gone already
            link.shutdown(socket.SHUT_RDWR)


def _end(
    process: subprocess.Popen[bytes],
    folder: WorkingFolder,
    *,
    pipes: tuple[BinaryIO | socket.socket, ...],
) -> None:
    kill(process)
    for pipe in pipes:
        with suppress(OSError):  # what was still to be sent to a process that is gone
            pipe.close()
    folder.cleanup()
