"""The numbers of one run as Markdown; what a person wrote between the markers is kept."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from compute import count_windows
from orthancs import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from compute import NetworkCost
    from phantom import Phantom
    from rounds import Comparison, Times
    from whole_line import WholeLine

NOTES_BEGIN, NOTES_END = "<!-- notes: written by hand, kept -->", "<!-- end of notes -->"
PACKAGES = (
    "numpy",
    "pydicom",
    "pynetdicom",
    "highdicom",
    "dicomweb-client",
    "onnxruntime",
    "monai",
    "torch",
    "dbos",
)
PARTS = {
    "fetch": "fetch the series from Orthanc (twice: to predict, to write)",
    "deidentify": "deidentify",
    "build_volume": "volume",
    "predict": "predict without the network",
    "forward": "predict: the network's forward passes",
    "log": "log the prediction, with its mask",
    "read log": "read it back",
    "write seg": "write SEG",
    "write sr": "write SR",
    "check": "check both",
    "keep": "keep both in the appliance's Orthanc",
    "fetch results": "fetch both for delivery",
    "deliver": "deliver both by C-STORE to the PACS",
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that one run measured."""

    command: str
    date: str
    rounds: int
    load_before: float
    phantom: Phantom
    patch: int
    overlap: float
    """Of the whole line's windows."""
    store: Comparison
    read: Comparison
    deid: Comparison
    windows: tuple[Comparison, ...]
    network: NetworkCost
    seg: Comparison
    line: WholeLine


def write_report(path: Path, run: Run) -> None:
    """Write the report; the notes of the one before stay."""
    old = path.read_text() if path.exists() else ""
    kept = re.search(f"{NOTES_BEGIN}\n(.*?){NOTES_END}", old, re.DOTALL)
    notes = kept[1] if kept else "\n"
    comparisons = (run.store, run.read, run.deid, *run.windows)
    sections = (
        _head(run),
        _dominates(run),
        *(_comparison(one) for one in comparisons),
        _network(run.network),
        _comparison(run.seg),
        _line(run),
        _memory(run.line),
        f"## Notes\n\n{NOTES_BEGIN}\n{notes}{NOTES_END}",
    )
    path.write_text("\n\n".join(sections) + "\n")


def _head(run: Run) -> str:
    phantom = run.phantom
    return f"""\
# Benchmarks

Written by `{run.command}` on {run.date}; do not edit outside of the notes at the end.

The input is a phantom made in code: a CT of {phantom.slices} slices of \
{phantom.size} x {phantom.size} ({phantom.voxels.nbytes / 1e6:.0f} MB), and a mask of three organs.
Contenders of one table ran in the same {run.rounds} rounds, each round in another order, after \
one round that does not count. The machine was shared with other work (load average \
{run.load_before:.1f} before the run), so read the ratios, not the seconds: *ours / this* is \
our median over the other's, and below 1 we are faster.

| | |
|---|---|
{_rows(_machine())}"""


def _machine() -> Iterator[tuple[str, str]]:
    yield "cores", str(os.cpu_count())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield "memory", f"{memory:.0f} GiB"
    yield "Python", platform.python_version()
    yield "Orthanc", _tool_version("Orthanc")
    yield "DCMTK", _tool_version("storescu")
    yield from ((name, version(name)) for name in PACKAGES)


