"""Measure de-identification beside floors and peers, and write DEID.md.

`python benchmarks/deid.py` takes about ten minutes on two cores, `--quick` about one. The peers are
installed into a virtual environment of their own under build/.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deid_files import LARGE_SIZES, slices, write_files, write_many, write_planted, write_referring
from deid_peers import orthanc_anonymizer, peers_python
from deid_report import BASE, FLUSHED, OURS, PEER_ORTHANC, Measured, Run, Usage, write_report
from deid_scores import midi_b, references
from rounds import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deid_peers import OrthancAnonymizer

HERE = Path(__file__).resolve().parent
FLOORS = (BASE, FLUSHED, "pydicom, every element touched", "byte walk")
ONE, TWO = "clic-edge, basic", "clic-edge, basic, two workers"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where everything lies, and who can run."""

    folder: Path
    peers: dict[str, Path]
    orthanc: OrthancAnonymizer

    def use(self, way: str, files: Path, out: str) -> Usage:
        """Run one way over a folder in a process of its own."""
        if way == PEER_ORTHANC:
            return self.orthanc.anonymize(files, self.folder / out / "all")
        python = self.peers.get(way, Path(sys.executable))
        command = [python, "-P", HERE / "deid_contender.py", way, files, self.folder / out]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.returncode:
            raise SystemExit(f"{way} ended early:\n{told.stderr[-2000:]}")
        return Usage(**json.loads(told.stdout.splitlines()[-1]))


def main() -> None:
    """Measure and write."""
    options = _options()
    warnings.simplefilter("ignore")
    rounds = options.rounds or (1 if options.quick else 5)
    made, found, many = (20, 60, 100) if options.quick else (200, 300, 4000)
    load, date = os.getloadavg()[0], f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    with tempfile.TemporaryDirectory(prefix="clic-edge-deid-") as name:
        folder = Path(name)
        write_files(folder / "in", made, found)
        write_many(folder / "many", many)
        with orthanc_anonymizer(folder) as orthanc:
            bench = Bench(folder=folder, peers=peers_python(), orthanc=orthanc)
            ways = (*FLOORS, *OURS, *bench.peers, PEER_ORTHANC)
            run = Run(
                command=" ".join(["python benchmarks/deid.py", *sys.argv[1:]]),
                date=date,
                load_before=load,
                rounds=rounds,
                made=made,
                files=len(list((folder / "in").iterdir())),
                megabytes=sum(p.stat().st_size for p in (folder / "in").iterdir()) / 1e6,
                measured=_measure(bench, ways, "in", rounds),
                slices=many,
                workers=_measure(bench, (BASE, FLUSHED, ONE, TWO), "many", min(rounds, 3)),
                room=_room(bench),
                memory=_memory(bench),
                leaks=_leaks(bench, ways[len(FLOORS) :]),
                planted=write_planted(folder / "planted-again"),
                references=_references(bench, ways[len(FLOORS) :]),
                midi_b=midi_b(),
            )
    out = options.out or (HERE.parent / "build" / "deid.md" if options.quick else HERE / "DEID.md")
    out.parent.mkdir(exist_ok=True)
    write_report(out, run)
    tell(f"written: {out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short: does it run?")
    parser.add_argument("--rounds", type=int, help="rounds that count (default 5, quick 1)")
    parser.add_argument("--out", type=Path, help="default DEID.md; quick: build/deid.md")
    return parser.parse_args()


def _measure(bench: Bench, ways: Sequence[str], files: str, rounds: int) -> tuple[Measured, ...]:
    """Run every way over a folder, in turning order; the last outputs stay in ``FILES-last``."""
    usages: dict[str, list[Usage]] = {way: [] for way in ways}
    for turn in range(rounds):
        tell(f"{files}: round {turn + 1} of {rounds}")
        out = f"{files}-{'last' if turn == rounds - 1 else turn}"
        for way in (*ways[turn % len(ways) :], *ways[: turn % len(ways)]):
            usages[way].append(bench.use(way, bench.folder / files, f"{out}/{way}"))
    return tuple(Measured(way=way, usages=tuple(used)) for way, used in usages.items())


def _room(bench: Bench) -> float:
    """Return how much faster two processes that share nothing are than one: what there is to gain."""
    times = []
    for crowd in (1, 2):
        begin = time.perf_counter()
        with ThreadPoolExecutor(crowd) as threads:
            outs = (f"room-{crowd}-{number}" for number in range(crowd))
            list(threads.map(lambda out: bench.use(ONE, bench.folder / "many", out), outs))
        times.append(time.perf_counter() - begin)
    return 2 * times[0] / times[1]


def _memory(bench: Bench) -> tuple[tuple[int, Usage, Usage], ...]:
    """Return bytes of one large object, and what `deid` and the pipeline need for it."""
    measured = []
    for size in LARGE_SIZES:
        files = bench.folder / f"large-{size}"
        files.mkdir()
        (content,) = slices(1, size)
        (files / "0000.dcm").write_bytes(content)
        used = [bench.use(way, files, f"out-{size}/{way}") for way in OURS[:2]]
        measured.append((len(content), used[0], used[1]))
    return tuple(measured)


def _leaks(bench: Bench, ways: Sequence[str]) -> dict[str, tuple[tuple[str, ...], int]]:
    """Return by way which kinds of place are left in its outputs, and how many it did not write."""
    hidden = write_planted(bench.folder / "planted")
    told: dict[str, tuple[tuple[str, ...], int]] = {}
    for way in ways:
        bench.use(way, bench.folder / "planted", f"planted-out/{way}")
        leaked, missing = [], 0
        for number, one in enumerate(hidden):
            path = bench.folder / "planted-out" / way / "all" / f"{number:04}.dcm"
            if not path.exists():
                missing += 1
            elif one.leaks(path.read_bytes()):
                leaked.append(one.kind)
        told[way] = (tuple(leaked), missing)
    return told


def _references(bench: Bench, ways: Sequence[str]) -> dict[str, tuple[int, int]]:
    files = bench.folder / "referring"
    write_referring(files, 40)
    for way in ways:
        bench.use(way, files, f"referring-out/{way}")
    return references(files, bench.folder / "referring-out", ways)


if __name__ == "__main__":
    main()
