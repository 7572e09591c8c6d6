"""Each light of the first page shines as it should, and says why in words that exist."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lines import a_ledger

from clic_edge.board import overview as module
from clic_edge.board.overview import Level, Light, Overview, Surroundings, overview
from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import Record, Run, Verdict
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.records import HEARTBEAT
from clic_edge.web.words import words

if TYPE_CHECKING:
    from clic_edge.ledger import Ledger

ROOMY = Surroundings(archive_answers=True, free_bytes=50, total_bytes=100)


@pytest.fixture
def ledger() -> Ledger:
    return a_ledger()


def _now() -> datetime:
    return datetime.now(UTC)


def _light(seen: Overview, name: str) -> Light:
    return next(one for one in seen.lights if one.name == name)


def _admit(ledger: Ledger, number: int) -> str:
    admission = Admission(
        case_id=f"case-{number}", study_id=f"study-{number}", pipeline="head", series_ids=("one",)
    )
    return ledger.cases.admit(admission).case_id


def test_a_worker_that_was_never_here_is_said(ledger: Ledger) -> None:
    light = _light(overview(ledger, ROOMY, _now()), "worker")
    assert (light.level, light.why) == (Level.BAD, "never")


def test_a_worker_is_well_while_it_is_heard_of(ledger: Ledger) -> None:
    now = _now()
    ledger.records.advance(HEARTBEAT, int(now.timestamp()))
    assert _light(overview(ledger, ROOMY, now), "worker").level is Level.GOOD
    later = overview(ledger, ROOMY, now + timedelta(minutes=6))
    assert (_light(later, "worker").why, later.level) == ("silent", Level.BAD)


def test_an_archive_that_is_away_is_said(ledger: Ledger) -> None:
    seen = overview(ledger, replace(ROOMY, archive_answers=False), _now())
    assert _light(seen, "archive").level is Level.BAD


@pytest.mark.parametrize(
    ("free", "level"), [(50, Level.GOOD), (19, Level.WARN), (4, Level.BAD), (0, Level.BAD)]
)
def test_a_disk_that_fills_up_is_said_in_time(ledger: Ledger, free: int, level: Level) -> None:
    light = _light(overview(ledger, replace(ROOMY, free_bytes=free), _now()), "disk")
    assert (light.level, light.count) == (level, free)


def test_a_case_that_has_been_open_for_long_wants_a_look(ledger: Ledger) -> None:
    _admit(ledger, 1)
    assert _light(overview(ledger, ROOMY, _now()), "queue").why == "moves"
    late = _light(overview(ledger, ROOMY, _now() + timedelta(hours=2)), "queue")
    assert (late.level, late.why, late.count) == (Level.WARN, "late", 1)


def test_a_case_in_quarantine_must_be_seen_to(ledger: Ledger) -> None:
    case = ledger.cases.begin(_admit(ledger, 1), 0)
    assert case
    ledger.cases.close(case, CaseState.QUARANTINED, code="broken", reason="It is broken.")
    seen = overview(ledger, ROOMY, _now())
    assert (_light(seen, "quarantine").count, _light(seen, "queue").why) == (1, "empty")


def test_today_is_counted_by_state_and_hour_and_a_day_ago_is_not_today(ledger: Ledger) -> None:
    for number in range(3):
        _admit(ledger, number)
    case = ledger.cases.begin("case-0", 0)
    assert case
    ledger.cases.close(case, CaseState.DELIVERED)
    seen = overview(ledger, ROOMY, _now())
    assert {one.state: one.count for one in seen.today} == {
        CaseState.RECEIVED: 2,
        CaseState.DELIVERED: 1,
    }
    assert sum(one.count for hour in seen.hours for one in hour.states) == 3
    assert len(seen.hours) == 24
    assert seen.median_seconds is not None
    assert overview(ledger, ROOMY, _now() + timedelta(days=2)).today == ()


def test_every_light_has_words_for_whatever_it_may_say() -> None:
    source = Path(module.__file__).read_text(encoding="utf-8")
    texts = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    names = set(re.findall(r'name="(\w+)"', source))
    reasons = {key for key in words() if key.startswith("overview.")}
    for name in names:
        assert f"overview.{name}" in reasons
        said = {key.removeprefix(f"overview.{name}_") for key in reasons if f".{name}_" in key}
        assert said
        assert said <= texts, said - texts


def _ran(ledger: Ledger, at: datetime, verdict: Verdict) -> None:
    model = {"model_id": "organs", "model_version": "1", "model_digest": "d" * 64}
    record = Record(
        protocol="nightly",
        version=1,
        protocol_digest="p" * 64,
        pipeline="head",
        at=at,
        person="Ida Fysiker",
        device="cpu",
        environment=(),
        outcomes=(),
        **model,
    )
    ledger.constancy.seal(record)
    run = Run(
        run_id="run",
        protocol="nightly",
        version=1,
        pipeline="head",
        record_id=record.record_id,
        started_at=at,
        started_by="schedule",
        **model,
    )
    ledger.constancy.begin(run)
    ledger.constancy.finish("run", verdict, at=at)


@pytest.mark.parametrize(
    ("verdict", "hours", "why", "level"),
    [
        (Verdict.PASSED, 8, "passed", Level.GOOD),
        (Verdict.PASSED, 40, "missed", Level.WARN),
        (Verdict.FAILED, 8, "failed", Level.BAD),
        (Verdict.INCOMPLETE, 8, "incomplete", Level.WARN),
    ],
)
def test_the_last_constancy_run_is_said(
    ledger: Ledger, verdict: Verdict, hours: int, why: str, level: Level
) -> None:
    now = _now()
    _ran(ledger, now - timedelta(hours=hours), verdict)
    light = _light(overview(ledger, ROOMY, now), "constancy")
    assert (light.why, light.level) == (why, level)


def test_without_a_run_nothing_is_said_of_constancy(ledger: Ledger) -> None:
    assert _light(overview(ledger, ROOMY, _now()), "constancy").level is Level.IDLE


@pytest.mark.parametrize(("days", "level"), [(90, Level.GOOD), (20, Level.WARN), (3, Level.BAD)])
def test_a_certificate_that_ends_is_said_in_time(ledger: Ledger, days: int, level: Level) -> None:
    now = _now()
    around = replace(ROOMY, certificate_ends=now + timedelta(days=days, hours=1))
    light = _light(overview(ledger, around, now), "certificate")
    assert (light.level, light.count) == (level, days)
