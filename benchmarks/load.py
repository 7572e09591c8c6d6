"""The appliance under load, beside Orthanc without our plugin; the page is LOAD.md.

`python benchmarks/load.py` is the full run; `--small` takes some minutes. Sizes are options.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from load_site import STABLE_AGE, Account, Site, account, is_done, orthanc_alone, site, size_of  # noqa: E402 - they need the tests on the path
from load_traffic import Fate, Sent, Study, day, large, send, write_all  # noqa: E402 - as above
from load_watch import BLOCKS, MATTERS_MIB_PER_HOUR, SHORTEST, Seen, slope, watching  # noqa: E402 - as above
from report import NOTES_BEGIN, NOTES_END  # noqa: E402 - as above
from rounds import tell  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE, PICTURE = HERE / "LOAD.md", HERE / "load.png"
PAUSE = 8.0 + STABLE_AGE
"""Seconds between the halves of a study that comes in two."""
LONGEST = 6 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Studies, and how many send at once."""

    title: str
    studies: Sequence[Study]
    senders: int
    is_paced: bool = False
    """Whether studies come when they are due: then nobody else's speed is to be learnt by it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was seen of a scenario."""

    scenario: Scenario
    sent: dict[str, Sent]
    """By who received."""
    seen: Seen
    account: Account
    drained: float
    """Seconds from the first image to the end of the last case."""
    disk: dict[str, int]


def main() -> None:
    """Run the scenarios and write the page."""
    asked, command = _asked()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it started ends with it
    begun, load = datetime.now(UTC), os.getloadavg()[0]
    outcomes = []
    for name, scenario in _scenarios(asked).items():
        if name in asked.only:
            with tempfile.TemporaryDirectory(prefix="clic-edge-load-", dir=asked.folder) as folder:
                outcomes.append(_run(scenario, Path(folder)))
    _draw(outcomes)
    _write(outcomes, command, begun, (load, os.getloadavg()[0]))


def _asked() -> tuple[argparse.Namespace, str]:
    small = argparse.ArgumentParser(add_help=False)
    small.add_argument("--small", action="store_true", help="some minutes in place of hours")
    known, _ = small.parse_known_args()
    parser = argparse.ArgumentParser(description=__doc__, parents=[small])
    sizes = {
        "studies": (50, 4, "of (a)"),
        "slices": (300, 40, "of each of them"),
        "edge": (512, 128, "rows and columns"),
        "small-studies": (500, 20, "of (b)"),
        "day-studies": (2000, 40, "of (c)"),
        "day-slices": (120, 40, "of its longest series"),
        "day-seconds": (1800, 60, "that its 24 hours take"),
    }
    for name, (full, less, what) in sizes.items():
        default = less if known.small else full
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (%(default)s)")
    parser.add_argument("--only", default="abc", help="which of the scenarios a, b, c")
    parser.add_argument("--folder", type=Path, help="where the disk has room")
    return parser.parse_args(), " ".join(["python benchmarks/load.py", *sys.argv[1:]])


def _scenarios(asked: argparse.Namespace) -> dict[str, Scenario]:
    small_ones = [Study(number=50_000 + n, slices=10, edge=64) for n in range(asked.small_studies)]
    studies = day(asked.day_studies, asked.day_seconds, min(asked.edge, 256), asked.day_slices)
    return {
        "a": Scenario(
            title=f"(a) {asked.studies} studies of {asked.slices} slices of {asked.edge} x {asked.edge}, four senders at once",
            studies=large(asked.studies, asked.slices, asked.edge),
            senders=4,
        ),
        "b": Scenario(
            title=f"(b) {asked.small_studies} studies of 10 slices of 64 x 64, one after the other",
            studies=small_ones,
            senders=1,
        ),
        "c": Scenario(
            title=f"(c) a day of {asked.day_studies} studies in {asked.day_seconds} seconds",
            studies=studies,
            senders=6,
            is_paced=True,
        ),
    }


def _run(scenario: Scenario, folder: Path) -> Outcome:
    tell(f"{scenario.title}: writing files")
    files = folder / "files"
    write_all(scenario.studies, files)

    def sent_to(port: int) -> Sent:
        return send(scenario.studies, files, port, senders=scenario.senders, pause=PAUSE)

    sent = {} if scenario.is_paced else _sent_beside(folder, sent_to)
    tell("into the whole appliance")
    with site(folder / "whole", whole=True) as here:
        with watching(here.processes, here.ledger) as seen:
            last = sent["the whole appliance"] = sent_to(here.orthanc.dicom_port)
            tell("waiting for the last case")
            _await_end(scenario, here)
            drained = time.time() - last.begun
            time.sleep(5)
        found = account(here, scenario.studies, last)
        disk = {
            "Orthanc": size_of(here.folder / "orthanc"),
            "ledger": sum(one.stat().st_size for one in here.folder.glob("clic-edge.sqlite*")),
        }
    return Outcome(
        scenario=scenario, sent=sent, seen=seen, account=found, drained=drained, disk=disk
    )


def _sent_beside(folder: Path, sent_to: Callable[[int], Sent]) -> dict[str, Sent]:
    sent = {}
    tell("into Orthanc alone")
    with orthanc_alone(folder / "alone") as plain:
        sent["Orthanc alone"] = sent_to(plain.dicom_port)
    shutil.rmtree(folder / "alone")
    tell("into Orthanc with the plugin")
    with site(folder / "plugin", whole=False) as here:
        sent["with the plugin, no worker"] = sent_to(here.orthanc.dicom_port)
    shutil.rmtree(folder / "plugin")
    return sent


