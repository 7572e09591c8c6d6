"""A picture of delivered results: three planes of each series, its segments and their volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from clic_edge.demo.grid import Overlay, overlay, read, read_series
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from pydicom import Dataset

_PALETTE: Final = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#D55E00")
"""Okabe and Ito: told apart by colour-blind readers too."""
_PAPER: Final = "#101418"
_INK: Final = "#E8EAED"
_FAINT: Final = "#9AA0A6"
_SCALE_MM: Final = 10
_OUTLINE: Final = (withStroke(linewidth=3, foreground=_PAPER),)
_VOLUME: Final = "118565006"
"""SNOMED CT: Volume, the concept of the measurement in the SR (TID 1411)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the results say of one series: the words of the legend."""

    title: str
    """Series Description of the source."""
    volumes: tuple[tuple[str, float | None], ...]
    """Segment label and mm³; None where no SR states a volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """What the legend says of one segment."""

    number: int
    label: str
    colour: str
    volume_mm3: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One series."""

    title: str
    number: int
    image: Overlay
    segments: tuple[_Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """One plane as it is shown: an axis and how its sides are called."""

    title: str
    axis: int
    letters: str
    """Left, right, bottom, top."""


# As a radiologist looks: the patient's right on the left, the face to the left.
_PANELS: Final = (
    _Panel(title="axial", axis=2, letters="RLPA"),
    _Panel(title="coronal", axis=1, letters="RLIS"),
    _Panel(title="sagittal", axis=0, letters="APIS"),
)


def draw_overlays(
    source: Sequence[Path], results: Sequence[Path], out: Path
) -> tuple[Measured, ...]:
    """Draw every segmentation among `results` over its series among `source`, as a PNG.

    Returns what its legend says, series by series.

    Raises
    ------
    Refusal
        ``nothing-to-draw``: there is no segmentation, or none of a series given.

    """
    objects = read(results)
    volumes = dict(_volumes(objects))
    found = [
        row
        for seg in objects
        if seg.Modality == "SEG"
        for row in _row(seg, read_series(source, _source_of(seg)), volumes)
    ]
    rows = sorted(found, key=lambda row: row.number)
    if not rows:
        raise Refusal("nothing-to-draw", "There is no segmentation of the series given.")
    figure = _draw(rows)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130, facecolor=_PAPER)
    return tuple(
        Measured(
            title=row.title,
            volumes=tuple((segment.label, segment.volume_mm3) for segment in row.segments),
        )
        for row in rows
    )


def _source_of(seg: Dataset) -> str:
    return str(seg.ReferencedSeriesSequence[0].SeriesInstanceUID)


def _row(
    seg: Dataset, source: Sequence[Dataset], volumes: Mapping[tuple[str, int], float]
) -> Iterator[_Row]:
    if source:
        yield _Row(
            title=str(source[0].get("SeriesDescription", "")),
            number=source[0].get("SeriesNumber") or 0,
            image=overlay(source, seg),
            segments=_segments(seg, volumes),
        )


def _volumes(objects: Sequence[Dataset]) -> Iterator[tuple[tuple[str, int], float]]:
    """Yield segmentation and segment number with the volume that an SR states for them."""
    for sr in objects:
        for group in _groups(sr) if sr.Modality == "SR" else ():
            regions = [item for item in group if item.ValueType == "IMAGE"]
            for item in group:
                if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == _VOLUME:
                    region = regions[0].ReferencedSOPSequence[0]
                    key = region.ReferencedSOPInstanceUID, int(region.ReferencedSegmentNumber)
                    yield key, float(item.MeasuredValueSequence[0].NumericValue)


def _groups(item: Dataset) -> Iterator[Sequence[Dataset]]:
    """Yield the items of every container that holds a measurement."""
    content = item.get("ContentSequence", ())
    if any(part.ValueType == "NUM" for part in content):
        yield content
    for part in content:
        yield from _groups(part)


def _segments(seg: Dataset, volumes: Mapping[tuple[str, int], float]) -> tuple[_Segment, ...]:
    return tuple(
        _Segment(
            number=int(item.SegmentNumber),
            label=str(item.SegmentLabel),
            colour=_PALETTE[index % len(_PALETTE)],
            volume_mm3=volumes.get((seg.SOPInstanceUID, int(item.SegmentNumber))),
        )
        for index, item in enumerate(seg.SegmentSequence)
    )


def _draw(rows: Sequence[_Row]) -> Figure:
    figure = Figure(figsize=(12.5, 3.9 * len(rows) + 0.7), facecolor=_PAPER)
    FigureCanvasAgg(figure)
    x, y, _ = rows[0].image.size_mm
    # Panels side by side at one scale, and as much room for the words.
    widths = [x, x, y, 0.38 * (2 * x + y)]
    grid = figure.subplots(len(rows), 4, squeeze=False, width_ratios=widths)
    for axes, row in zip(grid, rows, strict=True):
        for ax, panel in zip(axes, _PANELS, strict=False):
            _draw_panel(ax, row, panel)
        _draw_legend(axes[-1], row)
    _frame(figure)
    return figure


def _draw_panel(ax: Axes, row: _Row, panel: _Panel) -> None:
    across, up = (step for axis, step in enumerate(row.image.spacing_mm) if axis != panel.axis)
    grey, labels = (_cut(array, row.image, panel) for array in (row.image.grey, row.image.labels))
    height, width = grey.shape
    low, high = np.percentile(row.image.grey, (2, 99.8))
    ax.imshow(
        grey,
        cmap="gray",
        vmin=low,
        vmax=high,
        origin="lower",
        extent=(0, width * across, 0, height * up),
        interpolation="bicubic",
    )
    # A border of background closes the outline of what reaches the edge.
    x, y = (np.arange(-1, width + 1) + 0.5) * across, (np.arange(-1, height + 1) + 0.5) * up
    for segment in row.segments:
        mask = np.pad((labels == segment.number).astype(float), 1)
        if mask.any():
            ax.contourf(x, y, mask, levels=[0.5, 1.5], colors=[segment.colour], alpha=0.28)
            ax.contour(x, y, mask, levels=[0.5], colors=[segment.colour], linewidths=1.8)
    ax.set(xlim=(0, width * across), ylim=(0, height * up))
    _annotate(ax, panel)


def _cut(array: NDArray[np.generic], image: Overlay, panel: _Panel) -> NDArray[np.generic]:
    """Return the plane through the segments' centre: rows upward, columns to the reader's right."""
    plane: NDArray[np.generic] = np.take(array, image.centre[panel.axis], axis=panel.axis)
    # The first axis left runs to the patient's right or front; the reader's right is the other end.
    return plane[::-1].T


def _annotate(ax: Axes, panel: _Panel) -> None:
    ax.set_axis_off()
    ax.set_title(panel.title, color=_FAINT, fontsize=10, pad=6)
    places = ((0.045, 0.5), (0.955, 0.5), (0.5, 0.04), (0.5, 0.96))
    for letter, (x, y) in zip(panel.letters, places, strict=True):
        ax.text(
            x,
            y,
            letter,
            transform=ax.transAxes,
            color=_INK,
            fontsize=12,
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=_OUTLINE,
        )
    ax.plot([2, 2 + _SCALE_MM], [2, 2], color=_INK, linewidth=2.5, path_effects=_OUTLINE)
    ax.text(2, 3, f"{_SCALE_MM} mm", color=_INK, fontsize=8, path_effects=_OUTLINE)


def _draw_legend(ax: Axes, row: _Row) -> None:
    ax.set_axis_off()
    ax.text(0.06, 0.86, row.title, color=_INK, fontsize=12.5, fontweight="bold", va="center")
    for index, segment in enumerate(row.segments):
        y = 0.68 - 0.2 * index
        line = Line2D([0.07, 0.07], [y - 0.065, y + 0.065], color=segment.colour, linewidth=5)
        line.set_transform(ax.transAxes)
        ax.add_line(line)
        ax.text(0.13, y + 0.04, segment.label, color=_FAINT, fontsize=11, va="center")
        stated = segment.volume_mm3
        volume = "no volume" if stated is None else f"{stated:,.0f} mm³"
        ax.text(0.13, y - 0.045, volume, color=_INK, fontsize=15, va="center")
    ax.set(xlim=(0, 1), ylim=(0, 1))


def _frame(figure: Figure) -> None:
    inch = 1 / figure.get_figheight()
    figure.subplots_adjust(
        left=0.012, right=0.995, bottom=0.15 * inch, top=1 - 0.85 * inch, wspace=0.03, hspace=0.12
    )
    top = 1 - 0.3 * inch
    figure.text(0.015, top, "clic-edge", color=_INK, fontsize=15, fontweight="bold", va="center")
    figure.text(
        0.985,
        top,
        "AI result, not verified",
        color=_PAPER,
        fontsize=11.5,
        fontweight="bold",
        ha="right",
        va="center",
        bbox={"boxstyle": "round,pad=0.4", "facecolor": "#F0E442", "linewidth": 0},
    )
