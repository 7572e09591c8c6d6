"""The numbers of one run as Markdown; what a person wrote between the markers is kept."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from midi_b import Score
    from planted import Planted

NOTES_BEGIN, NOTES_END = "<!-- notes: written by hand, kept -->", "<!-- end of notes -->"
BASE = "pydicom read + write"
FLUSHED = "pydicom read + write, flushed"
"""What a file costs that is on the disk when the next is begun: the bound of `clic-edge deid`."""
OURS = ("clic-edge, basic", "clic-edge, in the pipeline", "clic-edge, research")
PEER_ORTHANC = "Orthanc `/anonymize`"
RETAINED = {"station", "device serial number", "calibration date"}
"""What the research profile keeps on purpose (retain_device_identity)."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one run of one way took."""

    wall: float
    cpu: float
    """Of the process and its children; of Orthanc, too, where it works."""
    peak_kib: int
    """Above what the process held before."""
    written: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way, round by round."""

    way: str
    usages: tuple[Usage, ...]

    def median(self, of: Callable[[Usage], float]) -> float:
        """Return the middle one of a number."""
        return statistics.median(map(of, self.usages))


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that one run measured."""

    command: str
    date: str
    load_before: float
    rounds: int
    made: int
    files: int
    megabytes: float
    measured: tuple[Measured, ...]
    slices: int
    workers: tuple[Measured, ...]
    """Read + write, the same flushed, one worker, two workers."""
    room: float
    """What two processes that share nothing gain on this machine, start included."""
    memory: tuple[tuple[int, Usage, Usage], ...]
    leaks: dict[str, tuple[tuple[str, ...], int]]
    planted: list[Planted]
    references: dict[str, tuple[int, int]]
    midi_b: dict[str, Score]


def write_report(path: Path, run: Run) -> None:
    """Write the report; the notes of the one before stay."""
    old = path.read_text() if path.exists() else ""
    kept = re.search(f"{NOTES_BEGIN}\n(.*?){NOTES_END}", old, re.DOTALL)
    sections = (
        _head(run),
        _speed(run),
        _workers(run),
        _memory(run),
        _scores(run),
        _kinds(run),
        f"## Notes\n\n{NOTES_BEGIN}\n{kept[1] if kept else chr(10)}{NOTES_END}",
    )
    path.write_text("\n\n".join(sections) + "\n")


def _head(run: Run) -> str:
    return f"""\
# De-identification, measured

Written by `{run.command}` on {run.date}; do not edit outside of the notes at the end.

{run.files} files, {run.megabytes:.0f} MB: {run.made} CT slices of 512 x 512 made in code, and real \
ones of many kinds (compressed, odd, broken). Each way ran in a process of its own, from a folder to \
a folder, {run.rounds} rounds, each round in another order; start and imports are not counted.
The machine was shared (load average {run.load_before:.1f} before the run): read the ratios. *x wall* \
and *x CPU* are taken within one round against *{BASE}*: median, and least to most.
Ours flushes every file to the disk (fsync) and reads it back, which no other way does: that is \
waiting, so it shows in wall time and not in CPU time. *In the pipeline* is `deidentify` with its \
residue check, written like the others.

| cores | Python | pydicom |
|---|---|---|
| {os.cpu_count()} | {platform.python_version()} | {version("pydicom")} |"""


