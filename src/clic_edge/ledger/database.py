"""Opening the database: SQLite on one box, PostgreSQL on many, in memory for one run."""

from __future__ import annotations

import math
import stat
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    InvalidatePoolError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004 - SQLAlchemy's own, of its pool
)
from sqlalchemy.pool import StaticPool

from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.ledger.passfile import with_password
from clic_edge.ledger.sql import begin_writing

if TYPE_CHECKING:
    from sqlite3 import Connection as SqliteConnection

    from sqlalchemy.engine import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

DatabaseAway = OperationalError
"""What every store raises when the database is away, or ends the connection."""
DatabaseFailed = SQLAlchemyError
"""What every store raises when the database fails, in whatever way: `DatabaseAway` is one of these."""
DatabaseBusy = TimeoutError
"""What every store raises when all connections were in use for too long."""
DatabaseUnfit = DataError
"""What every store raises of a value that the database can't hold: PostgreSQL no zero byte."""
_USED_AT = "used at"
_RESTS_AFTER_SECONDS = 1.0
_MIGRATION_LOCK = 0x434C4943  # "CLIC": two workers that start together migrate one by one


def open_engine(url: str) -> Engine:
    """Return an engine for a SQLAlchemy URL; ``sqlite://`` is a database in memory.

    Raises
    ------
    ConfigError
        ``database-url``: the URL is malformed, or no driver of that name is installed;
        ``no-secret``, as `with_password`.

    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed)
        return _server(with_password(parsed))
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            "database-url",
            "The database URL is not understood; write sqlite:////path/ledger.db "
            "or postgresql+psycopg://user@host/name.",
        ) from error


def _server(url: sa.URL) -> Engine:
    """Return an engine that uses few connections, and asks each that rested whether it still is."""
    engine = sa.create_engine(url, pool_size=20, pool_use_lifo=True)
    sa.event.listen(engine, "checkout", partial(_require_alive, engine))
    sa.event.listen(engine, "checkin", _note_use)
    return engine


def _require_alive(
    engine: Engine, connection: DBAPIConnection, record: ConnectionPoolEntry, *_: object
) -> None:
    """Ask a server whether a connection is there, but not one that was used a moment ago.

    A worker takes a connection a hundred times for a case; to be asked each time costs as much as
    what it is taken for.
    """
    if monotonic() - record.info.get(_USED_AT, -math.inf) < _RESTS_AFTER_SECONDS:
        return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error


def _note_use(_: object, record: ConnectionPoolEntry) -> None:
    record.info[_USED_AT] = monotonic()


def _sqlite(url: sa.URL) -> Engine:
    if url.database in (None, "", ":memory:"):
        engine = sa.create_engine(
            url, poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
    else:
        engine = sa.create_engine(url, pool_size=20)
        sa.event.listen(engine, "do_connect", partial(_begin_shared, Path(url.database or "")))
    sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _begin_shared(path: Path, *_: object) -> None:
    with suppress(OSError):  # then SQLite can't open it either, and says so
        path.touch(0o600, exist_ok=False)
        share_with_folder(path)


def share_with_folder(path: Path) -> None:
    """Let a folder's group write a new file in it, where the folder is made for that (setgid).

    SQLite would make a database for its maker alone; its log gets the database's own mode.
    """
    mode = path.parent.stat().st_mode
    if mode & stat.S_ISGID and mode & stat.S_IWGRP:
        path.chmod(0o660)


def _prepare_sqlite(connection: SqliteConnection, _record: object) -> None:
    # Writers queue up instead of failing halfway; a commit survives a power cut.
    connection.isolation_level = "IMMEDIATE"
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    # In KiB, of each connection: the index of a year, not read from the system page by page.
    connection.execute("PRAGMA cache_size=-32768")


def migrate(engine: Engine) -> None:
    """Bring the tables to this version, creating them at first.

    Raises
    ------
    ConfigError
        ``database-newer``: a newer version of clic-edge has migrated this database.
    Defect
        ``database-damaged``: it is no database any more, or a part of it can't be read.
    Transient
        ``database-away``: the database could not be reached.

    """
    config = _migrations()
    try:
        with engine.begin() as connection:
            # All or nothing on SQLite too, whose driver would commit each table by itself.
            begin_writing(connection, _MIGRATION_LOCK)
            config.attributes["connection"] = connection
            _refuse_newer(connection, ScriptDirectory.from_config(config))
            command.upgrade(config, "head")
    except OperationalError as error:
        raise database_away() from error
    except DatabaseError as error:
        raise Defect(
            "database-damaged",
            "The ledger's database is damaged; put back the last backup with "
            "`clic-edge ledger restore`.",
        ) from error


def require_ledger(engine: Engine) -> None:
    """Return when the tables are there; the worker makes them at its first start.

    Raises
    ------
    ConfigError
        ``no-ledger``: there are none yet. ``ledger-older``: they are of an earlier version.
        ``database-newer``: they are of a later one.
    Transient
        ``database-away``: the database could not be reached.

    """
    url = engine.url
    # Connecting would make an empty file.
    is_missing = url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file()
    try:
        if not is_missing and sa.inspect(engine).has_table("cases"):
            _require_current(engine)
            return
    except OperationalError as error:
        raise database_away() from error
    raise ConfigError(
        "no-ledger", f"There is no ledger at {url.database} yet; `clic-edge serve` makes it."
    )


def database_away() -> Transient:
    """Return what becomes of a `DatabaseAway` when it enters."""
    return Transient("database-away", "The ledger's database could not be opened; is it running?")


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("clic_edge.ledger") / "migrations"))
    return config


def _require_current(engine: Engine) -> None:
    scripts = ScriptDirectory.from_config(_migrations())
    with engine.connect() as connection:
        _refuse_newer(connection, scripts)
        current = MigrationContext.configure(connection).get_current_revision()
    if current != scripts.get_current_head():
        raise ConfigError(
            "ledger-older",
            "The ledger is of an earlier version of clic-edge; `clic-edge serve` brings it up to "
            "date when it starts.",
        )


def _refuse_newer(connection: sa.Connection, scripts: ScriptDirectory) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        return
    try:
        scripts.get_revision(current)
    except CommandError as error:
        raise ConfigError(
            "database-newer",
            f"The database is at revision {current}, which this version of clic-edge does not "
            "know; install the version that wrote it.",
        ) from error
