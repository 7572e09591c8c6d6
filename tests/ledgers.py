"""Empty ledgers, copied: what the migrations make is made once, as they take a tenth of a second."""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import TYPE_CHECKING

from clic_edge.ledger.database import migrate, open_engine

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def make_tables(engine: Engine) -> None:
    """Put the tables of an empty ledger into an empty database, as `migrate` does."""
    if engine.dialect.name != "sqlite":
        migrate(engine)
        return
    with engine.connect() as connection:
        _migrated().backup(_sqlite_of(connection.connection.driver_connection))
    if engine.url.database:
        engine.dispose()  # the copy has taken the journal's mode back, which is set on connecting


@cache
def _migrated() -> sqlite3.Connection:
    engine, template = (
        open_engine("sqlite://"),
        sqlite3.connect(":memory:", check_same_thread=False),
    )
    migrate(engine)
    with engine.connect() as connection:
        _sqlite_of(connection.connection.driver_connection).backup(template)
    engine.dispose()
    return template


def _sqlite_of(connection: object) -> sqlite3.Connection:
    assert isinstance(connection, sqlite3.Connection)
    return connection
