"""The worker: takes cases from the queue and runs them along the line, durably.

Killed at any moment and started again, it goes on behind the last stage that was finished.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from dbos import DBOS

from clic_edge import telemetry
from clic_edge.deid.crosswalk import drop_expired
from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.errors import ClicEdgeError
from clic_edge.ledger.database import DatabaseFailed
from clic_edge.ledger.pruning import KEEP_ALL
from clic_edge.ledger.records import HEARTBEAT
from clic_edge.pipeline.clock import Clock, misdated
from clic_edge.pipeline.delivery import deliver_again
from clic_edge.pipeline.monitoring import patrol
from clic_edge.pipeline.process import process
from clic_edge.pipeline.queue import (
    BACKGROUND,
    DEATHS,
    FIRST_ATTEMPTS,
    LINE_VERSION,
    QUEUES,
    RETRIES,
    URGENT,
    WORKFLOW,
)
from clic_edge.pipeline.reconcile import reconcile
from clic_edge.pipeline.retention import tidy
from clic_edge.pipeline.returned import send_assessments, take_back
from clic_edge.pipeline.withdrawing import send_withdrawals

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from clic_edge.drift.plan import Policy
    from clic_edge.ledger.pruning import Retention
    from clic_edge.pipeline.line import Line
    from clic_edge.pipeline.presence import Presence
    from clic_edge.pipeline.process import Step

_POLLING_SECONDS = {URGENT: 0.2, FIRST_ATTEMPTS: 0.2, RETRIES: 0.5, BACKGROUND: 0.5}
"""How often each queue is asked: three statements, a tenth of a core if all were at 0.2."""
_FINISH_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much a worker does at a time, and how often it looks for what it missed."""

    name: str
    """Names this worker in the queue: what it held when it died is its own when it is back."""
    concurrent_cases: int
    reconcile_seconds: float
    instance: str = ""
    """Of this one run, as the ledger knows it since its models were enrolled."""
    watch_seconds: float = 0.0
    """How often the models are watched; 0 for never."""
    retention: Retention = KEEP_ALL


def durably(name: str, stage: Callable[[], str]) -> str:
    """Run a stage and remember what it returned; after a restart it is not run again."""
    return DBOS.run_step({"name": name}, stage)


def sweep(crosswalks: Path, now: datetime) -> None:
    """Delete the sealed ways back whose day has passed, and say how many there were."""
    try:
        count = drop_expired(crosswalks, now)
    except ClicEdgeError as error:
        telemetry.sweep_failed(code=error.code)
    else:
        if count:
            telemetry.crosswalks_expired(count=count)


def _outlived(act: Callable[[], object]) -> None:
    """Do something and go on whatever nobody foresaw. Raises ClicEdgeError, DatabaseFailed as it."""
    try:
        act()
    except (ClicEdgeError, DatabaseFailed):
        raise
    except Exception as error:  # noqa: BLE001 - the worker: no study ends it, nor what comes behind
        telemetry.reconcile_failed(code=type(error).__name__)


