"""The sliding window of one network: ours with ONNX Runtime beside MONAI with torch.

`python benchmarks/inference.py [--rounds N N]` writes INFERENCE.md: rounds at either overlap.
"""

from __future__ import annotations

import argparse
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
import torch
from inference_contender import CLASSES, HIGH, LOW, PATCH, SHAPE, WAYS, build_network
from report import NOTES_BEGIN, NOTES_END
from rounds import tell

from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
PAGE = HERE / "INFERENCE.md"
OVERLAPS = (0.25, 0.5)
OURS, THEIRS = "clic-edge", "MONAI"
OPSET = 17

DECLARATION = """\
id = "bench"
version = "1"
title = "A small U-Net"
manufacturer = "clic-edge"
intended_use = "benchmarks"
limits = []
licence = "Apache-2.0"
weights = "model.onnx"

[input]
modality = "CT"
orientation = "RAS"
spacing_mm = [1.0, 1.0, 1.0]
source_spacing_mm = [0.1, 10.0]
smallest_mm = [1, 1, 1]
largest_mm = [900, 900, 900]
largest_tilt_deg = 20

[[input.intensity]]
step = "clip"
low = {low}
high = {high}

[[input.intensity]]
step = "range"
low = {low}
high = {high}

[window]
shape = [{patch}, {patch}, {patch}]
overlap = {overlap}
batch = 1
"""
SEGMENT = """
[[segments]]
number = {number}
name = "organ{number}"
label = "Organ {number}"
category = {{ value = "123037004", scheme = "SCT", meaning = "Anatomical Structure" }}
property_type = {{ value = "10200004", scheme = "SCT", meaning = "Liver" }}
"""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What one way took, round by round."""

    way: str
    rounds: tuple[dict[str, float], ...]

    def median(self, key: str) -> float:
        """Return the middle of the rounds."""
        return statistics.median(one[key] for one in self.rounds)

    def ratio(self, other: Taken, key: str) -> float:
        """Return the middle of the rounds' own ratios: below 1 this one takes less."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return statistics.median(one[key] / two[key] for one, two in pairs)


def main() -> None:
    """Run every way at both overlaps, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, nargs=len(OVERLAPS), default=[5, 3])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    told = parser.parse_args()
    sections, loads = [], []
    with tempfile.TemporaryDirectory(prefix="clic-edge-inference-") as name:
        folder = Path(name)
        _write_inputs(folder)
        for overlap, rounds in zip(OVERLAPS, told.rounds, strict=True):
            taken = _measure(overlap, folder, rounds=rounds, ways=told.ways)
            loads += [one["load"] for way in taken for one in way.rounds]
            sections.append(_section(overlap, taken, _same(overlap, folder)))
    _write(sections, loads)


def _write_inputs(folder: Path) -> None:
    """Write a volume of smooth noise, the network for torch, and a package for each overlap."""
    rng = np.random.default_rng(1)
    coarse = rng.normal(50, 200, [size // 4 for size in SHAPE])
    smooth = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2) + rng.normal(0, 20, SHAPE)
    np.save(folder / "voxels.npy", smooth.astype(np.int16))
    network = build_network().eval()
    torch.save(network.state_dict(), folder / "network.pt")
    segments = "".join(SEGMENT.format(number=number) for number in range(1, CLASSES))
    for overlap in OVERLAPS:
        package = folder / f"package-{overlap:g}"
        package.mkdir()
        told = DECLARATION.format(low=LOW, high=HIGH, patch=PATCH, overlap=overlap)
        (package / "model.toml").write_text(told + segments)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (torch.zeros(1, 1, PATCH, PATCH, PATCH),),
                package / "model.onnx",
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes={"image": {0: "windows"}, "logits": {0: "windows"}},
            )
        write_digests(package)


def _measure(overlap: float, folder: Path, *, rounds: int, ways: Sequence[str]) -> list[Taken]:
    told: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in (*ways[turn % len(ways) :], *ways[: turn % len(ways)]):
            told[way].append(_use(way, overlap, folder))
            tell(f"overlap {overlap:g}, round {turn + 1} of {rounds}, {way}: {told[way][-1]}")
    return [Taken(way=way, rounds=tuple(taken)) for way, taken in told.items()]


def _use(way: str, overlap: float, folder: Path) -> dict[str, float]:
    script = HERE / "inference_contender.py"
    command = [sys.executable, str(script), way, str(overlap), str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    return answer


def _same(overlap: float, folder: Path) -> tuple[int, int]:
    """Return how many voxels have another label than MONAI gave them, of how many."""
    ours, theirs = (np.load(folder / f"{way}-{overlap:g}.npy") for way in (OURS, THEIRS))
    return int((ours != theirs).sum()), ours.size


def _section(overlap: float, taken: Sequence[Taken], same: tuple[int, int]) -> str:
    ours, theirs = (next(one for one in taken if one.way == way) for way in (OURS, THEIRS))
    rows = "\n".join(
        f"| {one.way} | {one.median('seconds'):.1f} | {one.median('cpu'):.1f} "
        f"| {one.median('network'):.1f} | {one.median('start_ms'):.0f} "
        f"| {one.median('peak_mib'):.0f} | {one.median('beyond_mib'):.0f} |"
        for one in taken
    )
    return f"""\
## Overlap {overlap:g}

{len(ours.rounds)} rounds.

| way | s | CPU s | s in the network | ms until the network is asked | peak MiB | beyond what was loaded |
|---|---|---|---|---|---|---|
{rows}

Ours takes **{ours.ratio(theirs, "seconds"):.2f}** of MONAI's time and {ours.ratio(theirs, "cpu"):.2f} of its CPU time (medians of the rounds' own ratios), **{ours.ratio(theirs, "peak_mib"):.2f}** of its peak memory, and {ours.ratio(theirs, "beyond_mib"):.2f} of what it takes beyond the loaded program.
{same[0]} of {same[1]} voxels have another label than MONAI's."""


def _write(sections: Sequence[str], loads: Sequence[float]) -> None:
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    kept = re.search(f"{NOTES_BEGIN}\n(.*?){NOTES_END}", old, re.DOTALL)
    size = " x ".join(str(extent) for extent in SHAPE)
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "monai", "torch"))
    head = f"""\
# Inference, measured

Written by `python {" ".join(["benchmarks/inference.py", *sys.argv[1:]])}` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; do not edit outside of the notes at the end.

One U-Net (MONAI `UNet`, channels 16 to 128, two residual units, {CLASSES} classes, weights at random but always the same) over a CT of {size} voxels, in windows of {PATCH} x {PATCH} x {PATCH}, Gaussian blending.
From int16 voxels in memory to the label map on the volume's own grid: orientation, clipping, scaling, windows, blending, labels; ours makes volumes and mean probabilities of the segments too.
Each way runs in a process of its own, each round in another order, after a first small case that is not counted. *Peak* is `VmHWM` of the whole process, libraries included. *Buffered* is `sliding_window_inference(buffer_steps=1)`.
The machine was shared: load average {min(loads):.1f} to {max(loads):.1f} while it ran. Read the ratios, which are taken within each round; CPU time tells less of the load, but counts threads that wait for each other.

{os.cpu_count()} cores; {packages}; threads as each library chooses.
"""
    notes = f"## Notes\n\n{NOTES_BEGIN}\n{kept[1] if kept else ''}{NOTES_END}\n"
    PAGE.write_text("\n".join([head, *(f"{one}\n" for one in sections), notes]), encoding="utf-8")
    tell(f"written: {PAGE}")


if __name__ == "__main__":
    main()
