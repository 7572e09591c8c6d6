"""Room on the disk: what becomes of a case when there is none."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clic_edge.errors import Transient

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.exc import DBAPIError

RESERVE_BYTES: Final = 64 << 20
"""What a prediction leaves free, so that states, receipts and the audit can still be written."""
_FULL: Final = "53100"
"""PostgreSQL's SQLSTATE `disk_full`."""


def require_room(engine: Engine) -> None:
    """Return where a prediction may be logged. PostgreSQL knows of its own disk by itself.

    Raises
    ------
    Transient
        ``disk-full``.

    """
    folder = _folder(engine)
    if folder and folder.is_dir() and shutil.disk_usage(folder).free < RESERVE_BYTES:
        raise disk_full(engine)


def is_full(error: DBAPIError) -> bool:
    """Whether the database says that its disk is full."""
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(cause, "sqlstate", None) == _FULL


def disk_full(engine: Engine) -> Transient:
    """Return what a case waits with: it names the folder and its free bytes."""
    folder = _folder(engine)
    if folder is None:
        where = "The disk of the ledger's database server is full"
    else:
        free = shutil.disk_usage(folder).free
        where = f"The disk of the ledger is full: {folder} has {free:,} bytes free"
    return Transient("disk-full", f"{where}; make room, and the case goes on by itself.")


def _folder(engine: Engine) -> Path | None:
    """Return where SQLite's file lies; None for a server, and for memory."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name or name == ":memory:":
        return None
    return Path(name).parent
