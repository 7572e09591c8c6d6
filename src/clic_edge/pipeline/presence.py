"""Workers that know of each other: each beats, and takes over what a silent one held.

Silence is judged by the watcher's own clock: a beat is a number that grows, so hosts whose clocks
differ judge alike. What is taken over runs as the case's next attempt; a worker that wakes up
finds its own attempt outdated before it sends or keeps anything (`Line.require_held`).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clic_edge import __version__, telemetry
from clic_edge.domain.case import CaseState
from clic_edge.domain.worker import WorkerRun
from clic_edge.errors import ConfigError, Defect
from clic_edge.ledger.database import DatabaseFailed
from clic_edge.ledger.records import AuditEvent
from clic_edge.pipeline.company import Company
from clic_edge.pipeline.queue import DEATHS, LINE_VERSION, workflow_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from clic_edge.domain.case import Case
    from clic_edge.domain.worker import WorkerSign
    from clic_edge.ledger import Ledger
    from clic_edge.pipeline.queue import DurableQueue

_BEATS_TO_SILENCE: Final = 6
"""So many beats must be missed until a worker counts as dead."""
_LOOKS_AT_LEAST: Final = 3
"""So many must find a beat not grown; there are `_BEATS_TO_SILENCE` where nothing hinders."""
_FORGOTTEN_AFTER: Final = timedelta(days=30)
_FORGOTTEN_AT_A_TIME: Final = 500
_FELL_SILENT: Final = "fell silent"
_TRIED: Final = "tried-alone"
_PROC: Final = Path("/proc")


def this_run(name: str, instance: str, *, slots: int) -> WorkerRun:
    """Return the run that this process begins."""
    return WorkerRun(
        name=name,
        instance=instance,
        host=socket.gethostname()[:64],
        place=_place(),
        pid=os.getpid(),
        version=__version__,
        line=LINE_VERSION,
        slots=slots,
        since=datetime.now(UTC),
    )


def _place() -> str:
    """Return where a pid means a process; a host's name may be that of another host too."""
    boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii")
    return f"{boot[:18]} {(_PROC / 'self/ns/pid').stat().st_ino}"


def is_gone(sign: WorkerSign, own: WorkerRun) -> bool:
    """Whether a run has ended for certain: it said so, or its process is not there any more."""
    if sign.left_at:
        return True
    if sign.run.place != own.place:
        return False
    return sign.run.pid == own.pid or not _lives(sign.run.pid)


def _lives(pid: int) -> bool:
    try:
        status = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}  # proc(5): zombie, dead


