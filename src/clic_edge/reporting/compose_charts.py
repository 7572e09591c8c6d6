"""Charts with limits, designed false alarms and delays, and the alarms with who has seen them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.board.naming import called
from clic_edge.domain.monitoring import Direction
from clic_edge.drawing.control import ControlChart, Limit, Mark, Point, Trace, control_chart
from clic_edge.drawing.numerals import NOTHING
from clic_edge.reporting.document import Picture, Section, Table, Words
from clic_edge.reporting.voice import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.board.report import AlarmReport, ModelReport
    from clic_edge.board.report_charts import ChartReport
    from clic_edge.reporting.document import Block
    from clic_edge.reporting.voice import Voice

DRAWN = 12
"""Charts that are drawn; the table holds them all."""


def charts_section(report: ModelReport, voice: Voice) -> Section:
    """Return the section of the charts."""
    return Section(heading=voice.say("section-charts"), blocks=tuple(_charts(report, voice)))


def _charts(report: ModelReport, voice: Voice) -> Iterator[Block]:
    if not report.references:
        yield Words(text=voice.say("no-charts"), is_notice=True)
        return
    yield Table(
        caption=voice.say("references"),
        columns=tuple(
            voice.say(key)
            for key in ("scanner", "reference", "by", "frozen", "studies", "provisional")
        ),
        rows=tuple(
            (
                voice.scanner(one.scanner),
                f"{one.name} {one.version}",
                one.frozen_by,
                moment(one.frozen_at),
                voice.count(one.observations),
                voice.say("yes" if one.provisional else "no"),
            )
            for one in report.references
        ),
        numbers_from=4,
    )
    yield from (_picture(one, report, voice) for one in report.charts[:DRAWN] if one.days)
    yield Table(
        caption=voice.say("charts"),
        columns=tuple(
            voice.say(key)
            for key in ("chart", "scanner", "highest", "limit", "false-a-year", "delay")
        ),
        rows=tuple(_row(one, voice) for one in report.charts),
        numbers_from=2,
    )


def _row(one: ChartReport, voice: Voice) -> tuple[str, ...]:
    delays = ", ".join(
        f"{voice.number(it.change, 2)}: {voice.number(it.points, 2)}" for it in one.delays
    )
    return (
        _title(one, voice),
        voice.scanner(one.scanner),
        voice.share(one.highest),
        voice.number(one.limit),
        voice.number(one.false_alarms_per_year, 2),
        delays or NOTHING,
    )


def _title(one: ChartReport, voice: Voice) -> str:
    way = voice.say("upward" if one.direction is Direction.UP else "downward")
    feature = called(one.feature, voice.language)
    named = voice.say("share-of", feature=feature) if one.is_share else feature
    return f"{named}, {way}"


def _picture(one: ChartReport, report: ModelReport, voice: Voice) -> Picture:
    message = voice.say(
        "chart-message",
        highest=voice.share(one.highest),
        false=voice.number(one.false_alarms_per_year, 2),
    )
    drawn = ControlChart(
        title=_title(one, voice),
        message=message,
        label=voice.say("sum"),
        traces=(Trace(name=voice.scanner(one.scanner), points=tuple(_points(one, voice))),),
        limits=(
            Limit(value=one.limit, name=voice.say("limit")),
            Limit(value=0.0, name="", is_centre=True),
        ),
        alarms=tuple(_marks(one, report, voice)),
        provisional=voice.say("advisory") if one.provisional else "",
        first=report.period.first,
        last=report.period.last,
    )
    return Picture(svg=control_chart(drawn, voice.look), message=f"{drawn.title}: {message}")


def _points(one: ChartReport, voice: Voice) -> Iterator[Point]:
    for day in one.days:
        yield Point(
            day=day.day,
            value=day.sum,
            beyond=day.sum is not None and day.sum > one.limit,
            tip=f"{day.day}: {voice.number(day.sum)} (n = {day.n})",
        )


def _marks(one: ChartReport, report: ModelReport, voice: Voice) -> Iterator[Mark]:
    for alarm in report.alarms:
        is_ours = (alarm.chart, alarm.direction, alarm.scanner) == (
            one.feature,
            one.direction,
            one.scanner,
        )
        day = alarm.opened_at.date()
        if is_ours and report.period.first <= day <= report.period.last:
            yield Mark(day=day, name=_what(alarm, voice))


def alarms_section(report: ModelReport, voice: Voice) -> Section:
    """Return the section of the alarms."""
    heading = voice.say("section-alarms")
    if not report.alarms:
        return Section(heading=heading, blocks=(Words(text=voice.say("no-alarms")),))
    table = Table(
        caption=voice.say("alarms"),
        columns=tuple(
            voice.say(key) for key in ("what", "severity", "scanner", "opened", "closed", "seen-by")
        ),
        rows=tuple(
            (
                _what(one, voice),
                voice.say(f"severity-{one.severity}"),
                voice.scanner(one.scanner),
                moment(one.opened_at),
                moment(one.closed_at) if one.closed_at else voice.say("still-open"),
                "; ".join(f"{it.person}: {it.reason}" for it in one.answers) or voice.say("nobody"),
            )
            for one in report.alarms
        ),
        numbers_from=6,
    )
    return Section(heading=heading, blocks=(table,))


def _what(one: AlarmReport, voice: Voice) -> str:
    if one.is_event:
        key = "new-stratum" if one.chart == "stratum" else "new-word"
    else:
        key = "rose" if one.direction is Direction.UP else "fell"
    return voice.say(key, feature=called(one.chart, voice.language))
