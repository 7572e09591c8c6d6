"""Alarms in words: what moved, by how much, since when, and what that suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.domain.monitoring import Channel, Direction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.domain.monitoring import Alarm, ChartMemory
    from clic_edge.drift.plan import Chart

_TOGETHER = {
    frozenset({Channel.OUTPUT}): "The output moved while the images look as they did: "
    "think of another patient group, or of the model itself.",
    frozenset({Channel.IMAGE}): "The images changed while acquisition and output hold: "
    "think of the scanner (coil, reconstruction, calibration).",
    frozenset({Channel.ACQUISITION}): "The acquisition changed while images and output hold: "
    "think of protocol or patient group.",
    frozenset({Channel.WHOLE}): "No number moved by itself, but studies combine them as none did "
    "before: look at single cases.",
    frozenset({Channel.TIMING}): "Only the times moved: think of the machine, not of the model.",
    frozenset({Channel.RATES}): "More series are refused, failed or overridden: read the reasons.",
    frozenset(
        {Channel.CONSTANCY}
    ): "The phantoms of the constancy set, which never change, are seen "
    "otherwise: think of model, library, driver and machine.",
    frozenset({Channel.READERS}): "Readers draw something else than before while nothing else "
    "moved: think of the model's errors, or of the readers' practice.",
}


def moved(chart: Chart, change: ChartMemory) -> str:
    """Return what a chart says, in one sentence."""
    mean = change.value / max(change.points, 1)
    before = float(chart.baseline.mean())
    way = "rose" if chart.direction is Direction.UP else "fell"
    begun = f"{change.since:%Y-%m-%d %H:%M} UTC" if change.since else "?"
    over = f"over {change.points} since {begun}"
    if chart.weights:
        what = chart.feature if chart.word is None else f"{chart.feature} = {chart.word}"
        return f"{what} {way} to {mean:.1%} {over}, against {before:.1%} in the reference."
    sd = float(chart.baseline.std())
    size = f" ({(mean - before) / sd:+.1f} sd)" if sd > 0 else ""
    return (
        f"{chart.feature} {way} to {mean:.4g} {over}, against {before:.4g} in the reference{size}."
    )


def new_word(feature: str, word: str) -> str:
    """Return that a value came which the reference never had."""
    return f"{feature} = {word} is new: the reference never had it."


def together(alarms: Iterable[Alarm]) -> str:
    """Return what the open alarms of one model say together; empty where there are none."""
    channels = frozenset(one.channel for one in alarms)
    if not channels:
        return ""
    channels = channels - {Channel.WHOLE} or channels
    if said := _TOGETHER.get(channels):
        return said
    seen = {Channel.ACQUISITION, Channel.IMAGE} & channels
    if seen and Channel.OUTPUT in channels:
        return (
            f"{_listed(seen)} and output moved together: think of scanner, protocol or patient "
            "group first, and of the model's answer to them."
        )
    return f"{_listed(channels)} moved."


def _listed(channels: Iterable[Channel]) -> str:
    return " and ".join(sorted(channels)).capitalize()