def _ratio(run: Run, one: Measured, of: Callable[[Usage], float]) -> str:
    base = run.measured[0].usages
    ratios = sorted(of(mine) / of(its) for mine, its in zip(one.usages, base, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def _speed(run: Run) -> str:
    rows = []
    for one in run.measured:
        wall, cpu = one.median(lambda used: used.wall), one.median(lambda used: used.cpu)
        is_floor = one.way == "byte walk"
        missing = "" if is_floor else str(run.files - one.usages[-1].written)
        rows.append(
            f"| {one.way} | {run.files / wall:.0f} | {_ratio(run, one, lambda used: used.wall)} "
            f"| {run.files / cpu:.0f} | {_ratio(run, one, lambda used: used.cpu)} | {missing} |"
        )
    return (
        "## Speed\n\n| way | files/s, wall | x wall | files/s, CPU | x CPU | not written |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(rows)
    )


def _workers(run: Run) -> str:
    base, flushed, one, two = run.workers
    rows = []
    for way in run.workers:
        wall, cpu = (
            way.median(lambda used: used.wall) / run.slices * 1e3,
            way.median(lambda used: used.cpu) / run.slices * 1e3,
        )
        rows.append(f"| {way.way} | {wall:.2f} | {cpu:.2f} |")
    gains = sorted(a.wall / b.wall for a, b in zip(one.usages, two.usages, strict=True))
    ratios = sorted(a.cpu / b.cpu for a, b in zip(one.usages, base.usages, strict=True))
    waits = sorted(a.wall / b.wall for a, b in zip(one.usages, flushed.usages, strict=True))
    return (
        f"## A CT slice of 512 x 512, and two workers\n\n{run.slices} slices in each round; the "
        "second process's start is counted.\n\n"
        "| way | ms a slice, wall | ms a slice, CPU |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"Two workers are {statistics.median(gains):.2f} x as fast as one "
        f"({gains[0]:.2f} to {gains[-1]:.2f}; the goal is 1.6); in the same minutes two runs of one "
        f"worker beside each other were {run.room:.2f} x as fast as one after the other. One worker takes "
        f"{statistics.median(ratios):.2f} x the CPU time of {BASE}, and "
        f"{statistics.median(waits):.2f} x the wall time of {FLUSHED}, the bound of the disk."
    )


def _memory(run: Run) -> str:
    rows = "\n".join(
        f"| {size / 1e6:.1f} | {folder.peak_kib / 1024 - size / 2**20:.0f} "
        f"| {line.peak_kib / 1024 - size / 2**20:.0f} |"
        for size, folder, line in run.memory
    )
    return (
        "## Memory\n\nPeak above what the process held before, less the object itself.\n\n"
        "| object, MB | `clic-edge deid`, MiB above it | in the pipeline, MiB above it |\n"
        "|---|---|---|\n" + rows
    )


def _scores(run: Run) -> str:
    rows = []
    for way, (leaked, missing) in run.leaks.items():
        by_option = [kind for kind in leaked if way == OURS[2] and kind in RETAINED]
        rest = len(leaked) - len(by_option)
        note = f" (and {len(by_option)} kept by an option)" if by_option else ""
        right, known = run.references[way]
        rows.append(
            f"| {way} | {rest} of {len(run.planted)}{note} | {missing} | {right} of {known} |"
        )
    names = list(run.midi_b)
    lines = [
        f"| {action} | " + " | ".join(_share(run.midi_b[name][action]) for name in names) + " |"
        for action in run.midi_b[names[0]]
    ]
    totals = (
        _share((sum(r for r, _ in s.values()), sum(a for _, a in s.values())))
        for s in run.midi_b.values()
    )
    return (
        "## Privacy and use\n\nPlaces leaked: planted files whose token is in the bytes of the "
        "output, in any encoding. References: of a segmentation, structures and a presentation state "
        "to 40 slices, their series, study and frame, that lead there afterwards.\n\n"
        "| way | places leaked | planted files not written | references that resolve |\n"
        "|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "## Ten actions, after MIDI-B\n\nRight answers over our own answer key "
        "(`tests/midi_b.py`); a file in quarantine has all of them wrong.\n\n"
        f"| action | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n"
        + "\n".join(lines)
        + f"\n| **all** | {' | '.join(totals)} |"
    )


def _share(counted: tuple[int, int]) -> str:
    right, asked_for = counted
    return f"{right}/{asked_for} ({right / asked_for:.1%})"


def _kinds(run: Run) -> str:
    ways = list(run.leaks)
    rows = [
        f"| {one.group} | {one.kind} | "
        + " | ".join("leaked" if one.kind in run.leaks[way][0] else "" for way in ways)
        + " |"
        for one in run.planted
    ]
    groups = Counter(one.group for one in run.planted)
    told = ", ".join(f"{group} {count}" for group, count in groups.items())
    return (
        f"## Kinds of place\n\n{len(run.planted)} kinds: {told}. Empty: gone, or the file was not "
        "written.\n\n"
        f"| group | kind of place | {' | '.join(ways)} |\n|---|---|{'---|' * len(ways)}\n"
        + "\n".join(rows)
    )
