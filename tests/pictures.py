"""One chart of each kind, as the gallery in the docs shows them; made of fixed numbers."""

from __future__ import annotations

from datetime import date, timedelta
from math import cos, sin
from typing import TYPE_CHECKING

from clic_edge.drawing.agreement import BlandAltman, Pair, bland_altman
from clic_edge.drawing.bars import Bars, DayOfCounts, Pareto, Reason, bars, pareto
from clic_edge.drawing.control import (
    ControlChart,
    Limit,
    Mark,
    Period,
    Point,
    Trace,
    control_chart,
)
from clic_edge.drawing.forest import Forest, Row, forest
from clic_edge.drawing.histogram import Group, Histogram, histogram
from clic_edge.drawing.levey_jennings import LeveyJennings, Measured, levey_jennings
from clic_edge.drawing.look import Look
from clic_edge.drawing.reliability import Bin, Reliability, reliability
from clic_edge.drawing.runs import Calendar, Outcome, Run, calendar
from clic_edge.drawing.sparkline import Sparkline, sparkline
from clic_edge.drawing.timeline import Stage, Timeline, timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST = date(2026, 5, 4)


def _day(number: int) -> date:
    return FIRST + timedelta(days=number)


def _noise(number: int) -> float:
    return sin(number * 12.9898) + cos(number * 4.1414) / 2


def cusum() -> ControlChart:
    """Return half a year of a CUSUM that finds a new software version."""
    total, up = 0.0, []
    for number in range(180):
        total = min(14.0, max(0.0, total + _noise(number) - 0.5 + (1.3 if number > 140 else 0.0)))
        up.append(total)
    beyond = next(number for number, one in enumerate(up) if one > 8)
    points = tuple(
        Point(
            day=_day(number),
            value=None if number in {61, 62, 63} else one,
            beyond=one > 8,
            tip=f"{_day(number)}: {one:.1f}",
            href=f"/cases?day={_day(number)}",
        )
        for number, one in enumerate(up)
    )
    return ControlChart(
        title="Noise of the images",
        message="The sum has been above its limit since 27 September: noise went up.",
        label="CUSUM",
        traces=(Trace(name="upward", points=points),),
        limits=(Limit(value=8.0, name="limit: 1 false alarm a year"),),
        baseline=Period(first=_day(0), last=_day(60), name="baseline"),
        alarms=(Mark(day=_day(beyond), name="alarm", href="/alarms/1"),),
        notes=(Mark(day=_day(141), name="software VB20"),),
    )


def shares() -> ControlChart:
    """Return a share by day with limits of its days, on a baseline that is too small."""
    points = tuple(
        Point(
            day=_day(number),
            value=0.04 + 0.03 * _noise(number) / 2 if number % 7 < 5 else None,
            lower=0.0,
            upper=0.08 + 0.02 * (number % 3) if number % 7 < 5 else None,
        )
        for number in range(40)
    )
    return ControlChart(
        title="Share of refused series",
        message="Four in a hundred are refused, as before.",
        label="share",
        traces=(Trace(name="refused", points=points),),
        limits=(Limit(value=0.04, name="mean", is_centre=True),),
        limits_name="limits of the day",
        provisional="The baseline is too small: alarms are advisory.",
    )


