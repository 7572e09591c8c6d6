"""Readers are told of alarms on a model: while it still speaks, and once a stop rule has ended that."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pydicom
import pytest
from analyses import analysis_of
from benches import PERSON, Bench, make_bench
from sites import texts_of

from clic_edge.domain.case import CaseState
from clic_edge.domain.monitoring import (
    EVERY,
    Acknowledgement,
    Alarm,
    Channel,
    Direction,
    Response,
    Severity,
)
from clic_edge.domain.standing import ModelState
from clic_edge.drift.stop import Demand
from clic_edge.errors import Defect
from clic_edge.pipeline.monitoring import obey
from clic_edge.pipeline.process import settle
from clic_edge.pipeline.stages import accept, predict
from clic_edge.pipeline.telling import write
from clic_edge.results.check_summary import check_told
from clic_edge.results.report_pdf import PdfWriter
from clic_edge.results.summary import write_summary
from clic_edge.results.wording import alarm_line
from clic_edge.results.writer import SeriesStory, Story

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.domain.case import Case
    from clic_edge.pipeline.line import Line

SINCE = datetime(2026, 11, 3, 9, tzinfo=UTC)
TOLD = alarm_line(SINCE, "en")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bench(tmp_path_factory.mktemp("bench")).folder


@pytest.fixture
def bench(made: Path, tmp_path: Path) -> Bench:
    found = Bench(folder=shutil.copytree(made, tmp_path / "bench"))
    found.line().pipeline("brain")  # its models enter the history
    return found


def ring(bench: Bench, *, severity: Severity = Severity.ACTION) -> Alarm:
    """Open an alarm on the active model."""
    place = bench.placement("first")
    alarm = Alarm(
        alarm_id="a1",
        model_id=place.model_id,
        model_digest=place.digest,
        reference_id=None,
        stratum=EVERY,
        chart="input.noise",
        direction=Direction.UP,
        channel=Channel.IMAGE,
        severity=severity,
        opened_at=SINCE,
        sentence="Noise moved.",
    )
    bench.ledger.monitoring.open([alarm])
    return alarm


def answer(bench: Bench) -> None:
    word = Acknowledgement(alarm_id="a1", at=SINCE, person=PERSON, reason="A new coil.")
    bench.ledger.monitoring.acknowledge(word)


def demanded(alarm: Alarm, response: Response) -> Demand:
    return Demand(
        model_id=alarm.model_id, model_digest=alarm.model_digest, response=response, alarms=(alarm,)
    )


def says_so(bench: Bench) -> bool:
    return any(TOLD in one for one in bench.delivered())


def predicted(bench: Bench, line: Line) -> Case:
    case = bench.admit(1)
    for stage in (accept, predict):
        assert settle(stage, case.case_id, 0, line=line) == CaseState.RUNNING
    return case


def written(bench: Bench, case: Case, line: Line) -> dict[str, str]:
    """Return names and digests of what the stage writes, as if nothing had been recorded before."""
    bench.ledger.deliveries.set_aside(case.case_id)
    assert settle(write, case.case_id, 0, line=line) == CaseState.RUNNING
    rows = bench.ledger.deliveries.results(case.case_id)
    return {row.sop_instance_uid: row.digest for row in rows}


@pytest.mark.slow
def test_a_warning_is_told_in_the_next_result_until_somebody_answers(bench: Bench) -> None:
    ring(bench)
    assert bench.run(1).state is CaseState.DELIVERED
    assert says_so(bench)
    shutil.rmtree(bench.folder / "pacs")
    answer(bench)
    assert bench.run(2).state is CaseState.DELIVERED
    assert not says_so(bench)


@pytest.mark.parametrize("severity", [Severity.ADVISORY, Severity.WARNING])
def test_what_is_not_confirmed_is_not_told(bench: Bench, severity: Severity) -> None:
    alarm = ring(bench, severity=severity)
    case = bench.admit(1)
    told = bench.ledger.alarms.told(case.case_id, model_digest=alarm.model_digest, answered_at=None)
    assert told is None


@pytest.mark.slow
def test_results_written_again_say_of_an_alarm_what_they_said_first(bench: Bench) -> None:
    ring(bench)
    line = bench.line()
    case = predicted(bench, line)
    first = written(bench, case, line)
    answer(bench)
    assert written(bench, case, line) == first
    assert bench.go_on(case, line).state is CaseState.DELIVERED
    assert says_so(bench)


@pytest.mark.slow
def test_an_alarm_that_opens_between_two_writings_is_for_the_next_case(bench: Bench) -> None:
    line = bench.line()
    case = predicted(bench, line)
    first = written(bench, case, line)
    ring(bench)
    assert written(bench, case, line) == first
    assert bench.go_on(case, line).state is CaseState.DELIVERED
    assert not says_so(bench)


@pytest.mark.slow
def test_who_made_the_model_active_again_has_answered(bench: Bench) -> None:
    alarm = ring(bench)
    obey(bench.ledger, demanded(alarm, Response.SUSPEND))
    bench.ledger.standing.move(
        bench.placement("first"), ModelState.ACTIVE, person=PERSON, reason="Mended.", evidence="{}"
    )
    assert bench.run(1).state is CaseState.DELIVERED
    assert not says_so(bench)


@pytest.mark.slow
def test_readers_are_told_that_a_stop_rule_put_the_model_into_the_shadow(bench: Bench) -> None:
    alarm = ring(bench)
    obey(bench.ledger, demanded(alarm, Response.SHADOW))
    case = bench.run(1)
    assert (case.state, case.code) == (CaseState.REFUSED, "model-taken-out")
    (root,) = bench.delivered()
    today = bench.ledger.standing.history()[-1].at
    assert f"A stop rule took the model out of use on {today:%Y-%m-%d}: The monitor's" in root
    rows = bench.ledger.predictions.rows(case.received_at)
    assert sorted(row.model_id for row in rows) == ["first", "second"], "both go on in the shadow"
    seen = bench.ledger.observations.of_model(
        alarm.model_digest, after=None, until=datetime.now(UTC) + timedelta(hours=1)
    )
    rates = [one.number for o in seen for one in o.features if one.name == "rate.refused"]
    assert rates == [0], "what the site refuses is no word of the model's"


@pytest.mark.slow
def test_a_case_of_that_time_runs_again_once_the_model_is_back(bench: Bench) -> None:
    obey(bench.ledger, demanded(ring(bench), Response.SHADOW))
    case = bench.run(1)
    bench.ledger.standing.move(
        bench.placement("first"), ModelState.ACTIVE, person=PERSON, reason="Mended.", evidence="{}"
    )
    again = bench.go_on(bench.ledger.cases.retry(case.case_id))
    assert again.state is CaseState.DELIVERED


@pytest.mark.slow
def test_a_person_who_ends_the_next_models_turn_has_the_last_word(bench: Bench) -> None:
    obey(bench.ledger, demanded(ring(bench), Response.SHADOW))
    second = bench.placement("second")
    for to in (ModelState.ACTIVE, ModelState.SHADOW):
        bench.ledger.standing.move(second, to, person=PERSON, reason="Tried.", evidence="{}")
    case = bench.run(1)
    assert (case.state, case.code) == (CaseState.REFUSED, "model-in-shadow")
    assert bench.delivered() == []


@pytest.fixture(scope="module")
def story() -> Story:
    analysis = analysis_of()
    return Story(
        case_id=analysis.case_id,
        started_at=analysis.started_at,
        series=analysis.series,
        pipeline_title="Organs",
        model=analysis.model,
        parts=(SeriesStory(series_number=3, prediction=analysis.prediction),),
    )


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "Monitoring: an alarm on this model, open since 2026-11-03, had not been "),
        ("da", "Overvågning: for en alarm på denne model, åben siden 2026-11-03, var der endnu "),
    ],
)
def test_the_root_tells_of_the_alarm_and_the_check_compares_it(
    story: Story, language: str, told: str
) -> None:
    silent = replace(story, language=language)
    ringing = replace(silent, alarm_since=SINCE)
    root, other = write_summary(ringing), write_summary(silent)
    check_told((root,), ringing)
    check_told((other,), silent)
    assert len([one for one in _texts(root.content) if one.startswith(told)]) == 1
    assert root.sop_instance_uid != other.sop_instance_uid, "it says something else"
    for content, of in ((other.content, ringing), (root.content, silent)):
        wrong = write_summary(of)
        ds = pydicom.dcmread(io.BytesIO(content))
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = wrong.sop_instance_uid
        buffer = io.BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        with pytest.raises(Defect) as caught:
            check_told((replace(wrong, content=buffer.getvalue()),), of)
        assert caught.value.code == "summary-differs"


def _texts(content: bytes) -> list[str]:
    return texts_of(pydicom.dcmread(io.BytesIO(content)))


def test_the_page_tells_of_the_alarm_too() -> None:
    analysis = analysis_of()
    pages = []
    for since in (None, SINCE, SINCE):
        (page,) = PdfWriter().write(replace(analysis, alarm_since=since), ())
        pages.append(page)
    assert len({one.content for one in pages}) == 2
    assert len({one.sop_instance_uid for one in pages}) == 1
