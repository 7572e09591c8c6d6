"""One case: what it went through adds up, and what models and destinations said stands by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from case_rows import SKYRA, Row, a_certificate, write_rows
from ledgers import make_tables

from clic_edge.board import case as module
from clic_edge.board.case import case_certificate, case_detail
from clic_edge.domain.case import CaseState
from clic_edge.domain.result import Receipt, ResultKind, SeriesRefusal
from clic_edge.errors import ConfigError
from clic_edge.ledger import Ledger
from clic_edge.ledger.certificates import note_cleaned
from clic_edge.ledger.database import open_engine
from clic_edge.pipeline.process import STAGES

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NUMBERS = {
    "output.anterior.volume_mm3": 1234.5,
    "agreement.anterior.dice": 0.9,
    "input.noise": 3.0,
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = open_engine("sqlite://")
    make_tables(engine)
    told = Row(case_id="a1", model="hippocampus", scanner=SKYRA, numbers=NUMBERS, seconds=60)
    held = Row(case_id="q1", state=CaseState.QUARANTINED, code="result-gone", reason="It is gone.")
    write_rows(engine, [told, held, Row(case_id="r1", state=CaseState.RUNNING)])
    return engine


@pytest.fixture(scope="module")
def ledger(engine: Engine) -> Ledger:
    ledger = Ledger.on(engine)
    with engine.begin() as connection:
        note_cleaned(connection, a_certificate("a1"))
    for stage, seconds in (("write", 4.0), ("accept", 1.0), ("predict", 20.0)):
        ledger.records.time_stage("a1", stage, seconds)
    ledger.records.time_stage("r1", "accept", 1.0)
    taken = Receipt(destination="pacs", sop_instance_uid="2.25.a1", accepted=True, status="0x0000")
    ledger.deliveries.receive((taken,))
    gap = SeriesRefusal(series_id="one", image=2, code="missing-slices", reason="A gap.")
    elsewhere = SeriesRefusal(series_id="gone", code="no-slide", reason="Nothing.", withheld=True)
    for refusal in (gap, elsewhere):
        ledger.deliveries.refuse("q1", refusal, model_digest="d" * 64)
    return ledger


def test_stages_and_waiting_together_are_as_long_as_the_case(ledger: Ledger) -> None:
    detail = case_detail(ledger, "a1")
    stages = [(one.name, one.seconds) for one in detail.stages]
    assert stages == [("waiting", 35.0), ("accept", 1.0), ("predict", 20.0), ("write", 4.0)]
    assert sum(seconds for _, seconds in stages) == detail.line.seconds


def test_a_case_that_goes_on_has_no_length_yet(ledger: Ledger) -> None:
    detail = case_detail(ledger, "r1")
    assert (detail.line.seconds, [one.name for one in detail.stages]) == (None, ["accept"])


def test_the_stages_are_those_of_the_line() -> None:
    assert tuple(one.__name__ for one in STAGES) == module.STAGES


def test_a_model_stands_with_its_package_and_what_it_found(ledger: Ledger) -> None:
    (opinion,) = case_detail(ledger, "a1").opinions
    assert (opinion.model_id, opinion.model_digest, opinion.is_told) == (
        "hippocampus",
        "d" * 64,
        True,
    )
    found = {one.name: one.value for one in opinion.numbers}
    assert found == {"anterior.volume_mm3": 1234.5, "agreement.anterior.dice": 0.9}


def test_a_case_tells_how_its_series_were_cleaned_and_one_from_before_tells_nothing(
    ledger: Ledger,
) -> None:
    assert case_detail(ledger, "a1").cleaned == (a_certificate("a1"),)
    assert case_certificate(ledger, "q1").series == ()


def test_an_object_stands_with_the_answer_of_each_destination(ledger: Ledger) -> None:
    (sent,) = case_detail(ledger, "a1").objects
    assert (sent.kind, sent.sop_instance_uid) == (ResultKind.SEG, "2.25.a1")
    assert [(one.destination, one.status) for one in sent.receipts] == [("pacs", "0x0000")]


def test_a_refused_part_is_told_by_its_place_and_not_by_a_handle(ledger: Ledger) -> None:
    refused = case_detail(ledger, "q1").refused
    assert {(one.series, one.image, one.code, one.withheld) for one in refused} == {
        (1, 2, "missing-slices", False),
        (0, 0, "no-slide", True),
    }


def test_what_may_be_run_again_is_said(ledger: Ledger) -> None:
    assert case_detail(ledger, "q1").can_retry
    assert not case_detail(ledger, "a1").can_retry
    assert not case_detail(ledger, "r1").can_retry


@pytest.mark.parametrize("name", ["none", "", "../a1", "a1\0", "a" * 65, "<b>", "a1;"])
def test_a_name_that_is_none_of_a_case_is_no_case(ledger: Ledger, name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        case_detail(ledger, name)
    assert raised.value.code == "no-such-case"
