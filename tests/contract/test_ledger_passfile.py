"""The database's password lies in one file that our processes read, each a user of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from servers import wait_for

from clic_edge.errors import ConfigError
from clic_edge.ledger.database import open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from servers import PostgresServer

ODD = r"a:b\c"
AS_WRITTEN = r"a\:b\\c"


@pytest.mark.servers
def test_a_password_file_that_the_group_reads_lets_into_the_database(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    rules = postgres.folder / "cluster" / "pg_hba.conf"
    rules.write_text(f"host all asked 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    plain = postgres.url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(rf"CREATE ROLE asked LOGIN PASSWORD '{ODD}'")
        connection.execute("SELECT pg_reload_conf()")
    url = postgres.url.replace("clic@", "asked@")

    def asks() -> bool:
        try:
            psycopg.connect(url.replace("+psycopg", "")).close()
        except psycopg.OperationalError:
            return True
        return False

    wait_for(asks, "the server asks for a password")
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{postgres.port}:*:asked:{AS_WRITTEN}\n")
    file.chmod(0o640)
    engine = open_engine(f"{url}?passfile={file}")
    try:
        with engine.connect() as inside:
            assert inside.execute(sa.text("SELECT current_user")).scalar() == "asked"
        assert ODD not in str(engine.url)
    finally:
        engine.dispose()


def test_the_first_line_that_fits_counts_and_without_one_postgresql_is_asked_as_it_is(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pgpass"
    file.write_text("# ours\nother:5432:*:us:no\nhere:5432:ledger:us:first\n*:*:*:*:second\n")
    file.chmod(0o640)
    for address, password in (
        ("us@here/ledger", "first"),
        ("us@here:5433/ledger", "second"),
        ("us@/ledger?host=here", "first"),
    ):
        begin = "&" if "?" in address else "?"
        url = open_engine(f"postgresql+psycopg://{address}{begin}passfile={file}").url
        assert (url.password, url.query.get("passfile")) == (password, None)
    file.write_text("other:5432:*:us:no\n")
    assert open_engine(f"postgresql+psycopg://us@here/ledger?passfile={file}").url.password is None


@pytest.mark.parametrize("mode", [None, 0o644])
def test_a_password_file_that_is_missing_or_everybodys_is_said(
    tmp_path: Path, mode: int | None
) -> None:
    file = tmp_path / "pgpass"
    if mode is not None:
        file.write_text("*:*:*:*:secret\n")
        file.chmod(mode)
    with pytest.raises(ConfigError) as refused:
        open_engine(f"postgresql+psycopg://us@here/ledger?passfile={file}")
    assert refused.value.code == "no-secret"
    assert "secret\n" not in refused.value.sentence
