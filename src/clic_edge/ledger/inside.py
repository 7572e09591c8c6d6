"""What the database is: its kind, its revision and how many rows each table has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from clic_edge.ledger.metadata import metadata

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCount:
    """One table of ours."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A database of ours from the inside."""

    kind: str
    """`sqlite` or `postgresql`."""
    server: str
    """Version of SQLite, or of the server."""
    revision: str
    """Of the migrations; empty where there are none."""
    tables: tuple[TableCount, ...]


def inside(engine: Engine) -> Inside:
    """Return how a database looks from the inside; no value of a row."""
    with engine.connect() as connection:
        there = set(sa.inspect(connection).get_table_names())
        counts = [
            TableCount(
                name=table.name,
                rows=connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0,
            )
            for table in metadata.sorted_tables
            if table.name in there
        ]
        version = connection.dialect.server_version_info or ()
        return Inside(
            kind=connection.dialect.name,
            server=".".join(map(str, version)),
            revision=MigrationContext.configure(connection).get_current_revision() or "",
            tables=tuple(sorted(counts, key=lambda one: one.name)),
        )
