"""Looks at processes and queue while a load runs, and judges whether memory is flat."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clic_edge.ledger import Ledger

BLOCKS = 8
"""Neighbouring samples are alike, so that slopes are judged on means of so many stretches."""
SETTLED = 1 / 3
"""Of a run are left out: caches and heaps fill at first."""
SHORTEST = 600.0
"""Seconds of a run of which anything can be said."""
MATTERS_MIB_PER_HOUR = 64.0
"""A slope that is certainly less is flat for a process that is restarted with each update."""


@dataclass(frozen=True, kw_only=True)
class Slope:
    """How memory moves, in MiB per hour, with the half width of its 95 % interval."""

    per_hour: float
    within: float
    seconds: float
    """Of the run."""
    least: float
    most: float
    """MiB that were seen, start included."""

    @property
    def verdict(self) -> str:
        """What can be said of it."""
        if self.seconds < SHORTEST or not math.isfinite(self.within):
            return "too short to tell"
        if self.per_hour - self.within > 0:
            return "**grows**"
        if self.per_hour + self.within < MATTERS_MIB_PER_HOUR:
            return "flat"
        return "no growth shown, too short to exclude it"


def slope(times: list[float], values: list[float]) -> Slope:
    """Return the slope of MiB over seconds, the first third left out."""
    begin = int(len(values) * SETTLED)
    parts = [
        (np.mean(x), np.mean(y))
        for x, y in zip(
            np.array_split(np.array(times[begin:]) / 3600, BLOCKS),
            np.array_split(np.array(values[begin:]), BLOCKS),
            strict=True,
        )
        if len(x)
    ]
    least, most = min(values, default=0.0), max(values, default=0.0)
    if len(parts) < BLOCKS:
        return Slope(per_hour=0.0, within=math.inf, seconds=0.0, least=least, most=most)
    fit = stats.linregress(*zip(*parts, strict=True))
    within = float(stats.t.ppf(0.975, BLOCKS - 2) * fit.stderr)
    return Slope(
        per_hour=float(fit.slope),
        within=within,
        seconds=times[-1] - times[0],
        least=least,
        most=most,
    )


@dataclass(kw_only=True)
class Seen:
    """Samples, one for each second or so."""

    times: list[float] = field(default_factory=list)
    pss: dict[str, list[float]] = field(default_factory=dict)
    """MiB by process, with its children."""
    rss: dict[str, list[float]] = field(default_factory=dict)
    oldest: list[float] = field(default_factory=list)
    """Seconds since the oldest open case was received."""
    waiting: list[int] = field(default_factory=list)
    """Open cases."""


@contextmanager
def watching(processes: Mapping[str, int], ledger: Ledger, every: float = 1.0) -> Iterator[Seen]:
    """Sample processes by their ids, and the queue, while something runs within."""
    seen, stop = Seen(), threading.Event()
    seen.pss, seen.rss = ({name: [] for name in processes} for _ in range(2))

    def look() -> None:
        while not stop.wait(every):
            seen.times.append(time.time())
            for name, pid in processes.items():
                pss, rss = _memory(pid)
                seen.pss[name].append(pss)
                seen.rss[name].append(rss)
            groups = ledger.overview.open()
            oldest = min((one.oldest.timestamp() for one in groups), default=time.time())
            seen.oldest.append(max(0.0, time.time() - oldest))
            seen.waiting.append(sum(one.count for one in groups))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _memory(pid: int) -> tuple[float, float]:
    """Return PSS and RSS in MiB of a process and its children (proc(5), smaps_rollup)."""
    pss = rss = 0.0
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        children = [child for one in tasks for child in one.read_text().split()]
    except OSError:
        return 0.0, 0.0
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in {"Pss", "Rss"}:
            value = int(rest.split()[0]) / 1024
            pss, rss = (pss + value, rss) if name == "Pss" else (pss, rss + value)
    for child in children:
        more = _memory(int(child))
        pss, rss = pss + more[0], rss + more[1]
    return pss, rss