class Worker:
    """One worker process; there is one DBOS in a process, so there is one of these."""

    def __init__(
        self,
        line: Line,
        *,
        engine: Engine,
        presence: Presence,
        pace: Pace,
        crosswalks: Path,
        policy: Policy,
    ) -> None:
        self._line = line
        self._engine = engine
        self._presence = presence
        self._pace = pace
        self._crosswalks = crosswalks
        self._policy = policy
        self._tidied_on = date.min
        self._watched_at = datetime.min.replace(tzinfo=UTC)
        self._clock = Clock()

    def run(self, stop: threading.Event, step: Step = durably) -> None:
        """Work until `stop` is set, then finish the stages in hand.

        Raises
        ------
        ConfigError
            ``worker-name-taken``: another worker has this one's name.

        """
        with self._presence.among_others(stop) as has_name:
            if has_name:
                self._work(stop, step)

    def _work(self, stop: threading.Event, step: Step) -> None:
        DBOS(
            config={
                "name": "clic-edge",
                "system_database_engine": self._engine,
                "application_version": LINE_VERSION,
                "executor_id": self._pace.name,
                "log_level": "WARNING",
                "notification_listener_polling_interval_sec": 1.0,
            }
        )
        line = self._line

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=DEATHS - 1)
        def process_case(case_id: str, attempt: int) -> str:
            with self._presence.at_work(case_id, attempt):
                return process(case_id, attempt, line=line, step=step)

        DBOS.launch()
        try:
            for queue in QUEUES:
                DBOS.register_queue(
                    queue,
                    worker_concurrency=self._pace.concurrent_cases,
                    polling_interval_sec=_POLLING_SECONDS[queue],
                )
            telemetry.worker_started()
            while True:
                now = self._clock.look(self._tell_jump)
                self.look_for_missed()
                if self._clock.is_trusted:
                    sweep(self._crosswalks, now)
                    self.tidy(now)
                self.watch(now)
                if stop.wait(self._pace.reconcile_seconds):
                    return
        finally:
            self._leave()
            DBOS.destroy(workflow_completion_timeout_sec=_FINISH_SECONDS)

    def tidy(self, now: datetime) -> None:
        """Prune once a day; by a clock that can be trusted, or everything would be old."""
        if now.date() == self._tidied_on:
            return
        try:
            has_forgotten = self._presence.forget_ended(now)
            if tidy(self._line.ledger, self._pace.retention, now=now) and has_forgotten:
                self._tidied_on = now.date()
        except DatabaseFailed:
            telemetry.sweep_failed(code="database-away")

    def watch(self, now: datetime) -> None:
        """Let the monitor look at the models, where it is time again."""
        every = timedelta(seconds=self._pace.watch_seconds)
        if not every or abs(now - self._watched_at) < every:
            return
        self._watched_at = now
        try:
            patrol(self._line.ledger, self._policy, now=now)
        except DatabaseFailed:
            telemetry.watch_failed(code="database-away")

    def look_for_missed(self) -> None:
        """Take in studies that no event told of, cases that fell out of the queue, readers' words."""
        line, now = self._line, datetime.now(UTC)
        taken_back = partial(take_back, line=line, now=now)
        acts: tuple[Callable[[], object], ...] = (
            partial(line.ledger.records.advance, HEARTBEAT, int(now.timestamp())),
            partial(line.ledger.standing.still_serving, self._pace.instance),
            self._rescue,
            partial(
                reconcile, line.rules, archive=line.archive, ledger=line.ledger, also=taken_back
            ),
            partial(send_assessments, line, now=now),
            partial(send_withdrawals, line),
            partial(deliver_again, line),
        )
        try:
            for act in acts:
                _outlived(act)
        except ClicEdgeError as error:
            telemetry.reconcile_failed(code=error.code)
        except DatabaseFailed:
            telemetry.reconcile_failed(code="database-away")

    def _rescue(self) -> None:
        line = self._line
        under_way = line.ledger.cases.under_way()
        lost = self._presence.stranded(under_way)
        stranded = {case.case_id: case for case in lost}
        waits = misdated(under_way, now=datetime.now(UTC), patience=line.patience.give_up_after)
        stranded |= {case.case_id: case for case in waits}
        for case in stranded.values():
            line.ledger.cases.rescue(case)

    def _tell_jump(self, by: timedelta) -> None:
        now = datetime.now(UTC)
        notice = Notice(
            kind=NoticeKind.CLOCK_JUMPED,
            key=f"{self._pace.name} {now.isoformat()}",
            at=now,
            urgency=Urgency.ERROR,
            about=self._pace.name,
            detail=f"{by / timedelta(minutes=1):+.0f}",
        )
        with suppress(DatabaseFailed):  # the log has it
            self._line.ledger.notices.put(notice)

    def _leave(self) -> None:
        with suppress(DatabaseFailed):  # it is forgotten in minutes anyhow
            self._line.ledger.standing.end_serving(self._pace.instance)
