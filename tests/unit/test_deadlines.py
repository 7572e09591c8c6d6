"""What will be late is said before it is, with the reason, once for a pipeline."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
from lines import a_ledger, a_pipeline, a_study

from clic_edge.board.overview import Level, Surroundings, overview
from clic_edge.config.pipeline import Deadline
from clic_edge.domain.case import CaseState, Priority
from clic_edge.domain.deadline import LateCause
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.deadlines import QUIET
from clic_edge.pipeline.deadlines import (
    Effort,
    due_at,
    effort_of,
    outlook,
    risks,
    watch_deadlines,
)
from clic_edge.pipeline.intake import propose
from clic_edge.pipeline.precedence import Precedence
from clic_edge.pipeline.presence import this_run
from clic_edge.pipeline.queue import BACKGROUND, FIRST_ATTEMPTS, RETRIES, URGENT, _queue_of

if TYPE_CHECKING:
    from clic_edge.config import Pipeline
    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger

MINUTE = timedelta(minutes=1)
EFFORT = Effort(model=MINUTE, rest=timedelta(seconds=10))


@pytest.fixture
def ledger() -> Ledger:
    return a_ledger()


def promising(minutes: float, name: str = "brain", **changes: object) -> Pipeline:
    return a_pipeline(name).model_copy(update={"deadline": Deadline(minutes=minutes)} | changes)


def admitted(
    ledger: Ledger, number: int, *, due: datetime | None = None, **changes: object
) -> Case:
    admission = Admission(
        case_id=f"case-{number}",
        study_id=f"study-{number}",
        pipeline="brain",
        series_ids=("one",),
        due_at=due,
    )
    return ledger.cases.admit(replace(admission, **changes))  # type: ignore[arg-type]


def test_a_deadline_counts_from_the_last_image_and_an_old_study_has_none() -> None:
    now = datetime(2026, 5, 4, 12, tzinfo=UTC)
    three = Deadline(minutes=3)
    assert due_at(three, a_study(silence=60), now) == now + timedelta(minutes=2)
    assert due_at(three, a_study(silence=90_000), now) is None
    assert due_at(three, a_study(silence=float("inf")), now) is None
    assert due_at(None, a_study(silence=60), now) is None


@pytest.mark.parametrize(("hours", "days"), [(2, 0), (0.5, 1), (-1, 1)])
def test_a_time_of_day_is_the_next_one_that_lies_an_hour_ahead(hours: float, days: int) -> None:
    now = datetime(2026, 5, 4, 12).astimezone()
    by = (now + timedelta(hours=hours)).time()
    due = due_at(Deadline(by=time(by.hour, by.minute)), a_study(silence=0), now)
    assert due == now + timedelta(hours=hours, days=days)


def test_intake_gives_a_case_the_priority_and_the_deadline_of_its_pipeline() -> None:
    urgent = promising(3, priority="urgent")
    (admission,) = propose(a_study(silence=0), (urgent,))
    assert admission.priority is Priority.URGENT
    assert admission.due_at
    assert abs(admission.due_at - datetime.now(UTC) - timedelta(minutes=3)) < MINUTE


def test_each_priority_has_its_queue_and_background_is_never_among_the_others() -> None:
    assert [_queue_of(0, one) for one in Priority] == [URGENT, FIRST_ATTEMPTS, BACKGROUND]
    assert [_queue_of(1, one) for one in Priority] == [RETRIES, RETRIES, BACKGROUND]


def test_effort_is_what_most_took_and_half_of_the_promise_while_nothing_is_known() -> None:
    took = [(f"c{n}", "predict", 10.0 + n) for n in range(10)]
    took += [(f"c{n}", stage, 1.0) for n in range(10) for stage in ("accept", "write")]
    known = effort_of(took, MINUTE)
    assert timedelta(seconds=17) < known.model < timedelta(seconds=19)
    assert known.rest == timedelta(seconds=2)
    assert effort_of(took[:4], MINUTE) == Effort(model=MINUTE / 2, rest=timedelta())


def test_a_case_is_foretold_late_by_those_ahead_of_it_before_it_is(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    due = now + timedelta(minutes=3, seconds=30)
    cases = [admitted(ledger, number, due=due) for number in range(4)]
    seen = outlook(cases, {"brain": EFFORT}, workers=1, now=now)
    assert [one.is_late for one in seen] == [False, False, False, True]
    (risk,) = risks(seen, now)
    assert (risk.cause, risk.cases, risk.ahead) == (LateCause.QUEUE, 1, 3)
    assert not risk.is_missed
    assert not list(risks(outlook(cases, {"brain": EFFORT}, workers=2, now=now), now))


def test_an_urgent_case_is_before_those_that_came_earlier_and_a_batch_behind(
    ledger: Ledger,
) -> None:
    now = datetime.now(UTC)
    batch = [admitted(ledger, n, priority=Priority.BACKGROUND) for n in range(3)]
    routine, urgent = admitted(ledger, 3), admitted(ledger, 4, priority=Priority.URGENT)
    seen = outlook([*batch, routine, urgent], {"brain": EFFORT}, workers=1, now=now)
    assert [one.case.case_id for one in seen[:2]] == [urgent.case_id, routine.case_id]


def test_each_cause_has_its_name(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    case = admitted(ledger, 1, due=now + timedelta(seconds=30))
    later = replace(case, next_attempt_at=now + timedelta(hours=1), state=CaseState.WAITING)
    runs = replace(case, state=CaseState.RUNNING, updated_at=now - timedelta(minutes=10))
    for one, workers, cause in (
        (case, 0, LateCause.NO_WORKER),
        (later, 1, LateCause.WAITING),
        (case, 1, LateCause.SLOW),
        (runs, 1, LateCause.SLOW),
    ):
        (risk,) = risks(outlook([one], {"brain": EFFORT}, workers=workers, now=now), now)
        assert risk.cause is cause


def test_an_alarm_is_one_for_a_pipeline_and_told_once_until_it_has_been_quiet(
    ledger: Ledger,
) -> None:
    now, pipelines = datetime.now(UTC), (promising(3),)
    for number in range(2):
        admitted(ledger, number, due=now + timedelta(minutes=1))
    for seconds in (0, 10, 20):  # nobody lives
        watch_deadlines(ledger, pipelines, now + timedelta(seconds=seconds))
    (alarm,) = ledger.deadlines.alarms()
    assert (alarm.risk.cause, alarm.risk.cases) == (LateCause.NO_WORKER, 2)
    assert (alarm.opened_at, alarm.risk.is_missed) == (now, False)
    for number in range(2):
        case = ledger.cases.begin(f"case-{number}", 0)
        assert case
        ledger.cases.close(case, CaseState.DELIVERED)
    watch_deadlines(ledger, pipelines, now + timedelta(seconds=30))
    assert ledger.deadlines.alarms()
    watch_deadlines(ledger, pipelines, now + timedelta(seconds=30) + QUIET)
    assert not ledger.deadlines.alarms()


def test_the_first_page_shows_what_will_be_late_and_why(ledger: Ledger) -> None:
    roomy = Surroundings(archive_answers=True, free_bytes=50, total_bytes=100)

    def light() -> tuple[Level, str]:
        seen = overview(ledger, roomy, datetime.now(UTC)).lights
        (one,) = [one for one in seen if one.name == "deadline"]
        return one.level, one.why

    now = datetime.now(UTC)
    assert light() == (Level.IDLE, "none")
    admitted(ledger, 1, due=now + timedelta(minutes=1))
    watch_deadlines(ledger, (promising(3),), now)
    assert light() == (Level.BAD, "no_worker")
    watch_deadlines(ledger, (promising(3),), now + timedelta(minutes=2))
    assert light() == (Level.BAD, "missed")


def test_a_worker_that_lives_and_is_fast_enough_raises_no_alarm(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    ledger.workers.enter(this_run("a", "1", slots=2))
    admitted(ledger, 1, due=now + timedelta(minutes=3))
    watch_deadlines(ledger, (promising(3),), now)
    assert not ledger.deadlines.alarms()


def test_kept_and_missed_are_counted_by_month_and_a_replaced_case_is_neither(
    ledger: Ledger,
) -> None:
    now = datetime.now(UTC)
    dues = (now + MINUTE, now - MINUTE, now - MINUTE, now + MINUTE)
    for number, due in enumerate(dues):
        admitted(ledger, number, due=due)
    for number, state in enumerate((CaseState.DELIVERED, CaseState.REFUSED)):
        case = ledger.cases.begin(f"case-{number}", 0)
        assert case
        ledger.cases.close(case, state, code="c")
    admitted(ledger, 9, study_id="study-2", due=now + MINUTE)
    counts = ledger.deadlines.kept(now - timedelta(days=1), now)
    assert (sum(one.kept for one in counts), sum(one.missed for one in counts)) == (1, 1)


def test_the_less_urgent_waits_until_the_more_urgent_has_predicted() -> None:
    precedence, order = Precedence(), list[str]()

    def background() -> None:
        with precedence.claim(Priority.BACKGROUND):
            precedence.give_way(Priority.BACKGROUND)
            order.append("background")

    with precedence.claim(Priority.ROUTINE):
        thread = threading.Thread(target=background)
        thread.start()
        precedence.give_way(Priority.ROUTINE)
        order.append("routine")
    thread.join(60)
    assert order == ["routine", "background"]
