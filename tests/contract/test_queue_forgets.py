"""The queue forgets attempts that ended, and none that has not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from dbos import run_dbos_database_migrations

from clic_edge.domain.case import Priority
from clic_edge.pipeline.queue import DurableQueue, workflow_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

ENDED = ("a", "b", "c")


@pytest.fixture
def queued(engine: Engine) -> Iterator[Engine]:
    """Return a ledger beside which the queue has its tables, and leave it without."""
    url = engine.url.render_as_string(hide_password=False)
    run_dbos_database_migrations(system_database_url=url)
    yield engine
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA dbos CASCADE"))


def test_attempts_that_ended_are_forgotten_some_at_a_time_and_what_waits_stays(
    queued: Engine,
) -> None:
    queue = DurableQueue(queued)
    with queued.begin() as connection:
        for case in (*ENDED, "waiting"):
            queue.put(connection, case, 0, priority=Priority.ROUTINE, delay=None)
    assert [queue.deaths(workflow_id(case, 0)) for case in ("waiting", "unknown")] == [0, 0]
    queue.let_go([workflow_id(case, 0) for case in ENDED])
    now = datetime.now(UTC)

    assert queue.forget(now - timedelta(hours=1), at_most=10) == 0
    later = now + timedelta(minutes=1)
    assert [queue.forget(later, at_most=2) for _ in range(3)] == [2, 1, 0]
    table = "dbos.workflow_status" if queued.dialect.name == "postgresql" else "workflow_status"
    with queued.connect() as connection:
        left = connection.execute(sa.text(f"SELECT workflow_uuid FROM {table}"))  # noqa: S608 - ours
        assert left.scalars().all() == [workflow_id("waiting", 0)]
