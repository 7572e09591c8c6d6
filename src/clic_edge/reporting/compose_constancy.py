"""Constancy runs as a calendar, and those that did not pass as a table."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from clic_edge.domain.constancy import Verdict
from clic_edge.drawing.runs import Calendar, Outcome, Run, calendar
from clic_edge.reporting.document import Picture, Section, Table, Words
from clic_edge.reporting.voice import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.board.report import ConstancyRun, ModelReport
    from clic_edge.reporting.document import Block
    from clic_edge.reporting.voice import Voice

_WORST = (Verdict.FAILED, Verdict.INCOMPLETE, Verdict.RUNNING, Verdict.PASSED)


def constancy_section(report: ModelReport, voice: Voice) -> Section:
    """Return the section of the constancy runs."""
    blocks = tuple(_blocks(report, voice)) or (Words(text=voice.say("no-constancy")),)
    return Section(heading=voice.say("section-constancy"), blocks=blocks)


def _blocks(report: ModelReport, voice: Voice) -> Iterator[Block]:
    if not report.constancy:
        return
    yield _calendar(report, voice)
    rows = tuple(_row(one, voice) for one in report.constancy if one.verdict is not Verdict.PASSED)
    keys = ("at", "protocol", "pipeline", "verdict", "why")
    columns = tuple(voice.say(key) for key in keys)
    yield Table(caption=voice.say("constancy-runs"), columns=columns, rows=rows, numbers_from=5)


def _row(one: ConstancyRun, voice: Voice) -> tuple[str, ...]:
    protocol, verdict = f"{one.protocol} {one.version}", voice.say(f"verdict-{one.verdict}")
    return (moment(one.at), protocol, one.pipeline, verdict, one.reason)


def _calendar(report: ModelReport, voice: Voice) -> Picture:
    worst: dict[str, Verdict] = {}
    for run in report.constancy:
        day = run.at.date().isoformat()
        worst[day] = min(worst.get(day, run.verdict), run.verdict, key=_WORST.index)
    counted = Counter(worst.values())
    message = voice.say(
        "constancy-message",
        days=len(worst),
        passed=counted[Verdict.PASSED],
        failed=counted[Verdict.FAILED],
        incomplete=counted[Verdict.INCOMPLETE] + counted[Verdict.RUNNING],
    )
    drawn = Calendar(
        title=voice.say("constancy-calendar"),
        message=message,
        runs=tuple(_days(report, worst, voice)),
        names=(
            (Outcome.PASSED, voice.say("verdict-passed")),
            (Outcome.FAILED, voice.say("verdict-failed")),
            (Outcome.MISSED, voice.say("missed")),
        ),
    )
    return Picture(svg=calendar(drawn, voice.look), message=message)


def _days(report: ModelReport, worst: dict[str, Verdict], voice: Voice) -> Iterator[Run]:
    """Yield each day from the first run to the end of the period, or to when it was made."""
    outcomes = {Verdict.PASSED: Outcome.PASSED, Verdict.FAILED: Outcome.FAILED}
    day = report.constancy[0].at.date()
    while day <= min(report.period.last, report.made_at.date()):
        verdict = worst.get(day.isoformat())
        told = voice.say(f"verdict-{verdict}" if verdict else "missed")
        outcome = outcomes.get(verdict, Outcome.MISSED) if verdict else Outcome.MISSED
        yield Run(day=day, outcome=outcome, tip=f"{day}: {told}")
        day += timedelta(days=1)
