"""The list of cases: what is looked for is found, page by page, and by an index."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from case_rows import NOON, SKYRA, Row, write_rows
from ledgers import make_tables
from plans import plan_of

from clic_edge.board.cases import CURSOR, case_page, case_sample
from clic_edge.domain.case import CaseState
from clic_edge.ledger import Ledger, search
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.search import Place, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

ANY = Wanted()
ROWS = (
    Row(case_id="a1", model="hippocampus", scanner=SKYRA, subject="CE-ONE"),
    Row(case_id="a2", received_at=NOON + timedelta(hours=1), model="liver", subject="CE-TWO"),
    Row(
        case_id="b1",
        state=CaseState.REFUSED,
        received_at=NOON + timedelta(days=1),
        code="missing-slices",
        reason="There is a gap of 3 mm.",
    ),
    Row(case_id="b2", state=CaseState.RUNNING, received_at=NOON, pipeline="lung"),
)


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = open_engine("sqlite://")
    make_tables(engine)
    write_rows(engine, ROWS)
    return engine


@pytest.fixture(scope="module")
def ledger(engine: Engine) -> Ledger:
    return Ledger.on(engine)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ANY, ["b1", "a2", "b2", "a1"]),
        (Wanted(states=(CaseState.REFUSED,)), ["b1"]),
        (Wanted(states=(CaseState.REFUSED, CaseState.RUNNING)), ["b1", "b2"]),
        (Wanted(pipeline="lung"), ["b2"]),
        (Wanted(model="liver"), ["a2"]),
        (Wanted(manufacturer="SIEMENS", scanner="Skyra", software="E11"), ["a1"]),
        (Wanted(manufacturer="SIEMENS", software="E12"), []),
        (Wanted(code="missing-slices"), ["b1"]),
        (Wanted(since=NOON + timedelta(hours=1)), ["b1", "a2"]),
        (Wanted(until=NOON + timedelta(hours=1)), ["b2", "a1"]),
        (Wanted(text="b"), ["b1", "b2"]),
        (Wanted(text="CE-TWO"), ["a2"]),
        (Wanted(text="%"), []),
        (Wanted(text="'; DROP TABLE cases"), []),
    ],
)
def test_what_is_looked_for_is_found(ledger: Ledger, wanted: Wanted, found: list[str]) -> None:
    page = case_page(ledger, wanted)
    assert [one.case_id for one in page.cases] == found
    assert (page.count, page.counted_all, page.after) == (len(found), True, None)


def test_a_line_tells_of_the_model_the_time_and_the_reason(ledger: Ledger) -> None:
    refused, _, running, delivered = case_page(ledger, ANY).cases
    assert delivered.models == ("hippocampus 1.0",)
    assert (delivered.seconds, running.seconds) == (60.0, None)
    assert (refused.code, refused.reason) == ("missing-slices", "There is a gap of 3 mm.")


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_pages_together_hold_every_case_once_though_many_came_in_one_moment(limit: int) -> None:
    engine = open_engine("sqlite://")
    make_tables(engine)
    write_rows(engine, [replace(ROWS[0], case_id=f"{n:02}", model="") for n in range(7)])

    def pages() -> Iterator[str]:
        after = None
        while True:
            page = case_page(Ledger.on(engine), ANY, limit=limit, after=after)
            assert len(page.cases) <= limit
            yield from (one.case_id for one in page.cases)
            after = page.after
            if after is None:
                return
            assert re.fullmatch(CURSOR, after)

    assert list(pages()) == [f"{n:02}" for n in reversed(range(7))]


def test_a_sample_is_drawn_again_by_its_seed(ledger: Ledger) -> None:
    first, again = (case_sample(ledger, ANY, size=2, seed=5) for _ in range(2))
    assert first == again
    assert (len(first.cases), first.count) == (2, 4)
    drawn = {
        tuple(one.case_id for one in case_sample(ledger, ANY, size=2, seed=seed).cases)
        for seed in range(20)
    }
    assert len(drawn) > 1


def test_a_sample_of_more_than_there_is_is_all_of_it(ledger: Ledger) -> None:
    assert len(case_sample(ledger, ANY, size=100, seed=1).cases) == 4


def test_what_there_is_to_choose_from_comes_from_the_newest_cases(ledger: Ledger) -> None:
    choices = ledger.search.choices()
    assert choices.pipelines == ("brain", "lung")
    assert choices.models == ("hippocampus", "liver")
    assert choices.codes == ("missing-slices",)
    assert (choices.manufacturers, choices.scanners) == (("SIEMENS",), ("Skyra",))


def plan(engine: Engine, wanted: Wanted) -> list[str]:
    after = Place(received_at=NOON, case_id="x")
    return plan_of(engine, lambda: Ledger.on(engine).search.page(wanted, limit=50, after=after))


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (ANY, "ix_cases_received_at"),
        (Wanted(states=(CaseState.QUARANTINED,)), "ix_cases_state_received_at"),
        (Wanted(code="missing-slices"), "ix_cases_code_received_at"),
        (Wanted(since=NOON, until=NOON + timedelta(days=1)), "ix_cases_received_at"),
    ],
)
def test_a_page_is_read_from_an_index_in_its_order(
    engine: Engine, wanted: Wanted, index: str
) -> None:
    search, *rest = plan(engine, wanted)
    assert index in search
    # Cases of one microsecond are put in order; the rest comes in the index's.
    assert not any("FOR ORDER BY" in one for one in rest), rest


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted(model="liver"), "ix_predictions_model_id"),
        (Wanted(scanner="Skyra"), "ix_predictions_model_name"),
        (Wanted(text="CE-ONE"), "ix_predictions_subject_id"),
    ],
)
@pytest.mark.parametrize("rare", [0, 5000])
def test_no_page_goes_through_every_prediction(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    wanted: Wanted,
    index: str,
    rare: int,
) -> None:
    monkeypatch.setattr(search, "_RARE", rare)
    steps = plan(engine, wanted)
    assert any(index in one for one in steps), steps
    assert not any(one.startswith("SCAN") for one in steps), steps


def test_a_common_scanner_is_found_as_a_rare_one_is(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted(manufacturer="SIEMENS", model="hippocampus")
    rare = case_page(ledger, wanted)
    monkeypatch.setattr(search, "_RARE", 0)
    assert case_page(ledger, wanted) == rare
    assert rare.count == 1
