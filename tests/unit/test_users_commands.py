"""`clic-edge users`: accounts from the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from ledgers import make_tables
from logins import CHEAP, PASSWORD
from source import ROOT
from typer.testing import CliRunner

from clic_edge.accounts.door import Door
from clic_edge.cli import app, console
from clic_edge.domain.account import Role
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "127.0.0.1"


class Box:
    """A ledger, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.settings = folder / "clic-edge.toml"
        self.settings.write_text(
            f'[appliance]\nstate_dir = "."\nmodels = "{ROOT}/models"\n'
            f'pipelines = "{ROOT}/configs/pipelines"\ndeid_profiles = "{ROOT}/configs/deid"\n'
            '[destinations.pacs]\nkind = "folder"\npath = "out"\n'
        )
        engine = open_engine(f"sqlite:////{folder / 'clic-edge.sqlite'}")
        make_tables(engine)
        self.ledger = Ledger.on(engine)
        self.door = Door(self.ledger, hasher=CHEAP)

    def run(self, *words: str, typed: str = PASSWORD) -> str:
        """Run ``clic-edge users`` and return what it printed, or the code of its error."""
        ran = CliRunner().invoke(
            app, ["-c", str(self.settings), "users", *words], input=f"{typed}\n"
        )
        return ran.output if ran.exit_code == 0 else getattr(ran.exception, "code", ran.output)

    def lets_in(self, name: str, password: str = PASSWORD) -> bool:
        """Return whether somebody can log in."""
        try:
            self.door.log_in(name, password, address=ADDRESS, now=datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - any of ours
            assert getattr(error, "code", "") == "login-refused"  # noqa: PT017 - as above
            return False
        return True


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Box:
    """Return a site with an administrator and a viewer."""
    box = Box(tmp_path_factory.mktemp("box"))
    assert "Ida is administrator." in box.run("add", "Ida", "--role", "administrator")
    assert "Bo is viewer." in box.run("add", "Bo")
    return box


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.stdout, "width", 200)


def test_who_was_added_can_log_in_and_the_list_shows_no_secret(box: Box) -> None:
    assert box.lets_in("Ida")
    listed = box.run("list")
    assert "administrator" in listed
    assert "argon2" not in listed
    assert PASSWORD not in listed


@pytest.mark.parametrize(
    ("words", "typed", "code"),
    [
        (("add", "New"), "short", "password-weak"),
        (("add", "Twelve Letters"), "twelve letters", "password-weak"),
        (("add", "New"), "aaaaaaaaaaaaaaaa", "password-weak"),
        (("add", "IDA"), PASSWORD, "account-exists"),
        (("add", " "), PASSWORD, "account-name"),
        (("password", "nobody"), PASSWORD, "no-such-account"),
        (("role", "Ida", "viewer"), "", "last-administrator"),
        (("disable", "Ida"), "", "last-administrator"),
        (("token", "Ida", "--revoke", "none"), "", "no-such-token"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    box: Box, words: tuple[str, ...], typed: str, code: str
) -> None:
    before = box.ledger.accounts.all()
    assert box.run(*words, typed=typed) == code
    assert box.ledger.accounts.all() == before


@pytest.mark.slow
def test_role_password_and_disabling_count_at_once(box: Box) -> None:
    session = box.door.log_in("Bo", PASSWORD, address=ADDRESS, now=datetime.now(UTC))
    box.run("role", "bo", "physicist")
    assert box.ledger.accounts.named("Bo").role is Role.PHYSICIST
    assert box.door.by_session(session, datetime.now(UTC)) is None
    box.run("password", "Bo", typed="other words than before")
    assert not box.lets_in("Bo")
    assert box.lets_in("Bo", "other words than before")
    box.run("disable", "Bo")
    assert "disabled" in box.run("list")
    assert not box.lets_in("Bo", "other words than before")
    box.run("disable", "Bo", "--undo")
    assert box.lets_in("Bo", "other words than before")


def test_a_token_is_shown_once_and_ends_when_it_is_revoked(box: Box) -> None:
    box.run("add", "grafana", "--no-password")
    made = box.run("token", "grafana", "--for", "board", "--days", "9").split()[0]
    entered = box.door.by_token(made, datetime.now(UTC))
    assert entered
    assert entered.account.name == "grafana"
    assert not box.lets_in("grafana", "")
    listed = box.run("list")
    assert made not in listed
    assert "board" in listed
    (token,) = box.ledger.api_tokens.of("grafana")
    box.run("token", "grafana", "--revoke", token.token_id)
    assert box.door.by_token(made, datetime.now(UTC)) is None
