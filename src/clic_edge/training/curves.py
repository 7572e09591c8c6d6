"""How a run went, as one picture: the loss, and Dice on the stopping cases."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.training.learning import Epoch

_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")


def draw_curves(history: Sequence[Epoch], segments: Sequence[str], *, best: int) -> bytes:
    """Return an SVG; `best` is the epoch whose weights are taken."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasSVG(figure)
    losses, looks = figure.subplots(1, 2)
    losses.plot([one.epoch for one in history], [one.loss for one in history], color="black")
    losses.set(title="loss, mean of the epoch", ylabel="loss")
    losses.set_ylim(bottom=0)
    seen = [(one.epoch, one.dice) for one in history if one.dice is not None]
    for place, name in enumerate(segments):
        points = [(epoch, dice[place]) for epoch, dice in seen if dice[place] is not None]
        if points:
            colour = _COLOURS[place % len(_COLOURS)]
            looks.plot(*zip(*points, strict=True), "o-", markersize=3, label=name, color=colour)
    if seen:
        looks.axvline(best, color="grey", linestyle=":", label=f"taken: epoch {best}")
        looks.legend(fontsize="small", loc="lower right")
    looks.set(title="Dice on the stopping cases", ylabel="Dice")
    for axes in (losses, looks):
        axes.set(xlabel="epoch", xlim=(0, len(history) + 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "clic-edge"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