def pictures(look: Look) -> Mapping[str, str]:
    """Return one chart of each kind by name."""
    days = [_day(number) for number in range(30)]
    return {
        "control-cusum": control_chart(cusum(), look),
        "control-share": control_chart(shares(), look),
        "levey-jennings": levey_jennings(
            LeveyJennings(
                title="Volume of the phantom",
                message="One of 30 nights lies beyond three standard deviations.",
                label="mm³",
                measured=tuple(
                    Measured(
                        day=day,
                        value=3000 + 18 * _noise(n) + 100 * (n == 21),
                        passed=n != 21,
                        tip=str(day),
                    )
                    for n, day in enumerate(days)
                ),
                mean=3000.0,
                sd=20.0,
            ),
            look,
        ),
        "bars": bars(
            Bars(
                title="Cases by day",
                message="About twenty a day; two were refused on most days.",
                label="cases",
                names=("delivered", "refused", "quarantined"),
                days=tuple(
                    DayOfCounts(day=day, counts=(18 + n % 5, n % 3, int(n == 12)), tip=str(day))
                    for n, day in enumerate(days)
                    if n % 7 < 5
                ),
            ),
            look,
        ),
        "pareto": pareto(
            Pareto(
                title="Why series were refused",
                message="Three in five were too thick.",
                reasons=(
                    Reason(name="slice-thickness", count=41),
                    Reason(name="missing-slice", count=17),
                    Reason(name="body-part", count=9),
                    Reason(name="orientation", count=2),
                ),
            ),
            look,
        ),
        "histogram": histogram(
            Histogram(
                title="Volume of the anterior part",
                message="The last month lies like the reference.",
                label="mm³",
                groups=(
                    Group(
                        name="reference (n = 300)",
                        values=tuple(
                            1700 + 90 * _noise(n) + 80 * _noise(n * 7) for n in range(300)
                        ),
                    ),
                    Group(
                        name="October (n = 120)",
                        values=tuple(
                            1760 + 90 * _noise(n + 5) + 70 * _noise(n * 3) for n in range(120)
                        ),
                    ),
                ),
            ),
            look,
        ),
        "bland-altman": bland_altman(
            BlandAltman(
                title="Volume, edited by readers minus ours",
                message="Readers make it 24 mm³ larger on average.",
                label_across="mean (mm³)",
                label="difference (mm³)",
                pairs=tuple(
                    Pair(mean=1700 + 120 * _noise(n * 3), difference=24 + 30 * _noise(n))
                    for n in range(40)
                ),
                bias=24.0,
                lower=-23.0,
                upper=71.0,
            ),
            look,
        ),
        "reliability": reliability(
            Reliability(
                title="Calibration",
                message="High probabilities are somewhat too high.",
                label_across="predicted",
                label="observed",
                bins=tuple(
                    Bin(
                        predicted=p,
                        observed=p - 0.15 * p * p,
                        lower=max(0, p - 0.15 * p * p - 0.06),
                        upper=min(1, p - 0.15 * p * p + 0.06),
                        n=40 + int(100 * p),
                    )
                    for p in (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
                ),
            ),
            look,
        ),
        "forest": forest(
            Forest(
                title="Override rate by subgroup",
                message="No subgroup differs; of men under 30 there are too few.",
                label="share of results that readers changed or rejected",
                overall=0.08,
                rows=(
                    Row(name="all", n=412, value=0.08, lower=0.06, upper=0.11),
                    Row(name="women", n=221, value=0.07, lower=0.044, upper=0.112),
                    Row(name="men", n=187, value=0.09, lower=0.058, upper=0.142),
                    Row(name="men under 30", n=4, value=None, words="too few (n < 30)"),
                ),
            ),
            look,
        ),
        "sparkline": sparkline(
            Sparkline(title="Last 30 days", values=tuple(_noise(n) for n in range(30))),
            Look(theme=look.theme, width=120, height=28),
        ),
        "calendar": calendar(
            Calendar(
                title="Constancy, 2026",
                message="Of 183 nights 3 failed and 5 were missed.",
                runs=tuple(
                    Run(day=_day(n), outcome=_outcome(n), tip=f"{_day(n)}") for n in range(183)
                ),
                names=(
                    (Outcome.PASSED, "passed"),
                    (Outcome.FAILED, "failed"),
                    (Outcome.MISSED, "missed"),
                ),
            ),
            look,
        ),
        "timeline": timeline(
            Timeline(
                title="From arrival to receipt",
                message="The case took 74 seconds, 30 of them waiting for the series.",
                label="seconds",
                stages=(
                    Stage(name="complete", begins=0, seconds=30, words="30 s", waiting=True),
                    Stage(name="deidentify", begins=30, seconds=4, words="4 s"),
                    Stage(name="infer", begins=34, seconds=21, words="21 s"),
                    Stage(name="write", begins=55, seconds=3, words="3 s"),
                    Stage(name="deliver", begins=58, seconds=16, words="16 s", failed=True),
                ),
            ),
            look,
        ),
    }


def _outcome(number: int) -> Outcome:
    if number in {40, 41, 120}:
        return Outcome.FAILED
    return Outcome.MISSED if number in {12, 77, 78, 79, 150} else Outcome.PASSED
