"""The databases that a ledger lies on."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from ledgers import make_tables
from servers import POSTGRES_BINARIES, require

from clic_edge.ledger.database import migrate, open_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import PostgresServer
    from sqlalchemy.engine import Engine


@pytest.fixture(scope="session")
def empty_postgres(postgres: PostgresServer) -> Callable[[], Engine]:
    """Return what empties the session's database but for the tables of an empty ledger.

    The migrations are run once; what they made is written down and made again from that.
    """
    url = sa.make_url(postgres.url)
    engine = open_engine(postgres.url)
    migrate(engine)
    engine.dispose()
    dump = [require("pg_dump", POSTGRES_BINARIES), "--inserts", f"--port={postgres.port}"]
    options = ["--host=127.0.0.1", f"--username={url.username}", str(url.database)]
    said = subprocess.run([*dump, *options], check=True, capture_output=True, text=True).stdout
    # Lines with a backslash are for psql.
    script = "\n".join(line for line in said.splitlines() if not line.startswith("\\"))

    def make() -> Engine:
        with psycopg.connect(url.set(drivername="postgresql").render_as_string()) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            connection.execute(script.encode())
        return open_engine(postgres.url)

    return make


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Return a database with an empty ledger, on SQLite and on PostgreSQL."""
    if request.param == "postgresql":
        opened = request.getfixturevalue("empty_postgres")()
    else:
        opened = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
        make_tables(opened)
    yield opened
    opened.dispose()
