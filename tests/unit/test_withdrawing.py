"""Results that a person takes back: the note names them all, goes where it is taken, and once."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pydicom
import pytest
from analyses import analysis_of
from case_rows import Row, write_rows
from lines import Shelf, a_pipeline, ready

from clic_edge.board.case import case_detail
from clic_edge.deid.keys import DeidKey
from clic_edge.domain.case import CaseState
from clic_edge.domain.result import Receipt, ResultKind
from clic_edge.errors import ConfigError, Transient
from clic_edge.ledger import Ledger
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.metadata import metadata
from clic_edge.pipeline import intervening
from clic_edge.pipeline.line import Line, Patience, ReadyDestination
from clic_edge.pipeline.withdrawing import send_withdrawals
from clic_edge.results.seg import SegWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.study import Series
    from clic_edge.results.writer import Analysis

CASE = "a1"
WHY = {"person": "Ida Fysiker", "reason": "The wrong side\nwas outlined."}


@dataclass(kw_only=True)
class Drawer(Shelf):
    """An archive with one series, and what is kept beside it."""

    held: Series
    kept: dict[str, ResultObject] = field(default_factory=dict)

    def series(self, series_id: str) -> Series:
        """Return the one series."""
        del series_id
        return self.held

    def keep(self, results: Sequence[ResultObject]) -> None:
        """Put results beside it."""
        self.kept |= {one.sop_instance_uid: one for one in results}

    def result(self, sop_instance_uid: str, kind: ResultKind) -> ResultObject:  # type: ignore[override] # the shelf has none
        """Return what was kept."""
        return replace(self.kept[sop_instance_uid], kind=kind)


@dataclass(kw_only=True)
class Pacs:
    """A PACS that takes what comes, once it is up."""

    name: str
    is_up: bool = True
    got: list[ResultObject] = field(default_factory=list)

    def deliver(self, results: Sequence[ResultObject]) -> tuple[Receipt, ...]:
        """Take results, or be down."""
        if not self.is_up:
            raise Transient("destination-unreachable", "Nobody answers.")
        self.got += results
        return tuple(
            Receipt(
                destination=self.name,
                sop_instance_uid=one.sop_instance_uid,
                accepted=True,
                status="0x0000",
            )
            for one in results
        )


@dataclass(kw_only=True)
class Bench:
    """A line with a delivered case and two destinations, one of which takes notes."""

    line: Line
    pacs: Pacs
    plain: Pacs
    seg: ResultObject

    @property
    def ledger(self) -> Ledger:
        """The line's."""
        return self.line.ledger


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analysis_of()


@pytest.fixture
def bench(analysis: Analysis) -> Bench:
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    ledger = Ledger.on(engine)
    (seg,) = SegWriter().write(analysis, ())
    # Each with a model has a SEG that was written and never sent.
    rows = [Row(case_id=CASE, model="organs"), Row(case_id="m1", model="organs")]
    write_rows(engine, [*rows, Row(case_id="r1", state=CaseState.RUNNING)])
    ledger.deliveries.record(CASE, (seg,), told_of={seg.sop_instance_uid: f"p-{CASE}"})
    pacs, plain = Pacs(name="pacs"), Pacs(name="plain")
    for one in (pacs, plain):
        ledger.deliveries.receive(one.deliver([seg]))
    destinations = (
        _destination(pacs, {ResultKind.SEG, ResultKind.REJECTION}),
        _destination(plain, {ResultKind.SEG}),
    )
    archive = Drawer(held=analysis.series)
    archive.keep([seg])
    line = Line(
        archive=archive,
        ledger=ledger,
        key=DeidKey(b"k" * 32),
        pipelines=(replace(ready(a_pipeline()), destinations=destinations),),
        patience=Patience(first=timedelta(1), longest=timedelta(1), give_up_after=timedelta(1)),
    )
    return Bench(line=line, pacs=pacs, plain=plain, seg=seg)


def _destination(pacs: Pacs, takes: set[ResultKind]) -> ReadyDestination:
    return ReadyDestination(name=pacs.name, transport=pacs, takes=frozenset(takes))