def _await_end(scenario: Scenario, here: Site) -> None:
    begun = time.time()
    quiet_since = begun
    while time.time() - quiet_since < PAUSE + 4:  # a study that still settles has no new case yet
        time.sleep(1)
        if not is_done(here, scenario.studies):
            quiet_since = time.time()
        if time.time() - begun > LONGEST:
            raise SystemExit("Cases do not end.")


def _draw(outcomes: Sequence[Outcome]) -> None:
    figure = Figure(figsize=(11, 3.4 * len(outcomes)), layout="constrained")
    axes = figure.subplots(len(outcomes), 2, squeeze=False)
    for (left, right), outcome in zip(axes, outcomes, strict=True):
        seen = outcome.seen
        minutes = (np.array(seen.times) - seen.times[0]) / 60
        left.plot(minutes, seen.oldest, color="#b03060")
        left.set(title=outcome.scenario.title[:60], ylabel="oldest open case, s", xlabel="minutes")
        cases = left.twinx()
        cases.plot(minutes, seen.waiting, color="#607080", linewidth=0.8)
        cases.set_ylabel("open cases")
        for name, values in seen.pss.items():
            right.plot(minutes, values, label=name, linewidth=1)
        right.set(ylabel="PSS, MiB", xlabel="minutes", ylim=(0, None))
        right.legend(fontsize="small")
    figure.savefig(PICTURE, dpi=90)


def _write(
    outcomes: Sequence[Outcome], command: str, begun: datetime, load: tuple[float, float]
) -> None:
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    kept = re.search(f"{NOTES_BEGIN}\n(.*?){NOTES_END}", old, re.DOTALL)
    minutes = (datetime.now(UTC) - begun).total_seconds() / 60
    head = f"""\
# Load, measured

Written by `{command}` on {begun:%Y-%m-%d %H:%M} UTC, in {minutes:.0f} minutes; do not edit outside of the notes at the end.

Real Orthanc with `appliance/orthanc.json` and the plugin, a real worker, the pages, DCMTK's `storescu` in processes of its own as senders, a PACS of pynetdicom that writes down each object that it gets. All on one machine and one disk.
The model is light (one convolution of one voxel): what is measured is all that is around a network. Orthanc's stable age is {STABLE_AGE} s in place of a minute.
(a) and (b) send the same files three times: into Orthanc with the same configuration and without our plugin, into Orthanc with the plugin while no worker runs, into the whole appliance; (c), whose studies come when they are due, only into the last. *Images per second of an association* are those that one sender brings, its start included.
Memory is PSS, of a process with its children, each second. Its slope is a line through {BLOCKS} means, the first third of the run left out, with a 95 % interval; *flat* where the interval's upper end is below {MATTERS_MIB_PER_HOUR:.0f} MiB an hour and its lower end not above zero; of a run of less than {SHORTEST / 60:.0f} minutes nothing is said.
The machine was shared: load average {load[0]:.1f} before and {load[1]:.1f} after, on {os.cpu_count()} cores. Read the ratios.

![queue and memory over time](load.png)
"""
    notes = f"## Notes\n\n{NOTES_BEGIN}\n{kept[1] if kept else ''}{NOTES_END}\n"
    PAGE.write_text("\n".join([head, *map(_section, outcomes), notes]), encoding="utf-8")
    tell(f"written: {PAGE}")


def _section(outcome: Outcome) -> str:
    plain = outcome.sent.get("Orthanc alone")
    rows = [
        f"| {name} | {one.seconds:.1f} | {one.images / one.seconds:.1f} | {one.images / one.busy:.1f} "
        f"| {one.size / one.seconds / 1e6:.1f} | {_ratio(one, plain)} |"
        for name, one in outcome.sent.items()
    ]
    return "\n".join(
        [
            f"## {outcome.scenario.title}",
            "",
            "| receiver | s | images/s | images/s of an association | MB/s | ratio to Orthanc alone |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            *_of_results(outcome),
            "",
            "| process | PSS MiB, least to most | RSS MiB, most | slope, MiB/h | verdict |",
            "|---|---|---|---|---|",
            *(_memory_row(outcome.seen, name) for name in outcome.seen.pss),
            "",
        ]
    )


def _ratio(one: Sent, plain: Sent | None) -> str:
    return f"{(one.images / one.busy) / (plain.images / plain.busy):.2f}" if plain else "paced"


def _of_results(outcome: Outcome) -> list[str]:
    found, seen = outcome.account, outcome.seen
    ends = ", ".join(f"{count} {state}" for state, count in sorted(found.ends.items()))
    fates = ", ".join(
        f"{count} {fate}"
        for fate in Fate
        if (count := sum(one.fate is fate for one in outcome.scenario.studies))
    )
    waits = np.percentile(found.waits, (50, 95)) if found.waits else (0, 0)
    lost = "; ".join(found.lost[:10]) or "nothing"
    disk = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in outcome.disk.items())
    return [
        f"- Sent: {len(outcome.scenario.studies)} studies ({fates}).",
        f"- Ended: {ends}, each in one standing case; {found.objects} objects at the PACS, each once.",
        f"- Lost, doubled, or other than it should be: **{lost}**.",
        (
            f"- Last image to delivery: p50 {waits[0]:.1f} s, p95 {waits[1]:.1f} s. "
            f"At most {max(seen.waiting, default=0)} open cases, the oldest {max(seen.oldest, default=0):.0f} s old; "
            f"all were done after {outcome.drained:.0f} s."
        ),
        f"- Disk: {disk}.",
    ]


def _memory_row(seen: Seen, name: str) -> str:
    one = slope(seen.times, seen.pss[name])
    most = max(seen.rss[name], default=0.0)
    moves = f"{one.per_hour:+.0f} ± {one.within:.0f}"
    return f"| {name} | {one.least:.0f} to {one.most:.0f} | {most:.0f} | {moves} | {one.verdict} |"


if __name__ == "__main__":
    main()
