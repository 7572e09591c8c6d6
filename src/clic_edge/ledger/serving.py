"""Which workers run now, and which model each one's file names: two that differ do not take turns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.errors import ConfigError
from clic_edge.ledger.schema import serving
from clic_edge.ledger.sql import insert_or_replace

if TYPE_CHECKING:
    from clic_edge.domain.standing import Placement, Serving

GOOD_FOR: Final = timedelta(minutes=5)
"""How long a worker counts as running after its last sign of life."""


def claim(connection: sa.Connection, model: Placement, by: Serving) -> None:
    """Keep that a worker runs a pipeline whose file names a model, within the caller's lock.

    Raises
    ------
    ConfigError
        ``pipeline-differs``: another worker runs it, and its file names another model.

    """
    now = datetime.now(UTC)
    columns = serving.c
    # A row from beyond the longest promise was written by a clock that ran ahead.
    void = (columns.until < now) | (columns.until > now + GOOD_FOR)
    connection.execute(serving.delete().where(void))
    others = sa.select(serving).where(
        columns.pipeline == model.pipeline,
        columns.instance != by.instance,
        columns.model_digest != model.digest,
    )
    if other := connection.execute(others).first():
        raise ConfigError(
            "pipeline-differs",
            f"The worker {other.name} runs the pipeline {model.pipeline} with the model "
            f"{other.model_digest[:12]}, and this file names {model.digest[:12]}: give both the "
            f"same file, or stop that one. One that has crashed is forgotten at "
            f"{other.until:%H:%M} UTC.",
        )
    row = {
        "pipeline": model.pipeline,
        "instance": by.instance,
        "name": by.name,
        "model_digest": model.digest,
        "until": now + GOOD_FOR,
    }
    insert_or_replace(connection, serving, row)


def renew(connection: sa.Connection, instance: str) -> None:
    """Keep that a worker is still running."""
    own = serving.c.instance == instance
    values = {"until": datetime.now(UTC) + GOOD_FOR}
    connection.execute(serving.update().where(own).values(values))


def leave(connection: sa.Connection, instance: str) -> None:
    """Forget a worker that has ended."""
    connection.execute(serving.delete().where(serving.c.instance == instance))
