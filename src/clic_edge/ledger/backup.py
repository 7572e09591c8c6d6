"""Backup and restore of the whole database while it is written to, the queue included.

Both copy one moment: SQLite by `VACUUM INTO`, which reads in one transaction and holds up no
writer, PostgreSQL by `pg_dump`. The queue (DBOS) lies in the same database, so cases and what is
queued of them are of the same moment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL

from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.ledger.database import share_with_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

_SUFFIX: Final = ".sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was read back."""

    path: Path
    digest: str
    """SHA-256, also in the file beside it, as `sha256sum` writes it."""
    size: int
    cases: int | None
    """Counted in the copy; None where only its table of contents was read (PostgreSQL)."""


def back_up(engine: Engine, path: Path) -> Backup:
    """Write a backup that is complete or not there, its digest beside it, and read it back.

    Raises
    ------
    ConfigError
        ``backup-there``; ``no-pg-tools``: PostgreSQL's client programs are not installed.
    Transient
        ``backup-failed``: it could not be written; nothing is left of it.

    """
    if path.exists():
        raise ConfigError("backup-there", f"{path} is there already; name another file.")
    with written(path) as part:
        if engine.dialect.name == "sqlite":
            _copy_sqlite(engine, part)
            counted: int | None = _count(part)
        else:
            to_part = ("--format=custom", "--file", str(part), "--dbname", _libpq(engine))
            _run(engine, "pg_dump", *to_part)
            _run(engine, "pg_restore", "--list", str(part))
            counted = None
        digest = _digest(part)
        path.with_name(path.name + _SUFFIX).write_text(f"{digest}  {path.name}\n")
    return Backup(path=path, digest=digest, size=path.stat().st_size, cases=counted)


def restore(engine: Engine, path: Path) -> str:
    """Make the database of a backup, where none is, and return the backup's digest.

    Raises
    ------
    ConfigError
        ``ledger-there``: the database is not empty; ``no-backup``; ``no-pg-tools``.
    Defect
        ``backup-changed``: the file is not what its digest says.

    """
    digest = _checked(path)
    require_empty(engine)
    try:
        if engine.dialect.name == "sqlite":
            target = Path(engine.url.database or "")
            target.parent.mkdir(parents=True, exist_ok=True)
            with _whole(target) as part:
                shutil.copyfile(path, part)
                share_with_folder(part)
                _count(part)
        else:
            _run(
                engine,
                *("pg_restore", "--single-transaction", "--no-owner", "--exit-on-error"),
                *("--dbname", _libpq(engine), str(path)),
            )
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            "no-backup", f"{path} could not be restored; is it a backup of this database's kind?"
        ) from error
    return digest


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield what becomes a part of a backup when it is whole; its owner alone may read it.

    Raises Transient ``backup-failed``: it could not be written, and nothing is left of it.
    """
    try:
        with _whole(path) as part:
            yield part
    except (OSError, sqlite3.Error) as error:
        raise Transient(
            "backup-failed",
            f"The backup could not be written to {path.parent}: is there room, and leave to write?",
        ) from error


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a file beside `path` that takes its place at the end, on the disk, or goes."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        part.touch(mode=0o600, exist_ok=False)  # before there is anything in it to read
        yield part
        _to_disk(part)
        part.rename(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _copy_sqlite(engine: Engine, part: Path) -> None:
    source = sqlite3.connect(f"file:{engine.url.database}?mode=ro", uri=True)
    try:
        source.execute("PRAGMA busy_timeout=30000")
        source.execute("VACUUM INTO ?", (str(part),))
    finally:
        source.close()


def _count(path: Path) -> int:
    """Return the number of cases in a copy that is whole."""
    copy = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        if copy.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise Defect("backup-changed", f"{path} is no whole database; use an earlier backup.")
        return int(copy.execute("SELECT count(*) FROM cases").fetchone()[0])
    finally:
        copy.close()


def _checked(path: Path) -> str:
    beside = path.with_name(path.name + _SUFFIX)
    try:
        told, digest = beside.read_text(encoding="utf-8").split()[0], _digest(path)
    except (OSError, IndexError) as error:
        raise ConfigError(
            "no-backup", f"{path} can't be read, or {beside.name} with its digest is missing."
        ) from error
    if told != digest:
        raise Defect("backup-changed", f"{path} is not what was backed up; use an earlier backup.")
    return digest


def require_empty(engine: Engine) -> None:
    """Return where no ledger is. Raises ConfigError ``ledger-there``."""
    if engine.dialect.name == "sqlite":
        target = Path(engine.url.database or "")
        # A log that is left behind would be played into the restored file.
        left = [target, *(target.with_name(target.name + end) for end in ("-wal", "-shm"))]
        is_empty = not any(one.exists() for one in left)
    else:
        is_empty = not sa.inspect(engine).get_table_names()
    if not is_empty:
        raise ConfigError(
            "ledger-there",
            "A ledger is there. Stop the services and move it away; nothing was restored.",
        )


def _libpq(engine: Engine) -> str:
    """Return the database without its password: a list of processes shows what stands here."""
    url = engine.url
    bare = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return bare.render_as_string()


def _run(engine: Engine, *words: str) -> None:
    """Run a program of PostgreSQL; what it says may name hosts and users, so it is not told."""
    program = shutil.which(words[0])
    if program is None:
        raise ConfigError(
            "no-pg-tools", f"{words[0]} is not installed; it comes with postgresql-client."
        )
    password = engine.url.password
    secret = {"PGPASSWORD": str(password)} if password else {}
    ended = subprocess.run(  # noqa: S603 - found by name, our own words
        [program, *words[1:]], capture_output=True, check=False, env=os.environ | secret
    )
    if ended.returncode:
        raise ConfigError(
            "pg-tools-failed",
            f"{words[0]} ended with {ended.returncode}; run it by hand to see why.",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _to_disk(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
