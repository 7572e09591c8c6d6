"""The databases that a ledger lies on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from servers import postgres_server

from clic_edge.ledger.database import migrate, open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres_server() as server:
        yield server.url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Return a database with an empty ledger, on SQLite and on PostgreSQL."""
    if request.param == "postgresql":
        opened = open_engine(request.getfixturevalue("postgres_url"))
        with opened.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
    else:
        opened = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    migrate(opened)
    yield opened
    opened.dispose()
