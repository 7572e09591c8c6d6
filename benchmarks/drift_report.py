"""The page and the plot of `drift.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

METHODS = {
    "opened": "warning",
    "confirmed": "alarm",
    "ks": "KS each day",
    "chexstray": "CheXstray",
}
COLOURS = {"confirmed": "#0072b2", "ks": "#d55e00", "chexstray": "#009e73"}
GOAL = 50
NOTES = "<!-- notes: written by hand, kept -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One change of one size: the studies until each method saw it, by repetition."""

    change: str
    size: float
    delays: Mapping[str, Numbers]


def write_page(
    folder: Path,
    rows: Sequence[Row],
    *,
    calm: Mapping[str, Numbers],
    world: Mapping[str, float],
    seconds: float,
) -> None:
    """Write `DRIFT.md` and `drift.png`; what stands below the notes' mark is kept."""
    page = folder / "DRIFT.md"
    before = page.read_text() if page.exists() else f"{NOTES}\n"
    notes = before[before.index(NOTES) :]
    page.write_text(f"{_head(calm, world, rows, seconds)}\n{_table(rows)}\n{notes}")
    _plot(folder / "drift.png", rows)


def _head(
    calm: Mapping[str, Numbers], world: Mapping[str, float], rows: Sequence[Row], seconds: float
) -> str:
    def told(name: str) -> str:
        rung, charts, _ = calm[name].mean(axis=0)
        years = len(calm[name])
        return (
            f"{rung:.1f} false alarms a year of {charts:.0f} charts, "
            f"{rung / charts:.2f} of each ({years} years, each with a reference of its own)"
        )

    one = next(row for row in rows if row.size == 1.0)
    dependent = next(row for row in rows if row.change.endswith("days alike"))
    repeats = len(rows[-1].delays["opened"])
    by_chance = 30 * 365 * np.log(2) / max(calm["independent"][:, 0].mean(), 1e-9)
    stamp = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return f"""# Drift: what the monitor sees, and when

Written by `python benchmarks/drift.py` on {stamp} in {seconds / 60:.1f} minutes; do not edit above of the notes.

30 studies a day with {world["features"]:.0f} numbers of the product's own features, drawn with the distributions and correlations that they have over {world["cases"]:.0f} real T1 images (`drift_measure.py`), beside sex, age band and time. The reference is the first 100 days. Changes are those that the same images showed when they were changed as scanners change them, at half, once and twice the size; the monitor is the product's, by default settings.

- **False alarms**: {told("independent")}. Designed: at most 12 a year of all.
- Where the studies of a day share a twentieth of their variance: {told("dependent")}; one sd is then confirmed after {_median(dependent.delays["confirmed"])} studies.
- **One number by one sd** (goal: a median of at most {GOAL} studies): warning after {_median(one.delays["opened"])}, confirmed after {_median(one.delays["confirmed"])}, by the chart of that number alone.

The Kolmogorov-Smirnov test looks each day at the last 7 days of each number, CheXstray's combined score at the last 30 days of everything; both have the threshold at which the same calm years ring as often as ours did.

![Studies until a change is seen](drift.png)

## Studies until a change is seen

Median of {repeats} repetitions, in brackets the ninetieth percentile; "never" is not within 1200 studies. Every alarm of any chart counts, of the monitor as of the others; by chance alone the median would be {by_chance:.0f} studies.
"""


def _median(values: Numbers) -> str:
    return "never" if np.isinf(np.median(values)) else f"{np.median(values):.0f}"


def _cell(values: Numbers) -> str:
    late = np.quantile(values, 0.9, method="higher")
    return f"{_median(values)} ({'never' if np.isinf(late) else f'{late:.0f}'})"


def _table(rows: Sequence[Row]) -> str:
    lines = [
        f"| change | size | {' | '.join(METHODS.values())} |",
        f"|---|---|{'---|' * len(METHODS)}",
    ]
    for row in rows:
        cells = " | ".join(_cell(row.delays[name]) for name in METHODS)
        lines.append(f"| {row.change} | {row.size:g} | {cells} |")
    return "\n".join(lines) + "\n"


def _plot(path: Path, rows: Sequence[Row]) -> None:
    changes = list(dict.fromkeys(row.change for row in rows))
    figure, axes = plt.subplots(figsize=(9, 0.62 * len(changes) + 1.4))
    for place, change in enumerate(reversed(changes)):
        for row in (one for one in rows if one.change == change):
            for offset, (name, colour) in enumerate(COLOURS.items()):
                median = float(np.median(row.delays[name]))
                axes.scatter(
                    min(median, 1500.0),
                    place + 0.22 * (1 - offset),
                    s=24 + 30 * row.size,
                    color=colour,
                    alpha=0.4 + 0.3 * row.size,
                    marker="o" if np.isfinite(median) else "x",
                )
    axes.axvline(GOAL, color="0.5", lw=0.8, ls="--")
    axes.set_xscale("log")
    axes.set_xlim(0.8, 1800)
    axes.set_yticks(range(len(changes)), list(reversed(changes)))
    axes.set_xlabel("studies until seen (median; × at the right: never; larger: larger change)")
    for name, colour in COLOURS.items():
        axes.scatter(
            [],
            [],
            color=colour,
            label=f"clic-edge {METHODS[name]}" if name == "confirmed" else METHODS[name],
        )
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, 1.12), ncol=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
