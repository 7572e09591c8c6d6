"""The chart of the last hours: every state is in it, and each bar leads to its cases."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from html import unescape
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import pytest
from case_rows import Row, write_rows

from clic_edge.board.cases import case_page
from clic_edge.board.overview import Surroundings, overview
from clic_edge.domain.case import CaseState
from clic_edge.drawing.hours import HourlyBars, HourOfCounts, hourly_bars
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.metadata import metadata
from clic_edge.web.asking import asked
from clic_edge.web.hours import GROUPS, hours_chart
from clic_edge.web.words import Language

ROOMY = Surroundings(archive_answers=True, free_bytes=50, total_bytes=100)
NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


def test_every_state_is_in_the_chart_once() -> None:
    assert Counter(one for states in GROUPS.values() for one in states) == Counter(CaseState)


@pytest.mark.parametrize("language", get_args(Language))
def test_a_bar_leads_to_the_cases_of_its_hour(language: Language) -> None:
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    hours = {"a1": 12, "a2": 12, "b1": 3}
    rows = [
        Row(case_id=name, received_at=NOW.replace(hour=hour, minute=5))
        for name, hour in hours.items()
    ]
    write_rows(engine, rows)
    ledger = Ledger.on(engine)
    chart = hours_chart(overview(ledger, ROOMY, NOW), language)
    links = [unescape(one) for one in re.findall(r'href="([^"]+)"', chart)]
    wanted = [asked(parse_qs(urlsplit(one).query)) for one in links]
    found = [
        {line.case_id for line in case_page(ledger, one.wanted).cases} for one in wanted if one
    ]
    assert found == [{"b1"}, {"a1", "a2"}]


@pytest.mark.parametrize("count", [0, 1, 24, 200])
def test_a_chart_of_any_number_of_hours_is_drawn_and_its_words_are_escaped(count: int) -> None:
    hour = HourOfCounts(name="<b>", counts=(1, 0), tip="<i>", href="/cases")
    drawn = HourlyBars(title="<t>", message="m", names=("a", "b"), hours=(hour,) * count)
    svg = hourly_bars(drawn)
    assert svg.count("<rect") >= count
    assert not re.search("<[tbi]>", svg)


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7])
def test_the_axis_of_counts_names_no_part_of_a_case(most: int) -> None:
    hour = HourOfCounts(name="13:00", counts=(most,))
    svg = hourly_bars(HourlyBars(title="t", message="m", names=("a",), hours=(hour,)))
    assert not re.search(r">\d+[.,]\d", svg)
