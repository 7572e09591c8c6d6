"""How much there was to do, what became of it and how long it took, in words and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.drawing.bars import Bars, DayOfCounts, Pareto, Reason, bars, pareto
from clic_edge.reporting.document import Picture, Section, Table, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.board.report_volume import CodeShare, Volume
    from clic_edge.reporting.document import Block
    from clic_edge.reporting.voice import Voice


def volume_section(volume: Volume, voice: Voice) -> Section:
    """Return the section of cases and times."""
    return Section(heading=voice.say("section-volume"), blocks=tuple(_blocks(volume, voice)))


def _blocks(volume: Volume, voice: Voice) -> Iterator[Block]:
    counted = (
        ("received", volume.received),
        ("delivered", volume.delivered),
        ("refused", volume.refused),
        ("failed", volume.failed),
        ("superseded", volume.superseded),
        ("open", volume.open),
        ("series-analysed", volume.series_analysed),
        ("series-refused", volume.series_refused),
        ("series-failed", volume.series_failed),
    )
    yield Table(
        caption="",
        columns=(voice.say("what"), voice.say("number")),
        rows=tuple((voice.say(key), voice.count(count)) for key, count in counted),
    )
    if volume.seconds_p50 is not None:
        p50, p95 = voice.duration(volume.seconds_p50), voice.duration(volume.seconds_p95)
        yield Words(text=voice.say("time-to-result", p50=p50, p95=p95))
    if volume.days:
        yield _by_day(volume, voice)
    if volume.refusals:
        yield _why(volume.refusals, voice)
        yield _codes("why-refused", volume.refusals, voice)
    if volume.failures:
        yield _codes("why-failed", volume.failures, voice)


def _by_day(volume: Volume, voice: Voice) -> Picture:
    message = voice.say(
        "by-day-message",
        received=voice.count(volume.received),
        delivered=voice.count(volume.delivered),
        refused=voice.count(volume.refused),
        failed=voice.count(volume.failed),
    )
    drawn = Bars(
        title=voice.say("by-day"),
        message=message,
        label=voice.say("cases"),
        names=tuple(voice.say(key) for key in ("delivered", "refused", "failed-short", "other")),
        days=tuple(
            DayOfCounts(
                day=one.day,
                counts=(one.delivered, one.refused, one.failed, one.other),
                tip=f"{one.day}: {one.delivered} / {one.refused} / {one.failed} / {one.other}",
            )
            for one in volume.days
        ),
    )
    return Picture(svg=bars(drawn, voice.look), message=message)


def _why(refusals: tuple[CodeShare, ...], voice: Voice) -> Picture:
    first, total = refusals[0], sum(one.count for one in refusals)
    message = voice.say("why-refused-message", code=first.code, count=first.count, total=total)
    reasons = tuple(Reason(name=one.code, count=one.count) for one in refusals)
    drawn = Pareto(title=voice.say("why-refused"), message=message, reasons=reasons)
    return Picture(svg=pareto(drawn, voice.look), message=message)


def _codes(caption: str, found: tuple[CodeShare, ...], voice: Voice) -> Table:
    return Table(
        caption=voice.say(caption),
        columns=(voice.say("code"), voice.say("number")),
        rows=tuple((one.code, voice.count(one.count)) for one in found),
    )
