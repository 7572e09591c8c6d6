"""Connections to a server: asked after a rest, and made anew where the server let go of them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from clic_edge.ledger import database
from clic_edge.ledger.database import DatabaseAway, open_engine

if TYPE_CHECKING:
    from servers import PostgresServer
    from sqlalchemy.engine import Engine

pytestmark = pytest.mark.servers
OWN = sa.text("SELECT pg_backend_pid()")


def asked(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(OWN) or 0)


def end(own: int, url: str) -> None:
    """Let the server end a connection, as it does when it is restarted."""
    other = open_engine(url)
    with other.begin() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:own, 10000)"), {"own": own})
    other.dispose()


def ended(url: str) -> tuple[Engine, int]:
    """Return an engine, and the connection that it had until the server ended it."""
    engine = open_engine(url)
    own = asked(engine)
    end(own, url)
    return engine, own


def test_one_connection_serves_whoever_comes_one_after_another(postgres: PostgresServer) -> None:
    engine = open_engine(postgres.url)
    with closing(engine.raw_connection()), closing(engine.raw_connection()):
        pass
    assert len({asked(engine) for _ in range(5)}) == 1
    engine.dispose()


def test_a_connection_that_was_ended_while_it_rested_is_made_anew(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_RESTS_AFTER_SECONDS", 0.0)
    engine, own = ended(postgres.url)
    assert asked(engine) != own
    engine.dispose()


def test_one_that_was_ended_a_moment_after_its_use_is_told_once_as_a_database_that_is_away(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_RESTS_AFTER_SECONDS", 1000.0)
    engine, own = ended(postgres.url)
    with pytest.raises(DatabaseAway):
        asked(engine)
    assert asked(engine) != own
    engine.dispose()
