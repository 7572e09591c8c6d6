"""Do the volumes agree? Difference against mean, with bias and limits of agreement."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from clic_edge.validation.report import Report

_LIMIT = 1.96
"""Standard deviations that hold 95 % of normally distributed differences."""


def plot_bland_altman(report: Report) -> bytes:
    """Return a PNG with one Bland-Altman panel for each class (Lancet 1986;327:307-310)."""
    count = len(report.class_names)
    figure = Figure(figsize=(4.5 * count, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, count, squeeze=False)[0]
    for axes, name in zip(panels, report.class_names, strict=True):
        _panel(axes, report, name)
    panels[0].set_ylabel(f"found minus reference ({report.measure.unit})")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes: Axes, report: Report, name: str) -> None:
    found = np.array(report.values(name, report.measure.size), dtype=float)
    reference = np.array(report.values(name, report.measure.reference_size), dtype=float)
    if not found.size:
        return
    difference = found - reference
    axes.plot((found + reference) / 2, difference, "o", markersize=4, color="tab:blue")
    bias = float(difference.mean())
    half = _LIMIT * float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    axes.axhline(bias, color="black")
    for limit in (bias - half, bias + half):
        axes.axhline(limit, color="black", linestyle="--")
    unit, low, high = report.measure.unit, bias - half, bias + half
    axes.set_title(f"{name}: bias {bias:+.0f} {unit}, limits {low:+.0f} to {high:+.0f}")
    axes.title.set_fontsize("medium")
    axes.set_xlabel(f"mean of found and reference ({unit})")