def _tool_version(name: str) -> str:
    told = subprocess.run([program(name), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", told.stdout)
    return found[0] if found else "unknown"


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _comparison(one: Comparison) -> str:
    rows = (
        (times.name, *_seconds(times), "" if index == 0 else f"{one.ratio(index):.2g}")
        for index, times in enumerate(one.times)
    )
    facts = "".join(f"\n\n{fact}" for fact in one.facts)
    return f"""\
## {one.title}

{one.what}

| | median s | min–max s | ours / this |
|---|---|---|---|
{_rows(rows)}{facts}"""


def _seconds(times: Times) -> tuple[str, str]:
    return f"{times.median:.3g}", f"{min(times.seconds):.3g}–{max(times.seconds):.3g}"


def _network(cost: NetworkCost) -> str:
    share = cost.forward.median / cost.predict.median
    shape = " x ".join(map(str, cost.shape))
    return f"""\
## The shipped hippocampus model

One volume of {shape} mm at 1 mm, {cost.windows} windows, on the CPU. The network's forward passes \
are {share:.0%} of `predict`; the rest is resampling, normalising, blending and the label map.

| | median s | min–max s |
|---|---|---|
{_rows((times.name, *_seconds(times)) for times in (cost.predict, cost.forward))}"""


def _parts(line: WholeLine) -> dict[str, float]:
    """Return median seconds by part, the network apart from the rest of `predict`."""
    parts = {part: line.median(part) for part in PARTS if part != "forward"}
    parts["forward"] = line.forward
    parts["predict"] -= line.forward
    return {part: parts[part] for part in PARTS}


def _beside(run: Run) -> float:
    return run.line.whole - run.line.forward


def _line(run: Run) -> str:
    line, parts = run.line, _parts(run.line)
    rows = [
        (PARTS[part], f"{seconds:.3f}", f"{seconds / line.whole:.1%}")
        for part, seconds in parts.items()
    ]
    rest = line.whole - sum(parts.values())
    rows.append(("queue, durable steps, ledger", f"{rest:.3f}", f"{rest / line.whole:.1%}"))
    rows.append(("**the whole case**", f"**{line.whole:.3f}**", "100%"))
    wholes = sorted(case.whole for case in line.cases)
    return f"""\
## The whole line

The phantom lies in the appliance's Orthanc; the real worker (a process of its own, SQLite, \
durable steps) takes the case from the queue and delivers SEG and SR to a second Orthanc. The \
model is a small network made for the phantom (two convolutions), at half the resolution, in \
windows of {run.patch} voxels that overlap by {run.overlap:g}. Each case is a study of its own; \
{len(wholes)} cases after one that warms up, {wholes[0]:.2f}–{wholes[-1]:.2f} s. \
The first case of a fresh worker took {line.first.whole:.2f} s. That the PACS shows the organs \
where the phantom has them is checked after each case.

| part | median s | share |
|---|---|---|
{_rows(rows)}

Everything but the network's forward passes: {_beside(run):.2f} s, \
**{_beside(run) / line.whole:.0%} of the whole** with this small network. {_with_real_network(run)}"""


def _with_real_network(run: Run) -> str:
    size = run.phantom.size // 2
    window = (run.patch, run.patch, run.patch)
    count = count_windows((size, size, run.phantom.slices), window, run.overlap)
    seconds = run.network.seconds_per_voxel * count * run.patch**3
    share = _beside(run) / (_beside(run) + seconds)
    return (
        f"Computed, not measured: a network that costs as much for each voxel as the hippocampus "
        f"model would take {seconds:.0f} s over the same {count} windows on this machine, and "
        f"everything else would be {share:.0%} of the case."
    )


def _dominates(run: Run) -> str:
    parts = _parts(run.line)
    ordered = sorted(parts, key=parts.__getitem__, reverse=True)
    first, second, third = (
        f"{PARTS[part]} ({parts[part]:.2f} s, {parts[part] / run.line.whole:.0%})"
        for part in ordered[:3]
    )
    floors = {
        "reading the files": run.read.times[-1].median,
        "copying their bytes": run.deid.times[-1].median,
        "adding up the windows": run.windows[0].times[-1].median,
        "packing the mask's bits": run.seg.times[-1].median,
    }
    told = ", ".join(f"{what} {seconds:.2g} s" for what, seconds in floors.items())
    total = sum(floors.values())
    return f"""\
## What dominates, and the floor

A case of the phantom takes {run.line.whole:.1f} s from the queue to the PACS's last answer. \
Most of it: {first}; then {second}; then {third}.

What no program can do without, measured in the same run: {told}; together {total:.2g} s beside \
the network. The line takes {_beside(run):.2f} s beside the network, {_beside(run) / total:.0f} \
times that.

{_verdicts(run)}"""


def _verdicts(run: Run) -> str:
    """Say of each comparison how it ended."""
    told = (
        ("C-STORE into Orthanc", run.store),
        ("Orthanc to numpy", run.read),
        ("De-identification", run.deid),
        *((one.title, one) for one in run.windows),
    )
    lines = []
    for what, one in told:
        peer = min(range(1, len(one.times) - 1), key=lambda index: one.times[index].median)
        lines.append(
            f"- {what}: {one.ratio(peer):.2g} of the time of the fastest peer "
            f"({one.times[peer].name}), {one.ratio(-1):.2g} times the floor."
        )
    seg, peer = run.seg, 2
    alone = seg.times[1].median / seg.times[peer].median
    lines.append(
        f"- Segmentation: writing alone {alone:.2g} and with the check {seg.ratio(peer):.2g} of "
        f"the time of {seg.times[peer].name}."
    )
    return "\n".join(lines)


def _memory(line: WholeLine) -> str:
    last = line.cases[-1].peak_mb
    return f"""\
## Peak memory of the worker

`VmHWM` of the worker's process.

| | MiB |
|---|---|
| started, no case yet | {line.idle_mb:.0f} |
| after the first case | {line.first.peak_mb:.0f} |
| after case {len(line.cases) + 1} | {last:.0f} |

The pixels of the series are {line.series_mb:.0f} MiB as int16; the floor is three of them: with \
identity, without, and as voxels. The rest is the network's input and its probabilities for each \
class, as float32."""
