"""A worker is known by its beats: who watches one fall silent takes its cases, once."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from lines import a_ledger
from sqlalchemy.exc import OperationalError

from clic_edge.board.workers import workers
from clic_edge.domain.case import CaseState
from clic_edge.domain.notice import Urgency
from clic_edge.errors import ConfigError
from clic_edge.ledger import Ledger
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.database import migrate, open_engine
from clic_edge.notify.postman import Patience, Postman
from clic_edge.notify.vigil import Vigil
from clic_edge.pipeline.presence import Presence, Watch, is_gone, this_run
from clic_edge.pipeline.queue import DEATHS, workflow_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from clic_edge.domain.case import Case
    from clic_edge.domain.notice import Notice
    from clic_edge.domain.worker import WorkerRun, WorkerSign

MOMENT = timedelta(milliseconds=20)


@dataclass
class Held:
    """The queue as far as presence asks it: what each worker holds."""

    by: dict[str, list[str]] = field(default_factory=dict)

    lines: Collection[str] = ()
    let_gone: list[str] = field(default_factory=list)
    begun: Counter[str] = field(default_factory=Counter)
    """How often each was begun again."""

    def deaths(self, workflow: str) -> int:
        """Return how often a worker died that had begun this."""
        return self.begun[workflow]

    def stranded(self, _cases: Collection[Case], *, lines: Collection[str]) -> tuple[Case, ...]:
        """Remember of which lines cases were asked for."""
        self.lines = lines
        return ()

    def held_by(self, worker: str) -> tuple[str, ...]:
        """Return what a worker holds."""
        return tuple(self.by.get(worker, ()))

    def let_go(self, workflows: Collection[str]) -> None:
        """Forget who holds these."""
        self.let_gone += workflows
        for held in self.by.values():
            held[:] = [one for one in held if one not in workflows]


@pytest.fixture
def ledger() -> Ledger:
    return a_ledger()


def a_run(name: str, instance: str = "1", **changes: object) -> WorkerRun:
    elsewhere = replace(this_run(name, instance, slots=2), place="another host")
    return replace(elsewhere, **changes)  # type: ignore[arg-type]


def a_presence(ledger: Ledger, queue: Held, name: str) -> Presence:
    own = this_run(name, f"presence {name}", slots=2)
    return Presence(ledger, queue, own, lost_after=MOMENT)  # type: ignore[arg-type]


def sign_of(ledger: Ledger, name: str) -> WorkerSign:
    return next(one for one in ledger.workers.all() if one.run.name == name)


def running_case(ledger: Ledger, number: int = 1) -> Case:
    admission = Admission(
        case_id=f"case-{number}", study_id=f"study-{number}", pipeline="brain", series_ids=("one",)
    )
    case = ledger.cases.begin(ledger.cases.admit(admission).case_id, 0)
    assert case
    return case


def test_a_beat_that_does_not_grow_is_silence_by_the_watchers_own_clock(ledger: Ledger) -> None:
    seconds = [0.0]
    watch = Watch(timedelta(seconds=30), clock=lambda: seconds[0])
    far_ahead = a_run("a", since=datetime.now(UTC) + timedelta(hours=3))
    ledger.workers.enter(far_ahead)
    for at, beats in ((0, True), (9, True), (18, False), (27, False), (36, False), (38, False)):
        seconds[0] = at
        if beats:
            ledger.workers.beat(far_ahead, running=0)
        assert not watch.silent(ledger.workers.all())
    seconds[0] = 39
    assert watch.silent(ledger.workers.all()) == {"1"}
    ledger.workers.beat(far_ahead, running=0)
    assert not watch.silent(ledger.workers.all())


def test_nobody_is_silent_for_a_time_in_which_nobody_looked(ledger: Ledger) -> None:
    seconds = [0.0]
    watch = Watch(timedelta(seconds=30), clock=lambda: seconds[0])
    ledger.workers.enter(a_run("a"))
    assert not watch.silent(ledger.workers.all())
    for after_an_outage in (3600, 7200):
        seconds[0] = after_an_outage
        assert not watch.silent(ledger.workers.all())
    seconds[0] += 10
    assert watch.silent(ledger.workers.all()) == {"1"}, "it has been looked for three times"


def test_a_process_that_is_not_there_is_gone_at_once_and_one_elsewhere_is_never_certain(
    ledger: Ledger,
) -> None:
    own = this_run("me", "2", slots=1)
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name, run, gone in (
        ("dead", replace(own, name="dead", pid=ended.pid), True),
        ("alive", replace(own, name="alive", pid=os.getppid()), False),
        ("far", a_run("far", pid=ended.pid), False),
    ):
        ledger.workers.enter(run)
        assert is_gone(sign_of(ledger, name), own) is gone
    ledger.workers.leave(a_run("far"))
    assert is_gone(sign_of(ledger, "far"), own)


def test_the_cases_of_a_worker_that_fell_silent_run_elsewhere_once(ledger: Ledger) -> None:
    case = running_case(ledger)
    queue = Held(by={"a": [workflow_id(case.case_id, 0)]})
    ledger.workers.enter(a_run("a"))
    others = [a_presence(ledger, queue, name) for name in ("b", "c")]
    for _ in range(6):
        for one in others:
            one.look_around()
        threading.Event().wait(MOMENT.total_seconds())
    taken = ledger.cases.case(case.case_id)
    assert (taken.state, taken.attempt) == (CaseState.RECEIVED, 1)
    assert queue.by == {"a": []}
    assert not ledger.cases.is_current(case)
    assert ledger.cases.close(case, CaseState.DELIVERED) is CaseState.RECEIVED
    wait = timedelta(seconds=1)
    assert ledger.cases.wait(case, delay=wait, code="c", reason="r") is CaseState.RECEIVED
    assert ledger.cases.begin(case.case_id, 0) is None


def test_a_worker_that_ended_as_it_should_hands_over_at_once(ledger: Ledger) -> None:
    case = running_case(ledger)
    queue = Held(by={"a": [workflow_id(case.case_id, 0)]})
    ledger.workers.enter(a_run("a"))
    ledger.workers.leave(a_run("a"))
    a_presence(ledger, queue, "b").look_around()
    assert ledger.cases.case(case.case_id).attempt == 1


def test_a_case_that_workers_die_of_one_by_one_is_set_apart_and_those_beside_it_are_not(
    ledger: Ledger,
) -> None:
    case, beside = running_case(ledger, 1), running_case(ledger, 2)
    for number in range(DEATHS):
        assert ledger.cases.case(case.case_id).state is not CaseState.QUARANTINED
        queue, name = Held(), f"{number}"
        dying = Presence(
            ledger,
            queue,  # type: ignore[arg-type]
            replace(this_run(name, f"presence {name}", slots=2), pid=-1),
            lost_after=MOMENT,
        )
        ledger.workers.enter(replace(this_run(name, f"presence {name}", slots=2), pid=-1))
        assert ledger.cases.begin(case.case_id, number)
        assert ledger.cases.begin(beside.case_id, number)
        in_hand = ExitStack()
        in_hand.enter_context(dying.at_work(case.case_id, number))
        if number < DEATHS - 1:  # then it waits for its turn
            in_hand.enter_context(dying.at_work(beside.case_id, number))
        queue.by[name] = [workflow_id(one.case_id, number) for one in (case, beside)]
        a_presence(ledger, queue, "watcher").look_around()
        in_hand.close()  # a dead process frees nobody; this one is asked no more
    apart = ledger.cases.case(case.case_id)
    assert (apart.state, apart.code) == (CaseState.QUARANTINED, "worker-died")
    assert ledger.cases.case(beside.case_id).state is CaseState.RECEIVED
    ledger.cases.retry(case.case_id, person="Ida")
    assert ledger.cases.begin(case.case_id, DEATHS)
    queue = Held(by={"0": [workflow_id(case.case_id, DEATHS)]})
    a_presence(ledger, queue, "watcher").look_around()
    assert ledger.cases.case(case.case_id).state is CaseState.RECEIVED


def test_what_a_worker_had_alone_in_its_hands_when_it_died_is_set_apart_when_it_is_back(
    tmp_path: Path,
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.sqlite")  # each thread has its connection
    migrate(engine)
    ledger = Ledger.on(engine)
    case, beside = running_case(ledger, 1), running_case(ledger, 2)
    names = [workflow_id(one.case_id, 0) for one in (case, beside)]
    queue = Held(by={"a": list(names)}, begun=Counter(dict.fromkeys(names, DEATHS - 1)))
    dead = replace(this_run("a", "died", slots=2), pid=-1)
    ledger.workers.enter(dead)
    died = Presence(ledger, queue, dead, lost_after=MOMENT)  # type: ignore[arg-type]
    with died.at_work(case.case_id, 0):
        back = a_presence(ledger, queue, "a")
        with back.among_others(threading.Event()):
            assert ledger.cases.case(case.case_id).code == "worker-died"
    assert ledger.cases.is_current(beside)
    assert queue.by == {"a": names[1:]}


def test_a_case_is_tried_alone_until_a_worker_has_outlived_an_attempt_at_it(
    ledger: Ledger,
) -> None:
    case, mine, tried = running_case(ledger), a_presence(ledger, Held(), "a"), list[int]()

    def run() -> Case:
        current = ledger.cases.case(case.case_id)
        with mine.at_work(current.case_id, current.attempt):
            events = ledger.records.audit(current.case_id)
            tried.append([event.action for event in events].count("tried-alone"))
        begun = ledger.cases.begin(current.case_id, current.attempt)
        assert begun
        return begun

    for _ in range(DEATHS - 1):
        ledger.cases.rescue(run(), why="its worker b fell silent")
    ledger.cases.wait(run(), delay=MOMENT, code="c", reason="r")
    run()
    assert tried == [0, 0, 0, 1, 1]


def test_a_case_that_was_alone_and_outlived_is_not_held_against_a_later_attempt_of_that_worker(
    ledger: Ledger,
) -> None:
    case = running_case(ledger)
    queue = Held(begun=Counter({workflow_id(case.case_id, 0): DEATHS - 1}))
    dead = replace(this_run("a", "died later", slots=2), pid=-1)
    ledger.workers.enter(dead)
    died = Presence(ledger, queue, dead, lost_after=MOMENT)  # type: ignore[arg-type]
    with died.at_work(case.case_id, 0):
        ledger.cases.wait(case, delay=MOMENT, code="c", reason="the PACS is away")
    assert ledger.cases.begin(case.case_id, 1)
    with died.at_work(case.case_id, 1):
        queue.by["a"] = [workflow_id(case.case_id, 1)]
        a_presence(ledger, queue, "watcher").look_around()
    assert ledger.cases.case(case.case_id).state is CaseState.RECEIVED


def test_two_workers_of_one_name_do_not_run(ledger: Ledger) -> None:
    other = a_run("a", host="far")
    ledger.workers.enter(other)
    mine = a_presence(ledger, Held(), "a")
    stop = threading.Event()

    def beat_once(*_: object) -> None:
        ledger.workers.beat(other, running=0)

    stop.wait = beat_once  # type: ignore[assignment]
    with pytest.raises(ConfigError) as refused, mine.among_others(stop):
        pytest.fail("it began")
    assert (refused.value.code, "far" in refused.value.sentence) == ("worker-name-taken", True)


def test_a_worker_that_is_stopped_while_it_watches_its_name_takes_nothing(ledger: Ledger) -> None:
    case, other, stop = running_case(ledger), a_run("a", host="far"), threading.Event()
    ledger.workers.enter(other)
    queue = Held(by={"a": [workflow_id(case.case_id, 0)]})
    stop.set()
    with a_presence(ledger, queue, "a").among_others(stop) as has_name:
        assert not has_name
    assert ledger.workers.beat(other, running=1)
    assert ledger.cases.is_current(case)


def test_a_worker_beats_on_whatever_else_fails_in_its_thread(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.sqlite")
    migrate(engine)
    ledger, thrice = Ledger.on(engine), threading.Semaphore(0)

    def stumble(_now: datetime) -> None:
        thrice.release()
        raise ValueError

    own = this_run("a", "1", slots=2)
    presence = Presence(ledger, Held(), own, lost_after=MOMENT, also=stumble)  # type: ignore[arg-type]
    with presence.among_others(threading.Event()):
        assert all(thrice.acquire(timeout=60) for _ in range(3))
    assert sign_of(ledger, "a").beats > 3


def test_a_worker_whose_name_was_taken_while_it_was_away_stops(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.sqlite")  # each thread has its connection
    migrate(engine)
    ledger, stop = Ledger.on(engine), threading.Event()

    def be_replaced() -> None:
        with a_presence(ledger, Held(), "a").among_others(stop):
            ledger.workers.enter(a_run("a", "2"))
            assert stop.wait(60)

    with pytest.raises(ConfigError, match="worker called a") as refused:
        be_replaced()
    assert refused.value.code == "worker-name-taken"


def test_lines_of_workers_that_are_gone_are_taken_over_and_those_of_others_are_not(
    ledger: Ledger,
) -> None:
    ledger.workers.enter(a_run("old", line="1"))
    ledger.workers.enter(a_run("gone", line="0"))
    ledger.workers.leave(a_run("gone"))
    queue = Held()
    mine = a_presence(ledger, queue, "new")
    mine.look_around()
    mine.stranded(())
    assert queue.lines == {"1", this_run("x", "x", slots=1).line}


def test_a_case_that_a_worker_drops_for_want_of_a_database_is_let_go_and_one_in_hand_is_not(
    ledger: Ledger,
) -> None:
    dropped, in_hand = (running_case(ledger, number) for number in (1, 2))
    names = [workflow_id(one.case_id, 0) for one in (dropped, in_hand)]
    queue = Held()
    mine = a_presence(ledger, queue, "a")
    away = OperationalError("commit", None, Exception("database or disk is full"))
    with pytest.raises(OperationalError), mine.at_work(dropped.case_id, 0):
        raise away
    with mine.at_work(in_hand.case_id, 0):
        mine.stranded((dropped, in_hand))
        assert queue.let_gone == [names[0]]
    mine.stranded((in_hand,))  # the other runs as its next attempt by now
    mine.stranded((dropped, in_hand))
    assert queue.let_gone == [names[0]]


def test_a_table_of_workers_tells_who_runs_who_ended_and_who_fell_silent(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    for name in ("ends", "runs"):
        ledger.workers.enter(a_run(name))
    ledger.workers.enter(a_run("silent", since=now - timedelta(minutes=10)))
    ledger.workers.beat(a_run("runs"), running=2)
    ledger.workers.leave(a_run("ends"))
    rows = {one.name: (str(one.presence), one.running) for one in workers(ledger, now)}
    assert rows == {"ends": ("ended", 0), "runs": ("runs", 2), "silent": ("silent", 0)}


@dataclass
class Said:
    """A channel that keeps what is sent through it."""

    name: str = "said"
    gathers: bool = False
    at_least: Urgency = Urgency.INFO
    kinds: list[str] = field(default_factory=list)

    def send(self, notices: Sequence[Notice]) -> None:
        """Keep what they are."""
        self.kinds += [str(one.kind) for one in notices]


def test_that_no_worker_lives_is_told_once_and_without_any_worker(ledger: Ledger) -> None:
    now, said = datetime.now(UTC), Said()
    patience = Patience(pause=timedelta(), give_up_after=timedelta(days=1))
    vigil = Vigil(ledger=ledger, postman=Postman(ledger.notices, [said], patience))
    vigil.look(now)
    ledger.workers.enter(a_run("a", since=now))
    vigil.look(now)
    assert not said.kinds
    for minutes in (3, 4):
        vigil.look(now + timedelta(minutes=minutes))
    assert said.kinds == ["no-worker"]
    ledger.workers.enter(a_run("b", since=now + timedelta(minutes=5)))
    vigil.look(now + timedelta(minutes=5))
    assert said.kinds == ["no-worker"]
