"""Burned-in text: what the detector finds on a generated sweep, and what it marks besides.

``python benchmarks/burned_in.py [FRAMES] [SEED]`` with ``tests`` on the path; prints the tables of
``benchmarks/BURNED_IN.md``. Set CLIC_EDGE_TEST_DATA for anatomical backgrounds.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from textsweep import Frame, anatomy, sweep  # noqa: E402 - found through the line above

from clic_edge.deid.textareas import text_areas  # noqa: E402 - as above

BESIDE = 8
"""Pixels around a line that are not counted as marked falsely."""
MOST, HALF = 0.95, 0.5


@dataclass
class Count:
    """Pixels of text and found; pixels of frames and marked falsely."""

    text: int = 0
    found: int = 0
    frame: int = 0
    false: int = 0
    beside: int = 0


@dataclass
class Tally:
    """Counts by category, and CPU seconds by frame."""

    counts: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    whole_lines: list[float] = field(default_factory=list)


def measure(frame: Frame, tally: Tally) -> None:
    """Add what is found on one frame."""
    kind = "gray" if frame.pixels.ndim == 2 else "colour"  # noqa: PLR2004 - rows and columns
    start = time.process_time()
    marked = text_areas(frame.pixels)
    tally.seconds[kind].append(time.process_time() - start)
    for line in frame.lines:
        found, size = int((marked & line.box).sum()), int(line.box.sum())
        tally.whole_lines.append(found / size)
        family = line.font.split("-")[0]
        names = (f"size {line.size:02}", f"angle {line.angle}", f"style {line.style}")
        for name in ("all", *names, f"font {family}", f"on {frame.background}", kind):
            tally.counts[name].text += size
            tally.counts[name].found += found
    text = frame.text
    near = ndimage.binary_dilation(text, iterations=BESIDE)
    for name in ("all", f"on {frame.background}", kind):
        tally.counts[name].frame += marked.size
        tally.counts[name].false += int((marked & ~near).sum())
        tally.counts[name].beside += int((marked & ~text).sum())


def main(frames: str = "400", seed: str = "2026") -> None:
    """Measure a sweep and print it."""
    folder = Path(os.environ.get("CLIC_EDGE_TEST_DATA", ROOT.parent / "shared" / "data"))
    real = anatomy(folder, held_out=True) if folder.is_dir() else ()
    tally = Tally()
    for frame in sweep(int(seed), int(frames), real):
        measure(frame, tally)
    print("| category | area recall | false area | with margins |\n|---|---|---|---|")
    for name, count in sorted(tally.counts.items()):
        recall = f"{count.found / count.text:.4f}" if count.text else ""
        false = f"{count.false / count.frame:.2%}" if count.frame else ""
        beside = f"{count.beside / count.frame:.2%}" if count.frame else ""
        print(f"| {name} | {recall} | {false} | {beside} |")
    shares = np.array(tally.whole_lines)
    print(f"\n{len(shares)} lines; covered by 95 % or more: {(shares >= MOST).mean():.2%}")
    print(f"covered by less than half: {(shares < HALF).mean():.2%}")
    for kind, seconds in sorted(tally.seconds.items()):
        print(f"{kind}: {np.median(seconds) * 1e3:.0f} ms CPU (median of {len(seconds)} frames)")


if __name__ == "__main__":
    main(*sys.argv[1:3])
