"""What constancy remembers, on SQLite and on PostgreSQL: sealed, run once at a time, cleared."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from observed import BEGIN, log, observations

from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import (
    Announced,
    Compared,
    Component,
    KeptReport,
    Measured,
    Outcome,
    Outline,
    Record,
    ReportFiles,
    Run,
    Verdict,
    clinical_name,
    constancy_pipeline,
    is_constancy,
)
from clic_edge.domain.notice import NoticeKind, Urgency
from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.ledger import Ledger
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.constancy import SILENT_AFTER
from clic_edge.ledger.notices import ChannelRule
from clic_edge.ledger.schema import audit_events, cases, constancy_records, predictions

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NIGHT = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)
RECORD = Record(
    protocol="hippocampus",
    version=1,
    protocol_digest="p" * 64,
    pipeline="hippocampus",
    model_id="hippocampus",
    model_version="1.0.0",
    model_digest="d" * 64,
    at=NIGHT - DAY,
    person="A. Jensen",
    device="cpu",
    environment=(Component(name="onnxruntime", value="1.20.0"),),
    outcomes=(
        Outcome(
            case="phantom",
            state="delivered",
            code="",
            objects=("SEG", "SR"),
            measured=(Measured(name="Anterior Volume", value=1.25, unit="mm3"),),
            outlines=(
                Outline(name="Anterior", size=(2, 2), places=("0",), digest="v", packed="x"),
            ),
            device="cpu",
            seconds=1.5,
        ),
    ),
)
RUN = Run(
    run_id="r1",
    protocol="hippocampus",
    version=1,
    pipeline="hippocampus",
    model_id="hippocampus",
    model_version="1.0.0",
    model_digest="d" * 64,
    record_id=RECORD.record_id,
    started_at=NIGHT,
    started_by="schedule",
    environment=RECORD.environment,
)
VOLUME = Compared(
    case="phantom",
    quantity="Anterior Volume",
    unit="mm3",
    value=1.5,
    expected=1.25,
    tolerance=0.0,
    passed=False,
)


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """Return a ledger with a commissioning record."""
    found = Ledger.on(engine)
    found.constancy.seal(RECORD)
    return found


def finished(ledger: Ledger, run: Run, verdict: Verdict, *results: Compared) -> None:
    ledger.constancy.begin(run)
    at = run.started_at + timedelta(minutes=1)
    ledger.constancy.finish(run.run_id, verdict, at=at, results=results, reason="why")


def test_a_record_is_sealed_once_and_comes_back_whole(ledger: Ledger, engine: Engine) -> None:
    ledger.constancy.seal(RECORD)

    assert ledger.constancy.records(protocol="hippocampus") == (RECORD,)
    with engine.connect() as connection:
        details = list(connection.scalars(sa.select(audit_events.c.detail)))
    assert [RECORD.digest in one for one in details] == [True]


def test_a_record_that_was_changed_is_not_believed(ledger: Ledger, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(constancy_records.update().values(content=RECORD.content + b" "))

    with pytest.raises(Defect, match=r"record-changed"):
        ledger.constancy.records()


def test_one_run_is_under_way_at_a_time_and_a_dead_one_is_found(ledger: Ledger) -> None:
    ledger.constancy.begin(RUN)
    with pytest.raises(Transient, match=r"constancy-running"):
        ledger.constancy.begin(replace(RUN, run_id="r2"))
    ledger.constancy.alive("r1", NIGHT + timedelta(minutes=1))
    assert not ledger.constancy.silent(NIGHT + SILENT_AFTER)

    (dead,) = ledger.constancy.silent(NIGHT + SILENT_AFTER + timedelta(minutes=2))
    ledger.constancy.finish(dead.run_id, Verdict.INCOMPLETE, at=NIGHT + timedelta(minutes=9))

    assert ledger.constancy.last("hippocampus") == replace(
        RUN, verdict=Verdict.INCOMPLETE, ended_at=NIGHT + timedelta(minutes=9)
    )
    ledger.constancy.begin(replace(RUN, run_id="r2"))


def test_a_run_that_failed_or_did_not_end_is_told_once(ledger: Ledger) -> None:
    for number, verdict in enumerate((Verdict.PASSED, Verdict.FAILED, Verdict.INCOMPLETE)):
        finished(ledger, replace(RUN, run_id=f"n{number}"), verdict)
        ledger.constancy.finish(f"n{number}", Verdict.FAILED, at=NIGHT + DAY)

    rule = ChannelRule(name="email", at_least=Urgency.INFO, pause=timedelta())
    told = [one.notice for one in ledger.notices.take(rule, now=NIGHT + DAY)]
    assert sorted((one.kind, one.key, one.urgency) for one in told) == [
        (NoticeKind.CONSTANCY_FAILED, "n1", Urgency.ERROR),
        (NoticeKind.CONSTANCY_MISSED, "n2", Urgency.WARNING),
    ]
    assert {one.about for one in told} == {f"{RUN.model_id} {RUN.model_version} ({RUN.pipeline})"}


def test_a_run_that_ended_stays_as_it_ended(ledger: Ledger) -> None:
    finished(ledger, RUN, Verdict.FAILED, VOLUME)

    ledger.constancy.finish("r1", Verdict.PASSED, at=NIGHT + DAY)

    assert ledger.constancy.last("hippocampus") == replace(
        RUN, verdict=Verdict.FAILED, ended_at=NIGHT + timedelta(minutes=1), reason="why"
    )
    assert ledger.constancy.results("r1") == (VOLUME,)


def test_a_calendar_shows_the_worst_of_each_day_and_a_trend_every_run(ledger: Ledger) -> None:
    good = replace(VOLUME, value=1.25, passed=True)
    finished(ledger, RUN, Verdict.PASSED, good)
    finished(
        ledger, replace(RUN, run_id="r2", started_at=NIGHT + DAY / 4), Verdict.FAILED, VOLUME, good
    )
    finished(ledger, replace(RUN, run_id="r3", started_at=NIGHT + DAY), Verdict.PASSED, good)

    days = ledger.constancy.calendar("hippocampus", first=date(2026, 3, 1), last=date(2026, 3, 3))
    assert [(one.day.day, one.verdict, one.runs) for one in days] == [
        (2, Verdict.FAILED, ("r1", "r2")),
        (3, Verdict.PASSED, ("r3",)),
    ]
    assert ledger.constancy.quantities("hippocampus") == (("phantom", "Anterior Volume", "mm3"),)
    points = ledger.constancy.trend(
        "hippocampus", case="phantom", quantity="Anterior Volume", since=NIGHT + DAY / 5
    )
    assert [(one.run_id, one.value) for one in points] == [("r2", 1.5), ("r2", 1.25), ("r3", 1.25)]


def test_what_a_constancy_case_left_is_cleared_and_a_patients_stays(
    ledger: Ledger, engine: Engine
) -> None:
    log(engine, observations(3))  # of patients
    ledger.constancy.begin(RUN)
    name = constancy_pipeline("hippocampus", "d" * 64)
    study = Announced(study_id="s1", run_id="r1", case="phantom", pipeline=name, at=NIGHT)
    ledger.constancy.announce(study)
    admission = Admission(case_id="q", study_id="s1", pipeline=name, series_ids=("x",))
    case = ledger.cases.admit(admission)

    assert ledger.constancy.announced("s1") == (study,)
    assert not ledger.constancy.clear("s1"), "its case has not ended"
    ledger.cases.close(case, CaseState.REFUSED)
    assert ledger.constancy.clear("s1")
    assert not ledger.constancy.announced()
    with engine.connect() as connection:
        kept = set(connection.scalars(sa.select(cases.c.pipeline)))
        assert connection.scalar(sa.select(sa.func.count()).select_from(predictions)) == 3
    assert kept
    assert not any(is_constancy(one) for one in kept)


def test_only_what_was_announced_is_ever_cleared(ledger: Ledger, engine: Engine) -> None:
    log(engine, observations(1))
    with engine.connect() as connection:
        (study_id,) = connection.scalars(sa.select(cases.c.study_id))

    assert ledger.constancy.clear(study_id)

    assert ledger.cases.of_study(study_id)


def test_no_clinical_pipeline_can_be_called_as_a_constancy_one() -> None:
    name = constancy_pipeline("hippocampus", "d" * 64)

    assert is_constancy(name)
    assert not is_constancy("hippocampus")
    assert clinical_name(name) == ("hippocampus", "d" * 12)


def test_what_is_predicted_of_a_phantom_enters_no_chart(ledger: Ledger, engine: Engine) -> None:
    log(engine, observations(2))
    ((_, _, digest),) = ledger.observations.models()
    until = BEGIN + 300 * DAY
    assert ledger.observations.of_model(digest, after=None, until=until)
    with engine.begin() as connection:
        connection.execute(cases.update().values(pipeline=constancy_pipeline("x", digest)))

    assert not ledger.observations.of_model(digest, after=None, until=until)
    assert not ledger.features.table(digest, after=None, until=until).at
    assert ledger.days.roll(digest, until=until.date())
    assert not ledger.days.of_feature(digest, "input.noise", since=BEGIN.date())


def test_a_report_is_kept_with_its_files(ledger: Ledger) -> None:
    report = KeptReport(
        report_id="a1",
        at=NIGHT,
        pipeline="hippocampus",
        model_id="hippocampus",
        version="1.0.0",
        digest="d" * 64,
        person="A. Jensen",
        accepted=True,
    )
    files = ReportFiles(json="{}", pdf=b"%PDF")

    ledger.constancy.keep_report(report, files)

    assert ledger.constancy.reports("hippocampus") == (report,)
    assert ledger.constancy.report("a1") == files
    assert "A. Jensen" in ledger.audit.choices()[0]
    with pytest.raises(ConfigError, match=r"no-such-report"):
        ledger.constancy.report("a2")
