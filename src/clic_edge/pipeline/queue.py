"""The durable queue of cases: DBOS on the ledger's own database.

A case is admitted and queued in one transaction: there is never the one without the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbos import DBOSClient
from sqlalchemy import inspect

from clic_edge.domain.case import Priority

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime, timedelta

    import sqlalchemy as sa
    from dbos import EnqueueOptions
    from sqlalchemy.engine import Engine

    from clic_edge.domain.case import Case

WORKFLOW = "process_case"
URGENT = "urgent"
FIRST_ATTEMPTS = "cases"
BACKGROUND = "background"
"""Screening and batches, at whatever attempt: they take no place that a clinical case waits for."""
RETRIES = "retries"
"""Queued apart, so that a PACS that is away for days never holds up new cases."""
QUEUES = (URGENT, FIRST_ATTEMPTS, RETRIES, BACKGROUND)
"""Each has places of its own in a worker."""
LINE_VERSION = "2"
"""Version of the line's stages, not of the package: an upgrade takes over cases in flight."""
DEATHS = 4
"""So often may workers die over a case until a person has to look; the last time over it alone."""
_UNDER_WAY = ["ENQUEUED", "PENDING", "DELAYED"]
_ENDED = ["SUCCESS", "ERROR", "CANCELLED"]


class DurableQueue:
    """Puts attempts into the queue and knows which are still in it."""

    def __init__(self, engine: Engine) -> None:
        self._client = DBOSClient(
            system_database_engine=engine, lazy=True, retry_connection_errors=False
        )
        self._is_made = False

    def put(
        self,
        connection: sa.Connection,
        case_id: str,
        attempt: int,
        *,
        priority: Priority,
        delay: timedelta | None,
    ) -> None:
        """Queue an attempt within the caller's transaction; the case and attempt name it.

        Until a worker has run once there is no queue; it finds the case at its first look around.
        """
        if not self._has_tables(connection):
            return
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": _queue_of(attempt, priority),
            "priority": priority.rank,
            "workflow_id": workflow_id(case_id, attempt),
            "app_version": LINE_VERSION,
        }
        if delay:
            options["delay_seconds"] = delay.total_seconds()
        self._client.enqueue_in_transaction(connection, options, case_id, attempt)

    def _has_tables(self, connection: sa.Connection) -> bool:
        if not self._is_made:
            schema = "dbos" if connection.dialect.name == "postgresql" else None
            self._is_made = inspect(connection).has_table("workflow_status", schema=schema)
        return self._is_made

    def stranded(self, cases: Iterable[Case], *, lines: Collection[str]) -> tuple[Case, ...]:
        """Return those whose attempt is in no queue and in no worker's hands, of any of `lines`.

        `lines` are those of the workers that run: what was queued for another, nobody would take.
        """
        wanted = {workflow_id(case.case_id, case.attempt): case for case in cases}
        if not wanted:
            return ()
        held = self._client.list_workflows(
            workflow_ids=list(wanted),
            status=_UNDER_WAY,
            app_version=[LINE_VERSION, *lines],
            load_input=False,
            load_output=False,
        )
        lost = wanted.keys() - {workflow.workflow_id for workflow in held}
        return tuple(wanted[name] for name in sorted(lost))

    def deaths(self, workflow: str) -> int:
        """Return how often a worker has died that had begun this, and began it again."""
        found = self._client.list_workflows(
            workflow_ids=[workflow], load_input=False, load_output=False
        )
        return sum((one.recovery_attempts or 1) - 1 for one in found)

    def held_by(self, worker: str) -> tuple[str, ...]:
        """Return the workflows that a worker has begun and not ended, of whatever line."""
        held = self._client.list_workflows(
            executor_id=worker, status="PENDING", load_input=False, load_output=False
        )
        return tuple(workflow.workflow_id for workflow in held)

    def forget(self, before: datetime, *, at_most: int) -> int:
        """Delete what is remembered of attempts that ended before a moment; return of how many.

        It is some 30 KB an attempt. What a case came to, its stages and its audit are the ledger's.
        """
        ended = self._client.list_workflows(
            status=_ENDED,
            completed_before=before.isoformat(),
            limit=at_most,
            load_input=False,
            load_output=False,
        )
        if ended:
            self._client.delete_workflows([workflow.workflow_id for workflow in ended])
        return len(ended)

    def let_go(self, workflows: Collection[str]) -> None:
        """End workflows of a worker that is gone: should it wake, it begins no further stage."""
        self._client.cancel_workflows(list(workflows))


def _queue_of(attempt: int, priority: Priority) -> str:
    if priority is Priority.BACKGROUND:
        return BACKGROUND
    if attempt:
        return RETRIES
    return URGENT if priority is Priority.URGENT else FIRST_ATTEMPTS


def workflow_id(case_id: str, attempt: int) -> str:
    """Return the name under which an attempt is queued, once."""
    return f"{case_id}-{attempt}"