class Watch:
    """Remembers for how long it has watched each worker's beat not grow."""

    def __init__(self, lost_after: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._lost_after = lost_after.total_seconds()
        self._clock = clock
        self._looked_at = clock()
        self._seen = dict[str, tuple[str, int, float]]()

    def silent(self, signs: Collection[WorkerSign]) -> frozenset[str]:
        """Return the instances whose beat has not grown for long; a new one has just grown.

        Who could not look for long, as no worker could beat while the database was away, has
        watched no one in that time: it counts as one short pause.
        """
        now = self._clock()
        watched = min(now - self._looked_at, self._lost_after / _LOOKS_AT_LEAST)
        self._looked_at = now
        for one in signs:
            instance, beats, silence = self._seen.get(one.run.name, ("", 0, 0.0))
            is_same = (instance, beats) == (one.run.instance, one.beats)
            silence = silence + watched if is_same else 0.0
            self._seen[one.run.name] = (one.run.instance, one.beats, silence)
        return frozenset(
            instance for instance, _, silence in self._seen.values() if silence >= self._lost_after
        )


class Presence:
    """One worker among others."""

    def __init__(
        self,
        ledger: Ledger,
        queue: DurableQueue,
        own: WorkerRun,
        *,
        lost_after: timedelta,
        also: Callable[[datetime], None] | None = None,
    ) -> None:
        """Be `own`; `also` is called after each beat, however busy the cases keep this worker."""
        self._ledger = ledger
        self._queue = queue
        self._own = own
        self._lost_after = lost_after
        self._also = also
        self._watch = Watch(lost_after)
        self._lines = frozenset({own.line})
        self._is_replaced = False
        self._company = Company()
        self._in_hand = 0
        self._dropped = set[str]()
        self._counting = threading.Lock()

    def stranded(self, cases: Collection[Case]) -> tuple[Case, ...]:
        """Return those that are in no queue of a line that a worker here may still run.

        What this worker dropped is ended first: a database without room for a case's state had
        none to let the queue know, either.
        """
        under_way = {workflow_id(one.case_id, one.attempt) for one in cases}
        with self._counting:
            self._dropped &= under_way
            dropped = tuple(self._dropped)
        if dropped:
            self._queue.let_go(dropped)
        return self._queue.stranded(cases, lines=self._lines)

    def forget_ended(self, now: datetime) -> bool:
        """Let the queue forget attempts that ended long ago; return whether none is left."""
        some = _FORGOTTEN_AT_A_TIME
        return self._queue.forget(now - _FORGOTTEN_AFTER, at_most=some) < some

    @contextmanager
    def among_others(self, stop: threading.Event) -> Iterator[bool]:
        """Take this worker's name and beat while something runs within; then say that it ended.

        An earlier run of the name that is not certainly gone is watched first, for as long as a
        worker may be silent. False is yielded, and no name taken, where `stop` was set by then;
        it is set when another run takes the name.

        Raises
        ------
        ConfigError
            ``worker-name-taken``: another worker of that name runs, or has begun to.

        """
        if not self._enter(stop):
            yield False
            return
        done = threading.Event()
        thread = threading.Thread(
            target=self._beat_until, args=(done, stop), name="heartbeat", daemon=True
        )
        thread.start()
        try:
            yield True
        finally:
            done.set()
            thread.join(timeout=self._lost_after.total_seconds())
            with suppress(DatabaseFailed):  # it is found silent anyhow
                self._ledger.workers.leave(self._own)
        if self._is_replaced:
            raise self._taken("elsewhere")

    def _enter(self, stop: threading.Event) -> bool:
        for sign in self._ledger.workers.all():
            if sign.run.name != self._own.name:
                continue
            if is_gone(sign, self._own):
                self._blame(sign)  # the rest goes on behind its last finished stage
                continue
            self._await_silence(sign, stop)
            if stop.is_set():  # too early to call the other silent
                return False
            self._take_over(sign)
        self._ledger.workers.enter(self._own)
        self.look_around()
        return True

    def _await_silence(self, before: WorkerSign, stop: threading.Event) -> None:
        telemetry.worker_awaited()
        stop.wait(self._lost_after.total_seconds())
        for sign in self._ledger.workers.all():
            is_same = sign.run.name == self._own.name and sign.left_at is None
            if is_same and (sign.run.instance, sign.beats) != (before.run.instance, before.beats):
                raise self._taken(f"on {sign.run.host}")

    def _taken(self, where: str) -> ConfigError:
        return ConfigError(
            "worker-name-taken",
            f"A worker called {self._own.name} runs {where}; give each its own `appliance.name`, "
            "or stop that one.",
        )

    @contextmanager
    def at_work(self, case_id: str, attempt: int) -> Iterator[None]:
        """Count a case as in hand while something runs within; it is dropped where that raises.

        A case over which workers have died, beside others or not, is there alone the last time:
        who was beside it is not to blame.
        """
        workflow = workflow_id(case_id, attempt)
        with self._counting:
            self._in_hand += 1
        has_ended = False
        try:
            if self._deaths(case_id, attempt) + 1 < DEATHS:
                with self._company.beside_others():
                    yield
            else:
                with self._company.alone():
                    self._ledger.records.note(self._trial(case_id))
                    yield
            has_ended = True
        finally:
            with self._counting:
                self._in_hand -= 1
                if not has_ended:
                    self._dropped.add(workflow)

    def _beat_until(self, done: threading.Event, stop: threading.Event) -> None:
        pause = self._lost_after.total_seconds() / _BEATS_TO_SILENCE
        while not done.wait(pause):
            try:
                if not self._ledger.workers.beat(self._own, running=self._in_hand):
                    self._is_replaced = True
                    stop.set()
                    return
                self.look_around()
                if self._also:
                    self._also(datetime.now(UTC))
            except DatabaseFailed:
                telemetry.beat_failed(code="database-away")
            except Exception as error:  # noqa: BLE001 - the worker: without beats it loses its cases
                telemetry.beat_failed(code=type(error).__name__)

    def look_around(self) -> None:
        """Take over what workers hold that are gone."""
        signs = [
            one for one in self._ledger.workers.all() if one.run.instance != self._own.instance
        ]
        silent = self._watch.silent(signs)
        dead = [one for one in signs if is_gone(one, self._own) or one.run.instance in silent]
        others = {one.run.line for one in signs if one not in dead}
        self._lines = frozenset({self._own.line, *others})
        for one in dead:
            self._take_over(one)
            if datetime.now(UTC) - one.beat_at > _FORGOTTEN_AFTER:
                self._ledger.workers.forget(one.run)

    def _take_over(self, dead: WorkerSign) -> None:
        """Let the cases that a worker held run as their next attempt, once."""
        held = self._queue.held_by(dead.run.name)
        if not held:
            return
        for case in self._under_way(held):
            self._pass_on(case, dead)
        self._queue.let_go(held)
        self._ledger.workers.fell_silent(dead.run, cases=len(held))
        telemetry.worker_replaced(cases=len(held))

    def _under_way(self, workflows: Collection[str]) -> tuple[Case, ...]:
        """Return the cases of which one of the workflows is the current attempt."""
        return tuple(
            one
            for one in self._ledger.cases.under_way()
            if workflow_id(one.case_id, one.attempt) in workflows
        )

    def _pass_on(self, case: Case, dead: WorkerSign) -> None:
        """Let a case run again, or set it apart: it may be what workers die of, one by one."""
        if dead.left_at:
            self._ledger.cases.rescue(case, why=f"its worker {dead.run.name} ended")
        elif self._was_tried(case, dead):
            set_apart(self._ledger, case)
        else:
            self._ledger.cases.rescue(case, why=f"its worker {dead.run.name} {_FELL_SILENT}")

    def _blame(self, dead: WorkerSign) -> None:
        """Set apart the case that a worker had alone in its hands when it died."""
        if dead.left_at:
            return
        held = self._queue.held_by(dead.run.name)
        for case in self._under_way(held):
            if self._was_tried(case, dead):
                set_apart(self._ledger, case)
                self._queue.let_go([workflow_id(case.case_id, case.attempt)])

    def _deaths(self, case_id: str, attempt: int) -> int:
        """Return how many workers died over a case, one after the other.

        They count anew since one outlived an attempt at it, or a person looked at it.
        """
        count = self._queue.deaths(workflow_id(case_id, attempt))
        for event in self._ledger.records.audit(case_id) if attempt else ():
            count = 0 if _is_outlived(event) else count + event.detail.endswith(_FELL_SILENT)
        return count

    def _trial(self, case_id: str) -> AuditEvent:
        """Return what the audit trail says of a case that is tried alone."""
        return AuditEvent(
            at=datetime.now(UTC), case_id=case_id, action=_TRIED, detail=self._own.instance
        )

    def _was_tried(self, case: Case, by: WorkerSign) -> bool:
        """Whether a worker had a case of its own alone in its hands, and has not outlived that."""
        was_tried = False
        for event in self._ledger.records.audit(case.case_id):
            is_trial = (event.action, event.detail) == (_TRIED, by.run.instance)
            was_tried = is_trial or (was_tried and not _is_outlived(event))
        return was_tried


def _is_outlived(event: AuditEvent) -> bool:
    """Whether a worker ended an attempt at a case, or a person looked at it."""
    return event.action == CaseState.WAITING or bool(event.person)


def set_apart(ledger: Ledger, case: Case) -> None:
    """Quarantine a case at which workers died, before it holds up the others."""
    died = Defect(
        "worker-died",
        f"Workers died {DEATHS} times over this case, the last time over it alone; look whether "
        "memory was short, then retry.",
    )
    ledger.cases.close(case, CaseState.QUARANTINED, code=died.code, reason=died.sentence)
    telemetry.case_moved(
        case_id=case.case_id,
        pipeline=case.pipeline,
        state=CaseState.QUARANTINED,
        code=died.code,
    )
