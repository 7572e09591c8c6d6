"""Charts: well-formed whatever the numbers, said in words, told apart without colour, and shown."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import cusum, pictures, shares

from clic_edge.drawing.agreement import BlandAltman, Pair, bland_altman
from clic_edge.drawing.bars import Bars, DayOfCounts, Pareto, bars, pareto
from clic_edge.drawing.control import ControlChart, Limit, Mark, Point, Trace, control_chart
from clic_edge.drawing.forest import Forest, Row, forest
from clic_edge.drawing.histogram import Group, Histogram, histogram
from clic_edge.drawing.levey_jennings import LeveyJennings, Measured, levey_jennings
from clic_edge.drawing.look import DARK, LIGHT, PAGE, Language, Look, Theme
from clic_edge.drawing.numerals import say_day, say_number, say_share
from clic_edge.drawing.reliability import Bin, Reliability, reliability
from clic_edge.drawing.runs import Calendar, Outcome, Run, calendar, sign
from clic_edge.drawing.sparkline import Sparkline, sparkline
from clic_edge.drawing.timeline import Stage, Timeline, timeline

GALLERY = Path(__file__).resolve().parents[2] / "docs" / "reference" / "charts"
ON_PAPER = Look(theme=LIGHT)
DRAWN = pictures(ON_PAPER)
SVG = "{http://www.w3.org/2000/svg}"
kinds = pytest.mark.parametrize("name", DRAWN)
numbers = st.floats(allow_nan=True, allow_infinity=True)
PLACES = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"}
SAID = {"title": "t", "message": "m"}


def places(picture: ET.Element) -> list[float]:
    """Return every coordinate of a picture."""
    found = []
    for one in picture.iter():
        found += [float(value) for key, value in one.attrib.items() if key in PLACES]
        found += [float(number) for number in re.findall(r"-?[\d.]+", one.get("d", ""))]
    return found


def require_drawn(picture: str) -> ET.Element:
    """Assert that a picture is well-formed, and that all of it lies where it can be seen."""
    root = ET.fromstring(picture)  # noqa: S314 - our own
    assert "nan" not in picture.lower().replace("finance", "")
    assert all(-2000 < place < 4000 for place in places(root))
    return root


@kinds
def test_the_gallery_shows_each_chart_as_it_is_drawn(name: str) -> None:
    assert (GALLERY / f"{name}.svg").read_text(encoding="utf-8") == DRAWN[name] + "\n"


def test_the_gallery_shows_nothing_else() -> None:
    assert {path.stem for path in GALLERY.iterdir()} == set(DRAWN)


@kinds
def test_a_chart_says_its_title_and_message_in_words(name: str) -> None:
    root = require_drawn(DRAWN[name])
    assert root.attrib["role"] in {"img", "group"}
    assert root.attrib["aria-label"].startswith(root.findtext(f"{SVG}title", "?"))
    assert root.find(f"{SVG}desc") is not None


def test_a_chart_with_links_is_a_group_because_a_picture_announces_none() -> None:
    assert ET.fromstring(control_chart(cusum())).get("role") == "group"  # noqa: S314 - our own
    assert ET.fromstring(control_chart(shares())).get("role") == "img"  # noqa: S314 - our own


def test_only_points_beyond_the_limit_are_stops_of_the_tab_key() -> None:
    root = ET.fromstring(control_chart(cusum()))  # noqa: S314 - our own
    links = root.findall(f".//{SVG}a")
    stops = [one for one in links if one.get("tabindex") != "-1"]
    beyond = sum(point.beyond for point in cusum().traces[0].points)
    assert len(links) > len(stops) == beyond + len(cusum().alarms)
    assert all(one.get("aria-label") and one.get("href") for one in links)


@kinds
def test_on_paper_no_colour_needs_a_page(name: str) -> None:
    assert "var(" not in DRAWN[name]


def test_within_a_page_every_colour_is_the_page_s_own() -> None:
    without = re.sub(r"var\([^)]*\)", "", "".join(pictures(Look()).values()))
    assert not re.search("#[0-9a-f]{6}", without)
    assert " style=" not in without, "the policy of the pages forbids it"


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_signs_stand_out_three_to_one_and_text_four_and_a_half_to_one(theme: Theme) -> None:
    for sign_colour in (*theme.series, theme.good, theme.warn, theme.bad, theme.idle):
        assert contrast(sign_colour, theme.ground) >= 3
        assert contrast(sign_colour, theme.shade) >= 3
    assert contrast(theme.text, theme.ground) >= 4.5
    assert contrast(theme.quiet, theme.ground) >= 4.5


def test_every_colour_has_the_name_of_a_property_with_the_light_colour_behind() -> None:
    for one in fields(Theme):
        if one.name not in {"series", "fonts"}:
            assert getattr(PAGE, one.name) == f"var(--{one.name}, {getattr(LIGHT, one.name)})"


def test_outcomes_are_told_apart_by_shape_and_not_by_colour_alone() -> None:
    shapes = {
        re.sub('(fill|stroke)="[^"]*"', "", sign(outcome, 0, 0, look=ON_PAPER))
        for outcome in Outcome
    }
    assert len(shapes) == len(Outcome)


def test_words_from_outside_are_escaped_wherever_they_stand() -> None:
    evil = "<script>alert('1')</script>&\"\x00"
    chart = replace(
        cusum(),
        title=evil,
        message=evil,
        label=evil,
        notes=(Mark(day=date(2026, 7, 1), name=evil, href=evil),),
        traces=(
            Trace(name=evil, points=(Point(day=date(2026, 7, 1), value=1, tip=evil, href=evil),)),
        ),
    )
    drawn = control_chart(chart, ON_PAPER)
    root = require_drawn(drawn)
    assert root.findtext(f"{SVG}title") == evil.replace("\x00", "\ufffd")
    assert root.find(f".//{SVG}script") is None
    assert "<script" not in drawn


def test_a_day_without_studies_is_a_gap_and_not_a_line() -> None:
    first = date(2026, 10, 1)
    chart = ControlChart(
        **SAID,
        traces=(
            Trace(
                name="",
                points=tuple(
                    Point(day=first + timedelta(days=n), value=None if n == 2 else 1.0 + n)
                    for n in (0, 1, 2, 3, 4, 9, 10)
                ),
            ),
        ),
    )
    root = ET.fromstring(control_chart(chart, ON_PAPER))  # noqa: S314 - our own
    lines = [one for one in root.iter(f"{SVG}path") if one.get("stroke") == LIGHT.series[0]]
    assert len(lines) == 3
    assert len(root.findall(f".//{SVG}circle")) == 6


@pytest.mark.parametrize(
    ("value", "english", "danish"),
    [
        (1234.5, "1,234", "1.234"),
        (0.0478, "0.0478", "0,0478"),
        (-12.0, "−12", "−12"),
        (0.0, "0", "0"),
        (1.5e12, "1.5·10¹²", "1,5·10¹²"),
        (2.5e-9, "2.5·10⁻⁹", "2,5·10⁻⁹"),
        (float("nan"), "–", "–"),
        (None, "–", "–"),
    ],
)
def test_numbers_are_written_as_the_reader_writes_them(
    value: float | None, english: str, danish: str
) -> None:
    assert say_number(value, Language.ENGLISH) == english
    assert say_number(value, Language.DANISH) == danish


def test_days_and_shares_are_written_as_the_reader_writes_them() -> None:
    assert say_day(date(2026, 10, 3), Language.DANISH) == "3. okt."
    assert say_day(date(2026, 10, 3), Language.ENGLISH) == "3 Oct"
    assert say_share(0.125, Language.DANISH) == "12,5\N{NO-BREAK SPACE}%"
    danish = control_chart(cusum(), Look(language=Language.DANISH))
    assert ">maj<" in danish or ">jul.<" in danish


def test_a_small_subgroup_is_told_in_words() -> None:
    chart = Forest(**SAID, rows=(Row(name="x", n=3, value=None, words="too few (n = 3)"),))
    assert "too few (n = 3)" in forest(chart)


def test_a_given_tolerance_is_not_called_a_standard_deviation() -> None:
    drawn = LeveyJennings(**SAID, measured=(), mean=10, sd=1, bound="tol.")
    picture = levey_jennings(drawn)
    assert picture.count("tol.<") == 2
    assert "sd<" not in picture


def test_charts_of_nothing_are_drawn() -> None:
    for picture in (
        control_chart(ControlChart(**SAID, traces=())),
        levey_jennings(LeveyJennings(**SAID, measured=(), mean=0, sd=0)),
        bars(Bars(**SAID, names=(), days=())),
        pareto(Pareto(**SAID, reasons=())),
        histogram(Histogram(**SAID, groups=())),
        bland_altman(BlandAltman(**SAID, pairs=())),
        reliability(Reliability(**SAID, bins=())),
        forest(Forest(**SAID, rows=())),
        sparkline(Sparkline(title="t", values=())),
        calendar(Calendar(**SAID, runs=())),
        timeline(Timeline(**SAID, stages=())),
    ):
        require_drawn(picture)


@given(values=st.lists(numbers, max_size=6), day=st.dates(), limit=numbers)
@settings(max_examples=60, deadline=None)
def test_any_numbers_of_days_are_drawn(values: list[float], day: date, limit: float) -> None:
    room = min(len(values), (date.max - day).days + 1)
    days = [day + timedelta(days=n) for n in range(room)]
    points = tuple(
        Point(day=one, value=value, upper=value, lower=limit)
        for one, value in zip(days, values, strict=False)
    )
    chart = ControlChart(
        **SAID,
        traces=(Trace(name="a", points=points),),
        limits=(Limit(value=limit, name="l"),),
        notes=tuple(Mark(day=one, name="n") for one in days),
    )
    require_drawn(control_chart(chart))
    measured = tuple(Measured(day=one.day, value=one.value or 0.0) for one in points)
    require_drawn(levey_jennings(LeveyJennings(**SAID, measured=measured, mean=limit, sd=limit)))
    runs = tuple(Run(day=one, outcome=Outcome.PASSED) for one in days)
    require_drawn(calendar(Calendar(**SAID, runs=runs)))


@given(values=st.lists(numbers, max_size=6), other=numbers)
@settings(max_examples=60, deadline=None)
def test_any_numbers_are_drawn(values: list[float], other: float) -> None:
    groups = (Group(name="a", values=tuple(values)), Group(name="b", values=(other,)))
    require_drawn(histogram(Histogram(**SAID, groups=groups)))
    pairs = tuple(Pair(mean=one, difference=other) for one in values)
    require_drawn(bland_altman(BlandAltman(**SAID, pairs=pairs, bias=other, lower=0, upper=other)))
    bins = tuple(Bin(predicted=p, observed=other, lower=p, upper=other, n=1) for p in values)
    require_drawn(reliability(Reliability(**SAID, bins=bins)))
    rows = tuple(Row(name="r", n=1, value=one, lower=other, upper=one) for one in values)
    require_drawn(forest(Forest(**SAID, rows=rows, overall=other)))
    require_drawn(sparkline(Sparkline(title="t", values=tuple(values))))
    stages = tuple(Stage(name="s", begins=one, seconds=other) for one in values)
    require_drawn(timeline(Timeline(**SAID, stages=stages)))


@given(counts=st.lists(st.integers(0, 10**15), max_size=8), day=st.dates())
@settings(max_examples=30, deadline=None)
def test_any_counts_are_drawn(counts: list[int], day: date) -> None:
    days = (DayOfCounts(day=day, counts=tuple(counts)),)
    require_drawn(bars(Bars(**SAID, names=("a", "b"), days=days)))


if __name__ == "__main__":
    GALLERY.mkdir(exist_ok=True)
    for file, content in DRAWN.items():
        (GALLERY / f"{file}.svg").write_text(content + "\n", encoding="utf-8")
