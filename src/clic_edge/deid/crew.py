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
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from clic_edge.deid.file import Bench, Held, Source, Written
from clic_edge.deid.residue import ResidueCheck
from clic_edge.deid.survey import Place, Unit, places
from clic_edge.deid.whole import clean_together
from clic_edge.errors import ClicEdgeError, Defect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    _Work = Callable[[Bench, Unit], list["_Result"]]

_MOST_DEATHS = 5
"""As many files one after the other that end their process are no accident of the files."""
_Result = TypeVar("_Result")


class Crew:
    """Who cleans: what they are given comes back in order, and only a little is on the way.

    A process that dies costs the one file that killed it. An error that nobody expected ends the
    work: what was handed out before is still brought to its end, and `failure` is that error.
    """

    def __init__(self, bench: Bench, workers: int) -> None:
        self.failure: BaseException | None = None
        self._bench = bench
        self._workers = workers
        self._deaths = 0
        self._executor = self._hire()

    def __enter__(self) -> Self:
        """Return the crew; it ends with the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self._executor.shutdown(cancel_futures=True)

    def places(
        self, units: Iterable[Unit], *, with_digests: bool
    ) -> Iterator[tuple[Source, Place | Held]]:
        """Yield where each source belongs, as `survey.places`; raises as `cleaned`."""
        return self._each(partial(_placed, with_digests=with_digests), units)

    def cleaned(self, units: Iterable[Unit]) -> Iterator[tuple[Source, Written | Held]]:
        """Yield what became of each source.

        Raises
        ------
        Transient
            ``out-unwritable``.
        Defect
            ``workers-die``: no process lives long enough to clean a file.

        """
        return self._each(_cleaned, units)

    def _each(
        self, work: _Work[_Result], units: Iterable[Unit]
    ) -> Iterator[tuple[Source, _Result | Held]]:
        flight: deque[tuple[Unit, Future[list[_Result]]]] = deque()
        for unit in units:
            flight.append((unit, self._submit(work, unit)))
            if len(flight) > 2 * self._workers:
                yield from self._collect(work, *flight.popleft())
            if self.failure:
                break
        while flight:
            yield from self._collect(work, *flight.popleft())

    def _submit(self, work: _Work[_Result], unit: Unit) -> Future[list[_Result]]:
        try:
            return self._executor.submit(work, self._bench, unit)
        except BrokenExecutor:
            self._executor = self._hire()
            return self._executor.submit(work, self._bench, unit)

    def _collect(
        self,
        work: _Work[_Result],
        unit: Unit,
        future: Future[list[_Result]],
        *,
        is_second: bool = False,
    ) -> Iterator[tuple[Source, _Result | Held]]:
        """Yield what came of a unit; where it broke, of its sources one by one.

        A process that dies takes all with it that is on the way, so that each gets a second try.
        """
        error = future.exception()
        if error is None:
            self._deaths = 0
            yield from zip(unit.sources, future.result(), strict=True)
        elif isinstance(error, ClicEdgeError):
            raise error
        elif isinstance(error, BrokenExecutor):
            yield from self._after_death(work, unit, error, is_second=is_second)
        else:
            self.failure = error
            if unit.is_series or len(unit.sources) == 1:
                yield from ((source, _unexpected(error)) for source in unit.sources)
            else:
                yield from self._one_by_one(work, unit)

    def _after_death(
        self, work: _Work[_Result], unit: Unit, error: BrokenExecutor, *, is_second: bool
    ) -> Iterator[tuple[Source, _Result | Held]]:
        is_one = len(unit.sources) == 1
        if not is_second and (unit.is_series or is_one):
            yield from self._collect(work, unit, self._submit(work, unit), is_second=True)
        elif is_one:
            self._count_death(error)
            yield unit.sources[0], _DIED
        else:
            yield from self._one_by_one(work, unit)

    def _one_by_one(
        self, work: _Work[_Result], unit: Unit
    ) -> Iterator[tuple[Source, _Result | Held]]:
        for source in unit.sources:
            alone = Unit((source,), is_series=False)
            yield from self._collect(work, alone, self._submit(work, alone), is_second=True)

    def _count_death(self, error: BaseException) -> None:
        self._deaths += 1
        if self._deaths == _MOST_DEATHS:
            raise Defect(
                "workers-die", "One process after the other dies; try it with --workers 1."
            ) from error

    def _hire(self) -> Executor:
        if self._workers == 1:
            return ThreadPoolExecutor(1)
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=spawn, initializer=_quieten)


def _quieten() -> None:
    """Let no warning of a library out of a worker: it may quote a value."""
    warnings.simplefilter("ignore")


def _placed(bench: Bench, unit: Unit, *, with_digests: bool) -> list[Place]:
    return places(bench, unit.sources, with_digests=with_digests)


def _cleaned(bench: Bench, unit: Unit) -> list[Written | Held]:
    residue = ResidueCheck()
    together = [unit.sources] if unit.is_series else [(source,) for source in unit.sources]
    results = [result for one in together for result in clean_together(bench, one, residue)]
    folders = {
        (bench.out / result.name).parent for result in results if isinstance(result, Written)
    }
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return results


_DIED = Held(digest_in="", code="worker-died", sentence="It ended the process that read it.")


def _unexpected(error: BaseException) -> Held:
    # Its text may quote a value, so only its type is told.
    sentence = f"{type(error).__name__}; report this with the file."
    return Held(digest_in="", code="unexpected-error", sentence=sentence)
