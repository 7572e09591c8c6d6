"""Who cleans: this process alone, or several beside it. A file that ends its process costs only itself."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections import deque
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from itertools import islice
from typing import TYPE_CHECKING

from clic_edge.deid.file import Bench, Held, Source, Written
from clic_edge.deid.residue import ResidueCheck
from clic_edge.errors import ClicEdgeError, Defect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CHUNK = 16
_MOST_DEATHS = 5
"""As many files one after the other that end their process are no accident of the files."""
Result = tuple[Source, Written | Held]


def results(sources: Iterable[Source], bench: Bench, *, workers: int) -> Iterator[Result]:
    """Yield what became of each source, in order; at most a few chunks are on the way.

    Raises
    ------
    Transient
        ``out-unwritable``.
    Defect
        ``workers-die``: no process lives long enough to clean a file.

    """
    crew = _Crew(bench, workers)
    flight: deque[tuple[Sequence[Source], Future[list[Written | Held]]]] = deque()
    try:
        remaining = iter(sources)
        while chunk := tuple(islice(remaining, _CHUNK)):
            flight.append((chunk, crew.submit(chunk)))
            if len(flight) > 2 * workers:
                yield from crew.collect(*flight.popleft())
        while flight:
            yield from crew.collect(*flight.popleft())
    finally:
        crew.leave()


class _Crew:
    """Who cleans: this process alone, or several. One that dies costs the one file that killed it."""

    def __init__(self, bench: Bench, workers: int) -> None:
        self._bench = bench
        self._workers = workers
        self._deaths = 0
        self._executor = self._hire()

    def submit(self, chunk: Sequence[Source]) -> Future[list[Written | Held]]:
        """Have some sources cleaned."""
        try:
            return self._executor.submit(_clean_chunk, self._bench, chunk)
        except BrokenExecutor:
            self._executor = self._hire()
            return self._executor.submit(_clean_chunk, self._bench, chunk)

    def collect(
        self, chunk: Sequence[Source], future: Future[list[Written | Held]]
    ) -> Iterator[Result]:
        """Yield what became of a chunk; where it broke, of its sources one by one."""
        error = future.exception()
        if error is None:
            self._deaths = 0
            yield from zip(chunk, future.result(), strict=True)
        elif isinstance(error, ClicEdgeError):
            raise error
        elif len(chunk) == 1:
            self._count_death(error)
            yield chunk[0], _broken(error)
        else:
            for source in chunk:
                yield from self.collect((source,), self.submit((source,)))

    def _count_death(self, error: BaseException) -> None:
        self._deaths += isinstance(error, BrokenExecutor)
        if self._deaths == _MOST_DEATHS:
            raise Defect(
                "workers-die", "One process after the other dies; try it with --workers 1."
            ) from error

    def leave(self) -> None:
        """End the processes."""
        self._executor.shutdown(cancel_futures=True)

    def _hire(self) -> Executor:
        if self._workers == 1:
            return ThreadPoolExecutor(1)
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=spawn, initializer=_quieten)


def _quieten() -> None:
    """Let no warning of a library out of a worker: it may quote a value."""
    warnings.simplefilter("ignore")


def _clean_chunk(bench: Bench, sources: Sequence[Source]) -> list[Written | Held]:
    residue = ResidueCheck()
    results = [bench.clean(source, residue) for source in sources]
    folders = {
        (bench.out / result.name).parent for result in results if isinstance(result, Written)
    }
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return results


def _broken(error: BaseException) -> Held:
    if isinstance(error, BrokenExecutor):
        return Held(digest_in="", code="worker-died", sentence="It ended the process that read it.")
    # Its text may quote a value, so only its type is told.
    sentence = f"{type(error).__name__}; report this with the file."
    return Held(digest_in="", code="unexpected-error", sentence=sentence)
