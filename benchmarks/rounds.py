"""Contenders measured side by side: every round runs each of them once, in turning order.

The machines are shared, so a number by itself says little. What counts is the ratio of medians
from the same rounds: noise meets all contenders alike.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to do the same thing."""

    name: str
    run: Callable[[], object]
    """What is timed."""
    prepare: Callable[[], object] = lambda: None
    """Runs before each time, untimed."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of one contender, round by round."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Ours first, then peers, then the floor last."""

    title: str
    what: str
    """What was measured, in a paragraph."""
    times: tuple[Times, ...]
    facts: tuple[str, ...] = ()
    """Further numbers of the same run, a sentence each."""

    def ratio(self, other: int) -> float:
        """Return our median over that of contender `other`: below 1 we are faster."""
        return self.times[0].median / self.times[other].median


def interleave(title: str, contenders: Sequence[Contender], rounds: int) -> tuple[Times, ...]:
    """Return the times of each contender after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in contenders]
    for turn in range(-1, rounds):
        tell(f"{title}: {f'round {turn + 1} of {rounds}' if turn >= 0 else 'warming up'}")
        order = range(len(contenders))
        for index in (*order[turn % len(order) :], *order[: turn % len(order)]):
            contenders[index].prepare()
            gc.collect()
            begin = time.perf_counter()
            contenders[index].run()
            if turn >= 0:
                seconds[index].append(time.perf_counter() - begin)
    return tuple(
        Times(name=contender.name, seconds=tuple(taken))
        for contender, taken in zip(contenders, seconds, strict=True)
    )


def tell(text: str) -> None:
    """Say how far the run is."""
    print(f"[bench] {text}", file=sys.stderr, flush=True)
