"""What each kind of error does to a case, and that no stage runs after the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from factories import CANARY
from lines import STUDY_ID, Shelf, a_line, a_pipeline, a_study
from sqlalchemy.exc import OperationalError

from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError, Defect, Refusal, Transient
from clic_edge.ledger.schema import cases
from clic_edge.pipeline import process as process_module
from clic_edge.pipeline.intake import intake
from clic_edge.pipeline.process import directly, process, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from clic_edge.domain.case import Case
    from clic_edge.pipeline.line import Line


@pytest.fixture
def line() -> Line:
    return a_line(a_pipeline(), shelf=Shelf(studies={STUDY_ID: a_study()}))


@pytest.fixture
def case(line: Line) -> Case:
    (case,) = intake(STUDY_ID, line.rules, archive=line.archive, ledger=line.ledger)
    return case


def _raising(error: Exception) -> Callable[[Line, Case], None]:
    def stage(_line: Line, _case: Case) -> None:
        raise error

    return stage


def _age(line: Line, age: timedelta) -> None:
    with line.ledger.cases._engine.begin() as connection:
        connection.execute(cases.update().values(received_at=datetime.now(UTC) - age))


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Refusal("not-ours", "It is not ours."), CaseState.REFUSED),
        (Defect("broken", "It is broken."), CaseState.QUARANTINED),
        (ConfigError("wrong", "A file is missing."), CaseState.QUARANTINED),
        (Transient("away", "It is away."), CaseState.WAITING),
    ],
)
def test_an_error_decides_by_its_kind_what_becomes_of_the_case(
    line: Line, case: Case, error: Refusal | Defect | ConfigError | Transient, state: CaseState
) -> None:
    assert settle(_raising(error), case.case_id, 0, line=line) == state
    after = line.ledger.cases.case(case.case_id)
    assert (after.state, after.code, after.reason) == (state, error.code, error.sentence)
    assert line.ledger.records.audit(case.case_id)[-1].detail == error.sentence


def test_an_error_that_nobody_foresaw_is_quarantined_by_type_and_place_without_its_text(
    line: Line, case: Case
) -> None:
    error = ValueError(f"no such patient: {CANARY.name}")
    assert settle(_raising(error), case.case_id, 0, line=line) == CaseState.QUARANTINED
    after = line.ledger.cases.case(case.case_id)
    assert after.code == "unexpected-error"
    assert "ValueError at " in after.reason
    assert "test_process.py:" in after.reason
    assert "patient" not in after.reason


def test_a_database_that_ends_a_connection_is_tried_again(line: Line, case: Case) -> None:
    error = OperationalError("select", {}, ConnectionError())
    assert settle(_raising(error), case.case_id, 0, line=line) == CaseState.WAITING
    assert line.ledger.cases.case(case.case_id).code == "database-away"


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 10), (1, 20), (3, 80), (4, 120), (4000, 120)])
def test_waits_double_up_to_the_longest(
    line: Line, case: Case, attempt: int, seconds: float
) -> None:
    with line.ledger.cases._engine.begin() as connection:
        connection.execute(cases.update().values(attempt=attempt))
    settle(_raising(Transient("away", "It is away.")), case.case_id, attempt, line=line)
    after = line.ledger.cases.case(case.case_id)
    assert after.attempt == attempt + 1
    assert after.next_attempt_at is not None
    assert after.next_attempt_at - after.updated_at == timedelta(seconds=seconds)


def test_what_has_ended_meanwhile_does_not_wait(line: Line, case: Case) -> None:
    def end(_line: Line, case: Case) -> None:
        line.ledger.cases.close(case, CaseState.DELIVERED)
        line.require_held(case)

    assert settle(end, case.case_id, 0, line=line) == CaseState.DELIVERED
    assert line.ledger.cases.case(case.case_id).attempt == 0


def test_who_says_when_to_come_again_is_believed(line: Line, case: Case) -> None:
    error = Transient("growing", "It grows.", retry_after=timedelta(seconds=3))
    settle(_raising(error), case.case_id, 0, line=line)
    after = line.ledger.cases.case(case.case_id)
    assert after.next_attempt_at is not None
    assert after.next_attempt_at - after.updated_at == timedelta(seconds=3)


def test_after_days_of_waiting_a_person_is_asked(line: Line, case: Case) -> None:
    _age(line, timedelta(days=1, seconds=1))
    error = Transient("away", "It is away.")
    assert settle(_raising(error), case.case_id, 0, line=line) == CaseState.QUARANTINED
    assert line.ledger.cases.case(case.case_id).code == "away"


def test_an_attempt_that_is_over_does_nothing(line: Line, case: Case) -> None:
    settle(_raising(Transient("away", "It is away.")), case.case_id, 0, line=line)

    def never(_line: Line, _case: Case) -> None:
        pytest.fail("attempt 0 is over")

    assert settle(never, case.case_id, 0, line=line) == CaseState.WAITING
    settle(_raising(Defect("broken", "It is broken.")), case.case_id, 1, line=line)
    assert settle(never, case.case_id, 1, line=line) == CaseState.QUARANTINED


def test_a_stage_that_ends_well_is_timed_and_leaves_the_case_running(
    line: Line, case: Case
) -> None:
    def stage(_line: Line, given: Case) -> None:
        assert given.state is CaseState.RUNNING
        assert given.started_at is not None

    assert settle(stage, case.case_id, 0, line=line) == CaseState.RUNNING
    ((name, seconds),) = line.ledger.records.stages(case.case_id)
    assert name == "stage"
    assert seconds >= 0


def test_the_start_of_a_case_is_that_of_its_first_attempt(line: Line, case: Case) -> None:
    starts = []
    for attempt in range(2):
        settle(_raising(Transient("away", "It is away.")), case.case_id, attempt, line=line)
        starts.append(line.ledger.cases.case(case.case_id).started_at)
    assert starts[0] is not None
    assert starts[0] == starts[1]


def test_the_line_stops_at_the_first_stage_that_ends_the_case(
    line: Line, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def good(_line: Line, _case: Case) -> None:
        ran.append("good")

    def bad(_line: Line, _case: Case) -> None:
        ran.append("bad")
        raise Refusal("not-ours", "It is not ours.")

    monkeypatch.setattr(process_module, "STAGES", (good, bad, good))
    assert process(case.case_id, 0, line=line, step=directly) is CaseState.REFUSED
    assert ran == ["good", "bad"]


def test_a_pipeline_that_is_not_configured_any_more_is_a_defect(line: Line, case: Case) -> None:
    with line.ledger.cases._engine.begin() as connection:
        connection.execute(sa.update(cases).values(pipeline="renamed"))
    assert process(case.case_id, 0, line=line, step=directly) is CaseState.QUARANTINED
    assert line.ledger.cases.case(case.case_id).code == "pipeline-gone"


def test_a_case_whose_series_is_gone_is_refused(line: Line, case: Case) -> None:
    assert isinstance(line.archive, Shelf)
    line.archive.studies.clear()
    assert process(case.case_id, 0, line=line, step=directly) is CaseState.REFUSED
    assert line.ledger.cases.case(case.case_id).code == "study-gone"
