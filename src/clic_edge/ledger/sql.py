"""Statements that SQLite and PostgreSQL know both, but SQLAlchemy keeps apart."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    Row = Mapping[str, object]


_PART = 500
"""SQLite takes so many values in one statement, and far more."""


def in_parts(values: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield values some at a time, for `IN`."""
    left = iter(values)
    while part := tuple(islice(left, _PART)):
        yield part


def _insert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def insert_once(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> int:
    """Insert rows that are not there yet, by primary key; return how many were new."""
    (key, *_) = table.primary_key
    insert = _insert(connection, table).on_conflict_do_nothing().returning(key)
    # Rows are asked for, because a driver's count of them does not know of conflicts.
    return sum(len(connection.execute(insert, row).all()) for row in rows)


def insert_or_replace(connection: sa.Connection, table: sa.Table, row: Row) -> None:
    """Insert a row, or overwrite the one with the same primary key."""
    keys = [column.name for column in table.primary_key]
    values = {name: value for name, value in row.items() if name not in keys}
    statement = _insert(connection, table).values(**row)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values))


def utc_month(dialect: sa.Dialect, moment: sa.ColumnElement[datetime]) -> sa.ColumnElement[str]:
    """Return the month of a moment in UTC, as `YYYY-MM`."""
    if dialect.name == "postgresql":
        return sa.func.to_char(sa.func.timezone("UTC", moment), "YYYY-MM")
    return sa.func.strftime("%Y-%m", moment)


def begin_writing(connection: sa.Connection, lock: int) -> None:
    """Let one writer at a time read and then write; `lock` is what PostgreSQL calls it by."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
    else:
        # The driver begins a transaction at the first write only, and here the reading counts.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def insert_or_replace_all(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Row], *, growing: str
) -> None:
    """Insert rows that all have the same columns, or overwrite those with the same primary key.

    Where the column `growing` would become less, the row stays as it is.
    """
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    statement = _insert(connection, table)
    values = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    is_no_less = statement.excluded[growing] >= table.c[growing]
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=values, where=is_no_less),
        list(rows),
    )
