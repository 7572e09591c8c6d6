"""Measure the appliance side by side with peers and floors, and write RESULTS.md.

`python benchmarks/run.py` takes about ten minutes on two cores, `--quick` less than one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from compute import compare_deid, compare_seg, compare_window, measure_network
from orthancs import running_orthanc
from package import OVERLAP
from phantom import Phantom
from report import Run, write_report
from rounds import tell
from transfer import compare_read, compare_store
from whole_line import measure_line

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "models" / "hippocampus"
OVERLAPS = (0.25, 0.5)


def main() -> None:
    """Measure and write."""
    options = _options()
    warnings.simplefilter("ignore")  # the peers' warnings are theirs
    rounds = options.rounds or (2 if options.quick else 5)
    phantom = Phantom(slices=40, size=256) if options.quick else Phantom()
    patch = 32 if options.quick else 96
    with tempfile.TemporaryDirectory(prefix="clic-edge-bench-") as folder:
        run = _measure(Path(folder), phantom, patch=patch, rounds=rounds)
    out = options.out or (
        HERE.parent / "build" / "bench.md" if options.quick else HERE / "RESULTS.md"
    )
    out.parent.mkdir(exist_ok=True)
    write_report(out, run)
    tell(f"written: {out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short: does it run?")
    parser.add_argument("--rounds", type=int, help="rounds that count (default 5, quick 2)")
    parser.add_argument("--out", type=Path, help="default RESULTS.md; quick: build/bench.md")
    return parser.parse_args()


def _measure(folder: Path, phantom: Phantom, *, patch: int, rounds: int) -> Run:
    load, date = os.getloadavg()[0], f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    tell("making the phantom")
    files: Sequence[Path] = phantom.write(folder / "phantom")
    contents = tuple(path.read_bytes() for path in files)
    with running_orthanc(folder, "APPLIANCE") as orthanc:
        store = compare_store(orthanc, phantom, files, rounds)
        read = compare_read(orthanc, phantom, files, rounds)
    shape = (phantom.slices, phantom.size // 2, phantom.size // 2)
    return Run(
        command=f"python benchmarks/run.py --rounds {rounds}"
        + (" --quick" * (phantom != Phantom())),
        date=date,
        rounds=rounds,
        load_before=load,
        phantom=phantom,
        patch=patch,
        overlap=OVERLAP,
        store=store,
        read=read,
        deid=compare_deid(phantom, contents, rounds),
        windows=tuple(compare_window(shape, patch, overlap, rounds) for overlap in OVERLAPS),
        network=measure_network(MODEL, rounds),
        seg=compare_seg(phantom, contents, rounds),
        line=measure_line(folder / "site", phantom, patch=patch, rounds=rounds),
    )


if __name__ == "__main__":
    main()