def test_a_note_rejects_what_was_sent_and_goes_where_it_is_taken_once(bench: Bench) -> None:
    intervening.withdraw(bench.ledger, CASE, **WHY)
    for _ in range(2):
        send_withdrawals(bench.line)
    (_, note) = bench.pacs.got
    assert len(bench.plain.got) == 1
    ds = pydicom.dcmread(io.BytesIO(note.content))
    assert (ds.Modality, ds.ConceptNameCodeSequence[0].CodeValue) == ("KO", "113001")
    named = [
        str(item.ReferencedSOPInstanceUID)
        for series in ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert named == [bench.seg.sop_instance_uid]
    source = pydicom.dcmread(io.BytesIO(bench.seg.content))
    assert (ds.PatientID, ds.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)


def test_the_case_says_who_withdrew_it_why_and_who_does_not_know(bench: Bench) -> None:
    length = case_detail(bench.ledger, CASE).line.seconds
    intervening.withdraw(bench.ledger, CASE, **WHY)
    detail = case_detail(bench.ledger, CASE)
    assert (detail.line.state, detail.line.seconds) == (CaseState.WITHDRAWN, length)
    assert detail.withdrawal
    assert (detail.withdrawal.told_at, detail.withdrawal.untold) == (None, ("pacs", "plain"))
    assert (detail.withdrawal.person, detail.withdrawal.reason) == (
        "Ida Fysiker",
        "The wrong side was outlined.",
    )
    send_withdrawals(bench.line)
    told = case_detail(bench.ledger, CASE).withdrawal
    assert told
    assert told.told_at
    assert told.untold == ("plain",)
    actions = [(one.action, one.person) for one in case_detail(bench.ledger, CASE).history]
    assert actions == [("withdrawn", "Ida Fysiker"), ("withdrawal-told", "")]


def test_a_pacs_that_is_down_is_told_when_it_is_back_by_the_same_note(bench: Bench) -> None:
    intervening.withdraw(bench.ledger, CASE, **WHY)
    bench.pacs.is_up = False
    for _ in range(2):
        send_withdrawals(bench.line)
    waiting = bench.ledger.withdrawals.of_case(CASE)
    assert waiting
    assert (waiting.told_at, waiting.hindrance) == (None, "destination-unreachable")
    bench.pacs.is_up = True
    send_withdrawals(bench.line)
    notes = [
        row for row in bench.ledger.deliveries.results(CASE) if row.kind is ResultKind.REJECTION
    ]
    assert [one.sop_instance_uid for one in bench.pacs.got[1:]] == [notes[0].sop_instance_uid]
    assert bench.ledger.withdrawals.untold() == ()


def test_where_nobody_takes_notes_a_person_is_told_to_remove_the_objects(bench: Bench) -> None:
    (pipeline,) = bench.line.pipelines
    deaf = replace(pipeline, destinations=pipeline.destinations[1:])
    intervening.withdraw(bench.ledger, CASE, **WHY)
    send_withdrawals(replace(bench.line, pipelines=(deaf,)))
    withdrawal = case_detail(bench.ledger, CASE).withdrawal
    assert withdrawal
    assert (withdrawal.hindrance, withdrawal.told_at) == ("no-rejection-notes", None)


@pytest.mark.parametrize("case_id", ["r1", "m1"])
def test_what_nobody_holds_can_not_be_withdrawn(bench: Bench, case_id: str) -> None:
    assert not case_detail(bench.ledger, case_id).can_withdraw
    with pytest.raises(ConfigError, match="case-not-withdrawable"):
        intervening.withdraw(bench.ledger, case_id, **WHY)


def test_a_case_is_withdrawn_once_and_runs_no_more(bench: Bench) -> None:
    intervening.withdraw(bench.ledger, CASE, **WHY)
    detail = case_detail(bench.ledger, CASE)
    assert (detail.can_withdraw, detail.can_retry) == (False, False)
    with pytest.raises(ConfigError, match="case-not-withdrawable"):
        intervening.withdraw(bench.ledger, CASE, **WHY)
    with pytest.raises(ConfigError, match="case-not-retryable"):
        intervening.retry(bench.ledger, CASE, **WHY)


def test_nothing_is_withdrawn_without_a_reason(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="reason-missing"):
        intervening.withdraw(bench.ledger, CASE, person="Ida", reason=" ")
    assert bench.ledger.cases.case(CASE).state is CaseState.DELIVERED


def test_other_images_make_a_new_case_and_the_withdrawn_one_stays_withdrawn(bench: Bench) -> None:
    intervening.withdraw(bench.ledger, CASE, **WHY)
    study_id = bench.ledger.cases.case(CASE).study_id
    bench.ledger.cases.admit(
        Admission(case_id="b1", study_id=study_id, pipeline="brain", series_ids=("one", "two"))
    )
    assert bench.ledger.cases.case(CASE).state is CaseState.WITHDRAWN
    assert bench.ledger.cases.is_superseded(CASE)
    assert bench.ledger.cases.case("b1").state is CaseState.RECEIVED
