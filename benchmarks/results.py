"""Writing and proving of result objects beside plain highdicom and dcmqi; the page is RESULT_OBJECTS.md.

`python benchmarks/results.py [--rounds N]`: 300 slices of 512 x 512 with 3 and with 104 organs.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from report import NOTES_BEGIN, NOTES_END
from results_contender import (
    SHAPE,
    WAYS,
    SegWriter,
    Work,
    organs,
    write_inputs,
    written_by_highdicom,
)
from rounds import tell

from clic_edge.results.check_seg import pixels_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
PAGE = HERE / "RESULT_OBJECTS.md"
CLASSES = (3, 104)
RIVALS = {
    "clic-edge": ("highdicom", "dcmqi"),
    "clic-edge, label map": ("highdicom, label map", "dcmqi, label map"),
}
"""Ours, and who does the same."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What one way took, round by round."""

    way: str
    seconds: tuple[float, ...]
    size: int
    peak_mib: float

    @property
    def median(self) -> float:
        """The middle of the rounds, in seconds."""
        return statistics.median(self.seconds)


def main() -> None:
    """Run every way over both masks, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    load = os.getloadavg()[0]
    warnings.simplefilter("ignore")
    sections = []
    with tempfile.TemporaryDirectory(prefix="clic-edge-results-") as name:
        for classes in CLASSES:
            work = Work(analysis=organs(classes), folder=Path(name) / str(classes))
            write_inputs(work)
            same = _same_frames(work)
            sections.append(_section(classes, _measure(classes, work.folder, rounds), same))
    _write(sections, rounds, load)


def _measure(classes: int, folder: Path, rounds: int) -> list[Taken]:
    told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    ways = list(WAYS)
    for turn in range(rounds):
        tell(f"{classes} organs: round {turn + 1} of {rounds}")
        for way in (*ways[turn % len(ways) :], *ways[: turn % len(ways)]):
            told[way].append(_use(way, classes, folder))
    return [
        Taken(
            way=way,
            seconds=tuple(one["seconds"] for one in taken),
            size=int(taken[-1]["bytes"]),
            peak_mib=max(one["peak_mib"] for one in taken),
        )
        for way, taken in told.items()
    ]


def _use(way: str, classes: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-P", HERE / "results_contender.py", way, str(classes), folder]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(told.stdout)
    return answer


def _same_frames(work: Work) -> int:
    """Return how many frames of ours and of highdicom's binary SEG are the same bit by bit.

    Raises SystemExit where one is not.
    """
    tell("comparing every frame with highdicom's")
    (ours,) = SegWriter().write(work.analysis, ())
    buffer = io.BytesIO()
    written_by_highdicom(work.analysis, "BINARY").save_as(buffer)
    both = [pydicom.dcmread(io.BytesIO(one)) for one in (ours.content, buffer.getvalue())]
    mine, plain = (dict(_frames(ds)) for ds in both)
    if mine != plain:
        raise SystemExit("The frames are not those of highdicom.")
    return len(mine)


def _frames(ds: pydicom.Dataset) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield segment and position of each frame, and its bits."""
    frames = zip(ds.PerFrameFunctionalGroupsSequence, pixels_of(ds), strict=True)
    for frame, pixels in frames:
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        place = number, *(round(1000 * float(one)) for one in position)
        yield place, np.packbits(pixels).tobytes()


def _section(classes: int, taken: Sequence[Taken], same: int) -> str:
    by_way = {one.way: one for one in taken}
    rows = [
        f"| {one.way} | {one.median:.2f} | {min(one.seconds):.2f} to {max(one.seconds):.2f} "
        f"| {one.size / 1e6:.1f} | {one.peak_mib:.0f} |"
        for one in taken
    ]
    ratios = [
        f"{by_way[peer].median / by_way[ours].median:.1f} x as fast as {peer}"
        for ours, peers in RIVALS.items()
        for peer in peers
    ]
    return "\n".join(
        [
            f"## {classes} organs",
            "",
            "| way | s, median | s, least to most | MB | peak MiB |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Ours is {', '.join(ratios)}.",
            f"All {same} frames of the binary SEG are highdicom's bit by bit.",
        ]
    )


def _write(sections: Sequence[str], rounds: int, load: float) -> None:
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    kept = re.search(f"{NOTES_BEGIN}\n(.*?){NOTES_END}", old, re.DOTALL)
    slices, rows, columns = SHAPE
    packages = ", ".join(f"{name} {version(name)}" for name in ("highdicom", "dcmqi", "pydicom"))
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    head = f"""\
# Result objects, measured

Written by `python benchmarks/results.py --rounds {rounds}` on {now}; do not edit outside of the notes at the end.

A CT of {slices} slices of {rows} x {columns} made in code, with ellipsoids as organs.
Each way ran in a process of its own, {rounds} rounds, each round in another order; start, imports and the making of the images are not counted.
*Peak* is what the process took above what it held before, or its child's whole memory.
The machine was shared (load average {load:.1f} before the run): read the ratios.

{os.cpu_count()} cores; {packages}.
"""
    notes = f"## Notes\n\n{NOTES_BEGIN}\n{kept[1] if kept else ''}{NOTES_END}\n"
    PAGE.write_text("\n".join([head, *(f"{one}\n" for one in sections), notes]), encoding="utf-8")
    tell(f"written: {PAGE}")


if __name__ == "__main__":
    main()
