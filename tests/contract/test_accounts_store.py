"""Accounts, sessions, tokens and waits, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from logins import CHEAP, PASSWORD, add_account

from clic_edge.accounts.door import Door, Entered, Lifetime, TokenUse
from clic_edge.accounts.tokens import digest
from clic_edge.domain.account import Role
from clic_edge.errors import ConfigError, Refusal, Transient
from clic_edge.ledger import Ledger
from clic_edge.ledger.accounts import AccountRecord
from clic_edge.ledger.metadata import metadata
from clic_edge.ledger.schema import audit_events

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
HERE, THERE = "10.0.0.1", "10.0.0.2"


class Site:
    """A door over a ledger with two administrators and a viewer."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ledger = Ledger.on(engine)
        self.door = Door(self.ledger, hasher=CHEAP, lifetime=Lifetime(idle=HOUR, whole=8 * HOUR))
        for name, role in (("Ida", "administrator"), ("Bo", "administrator"), ("Åse", "viewer")):
            add_account(self.ledger, name, Role(role))

    def log_in(self, name: str = "Ida", word: str = PASSWORD, **at: object) -> str:
        """Log in, from here and now unless told otherwise."""
        return self.door.log_in(name, word, **({"address": HERE, "now": NOW} | at))  # type: ignore[arg-type]  # by name

    def fails(self, name: str = "Ida", **at: object) -> str:
        """Fail to log in, and return the code."""
        with pytest.raises((Refusal, Transient)) as caught:
            self.log_in(name, "a wrong password", **at)
        return caught.value.code

    def who(self, token: str, after: timedelta = timedelta(0)) -> Entered | None:
        """Return who has a session, some time from now."""
        return self.door.by_session(token, NOW + after)

    def audit(self) -> list[tuple[str, str, str]]:
        """Return who did what to what."""
        columns = audit_events.c
        query = sa.select(columns.person, columns.action, columns.about).order_by(columns.seq)
        with self.engine.connect() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]


@pytest.fixture
def site(engine: Engine) -> Site:
    return Site(engine)


# --- accounts


def test_a_name_is_one_account_however_it_is_written(site: Site) -> None:
    for name in ("ida", "IDA", " Ida ", "a\u030ase"):
        with pytest.raises(ConfigError) as caught:
            add_account(site.ledger, name)
        assert caught.value.code == "account-exists"
    assert site.log_in("åse")
    assert [one.name for one in site.ledger.accounts.all()] == ["Bo", "Ida", "Åse"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\x00b", "a\u202eb", "Configuration"])
def test_a_name_that_cannot_be_read_is_refused(site: Site, name: str) -> None:
    record = AccountRecord(name=name, role=Role.VIEWER, created_at=NOW)
    with pytest.raises(ConfigError) as caught:
        site.ledger.accounts.add(record, by="Ida")
    assert caught.value.code == "account-name"


def test_the_last_administrator_stays_one(site: Site) -> None:
    site.ledger.accounts.disable("Bo", by="Ida")
    for change in (
        lambda: site.ledger.accounts.disable("Ida", by="Ida"),
        lambda: site.ledger.accounts.set_role("Ida", Role.VIEWER, by="Ida"),
    ):
        with pytest.raises(ConfigError) as caught:
            change()
        assert caught.value.code == "last-administrator"
    assert site.log_in("Ida")
    site.ledger.accounts.enable("Bo", by="Ida")
    site.ledger.accounts.set_role("Ida", Role.VIEWER, by="Bo")


def test_two_administrators_who_disable_each_other_at_once_leave_one(site: Site) -> None:
    def disable(name: str) -> str:
        try:
            site.ledger.accounts.disable(name, by="somebody")
        except ConfigError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(disable, ("Ida", "Bo"))) == ["done", "last-administrator"]


# --- sessions


def test_a_session_is_its_accounts_until_it_ends(site: Site) -> None:
    token, other = site.log_in(), site.log_in("åse")
    found = site.who(token)
    assert found
    assert found.session
    assert (found.account.name, found.account.role) == ("Ida", Role.ADMINISTRATOR)
    assert token != other
    site.ledger.sessions.end(found.session.session_id, name="Åse", now=NOW)
    assert site.who(token), "nobody ends another's session"
    site.ledger.sessions.end(found.session.session_id, name="Ida", now=NOW)
    assert site.who(token) is None
    assert site.who(other)
    assert site.who("") is None


def test_a_session_ends_when_it_is_idle_and_when_it_is_old(site: Site) -> None:
    idle, busy = site.log_in(), site.log_in()
    for hours in range(1, 10):
        still = site.who(busy, hours * HOUR - 5 * hours * SECOND)
        assert bool(still) == (hours <= 8)
    assert site.who(idle, HOUR - SECOND)
    assert site.who(site.log_in(), HOUR) is None


@pytest.mark.parametrize("what", ["password", "role", "disable"])
def test_a_change_of_an_account_ends_its_sessions_and_nobody_elses(site: Site, what: str) -> None:
    tokens, other = [site.log_in(), site.log_in()], site.log_in("Bo")
    record = site.ledger.accounts.named("Ida")
    match what:
        case "password":
            site.door.set_password(record, "another good password", by="Bo")
        case "role":
            site.ledger.accounts.set_role("Ida", Role.PHYSICIST, by="Bo")
        case _:
            site.ledger.accounts.disable("Ida", by="Bo")
    assert [site.who(token) for token in tokens] == [None, None]
    assert site.who(other)


def test_who_changes_the_password_stays_in_by_a_new_session_only(site: Site) -> None:
    old, elsewhere = site.log_in(), site.log_in()
    new = site.door.change_password("Ida", PASSWORD, "another good password", address=HERE, now=NOW)
    assert site.who(new)
    assert site.who(old) is site.who(elsewhere) is None
    assert site.fails() == "login-refused"
    assert site.log_in(word="another good password")


def test_a_disabled_account_is_refused_in_the_same_words_as_a_wrong_password(site: Site) -> None:
    site.ledger.accounts.disable("Åse", by="Ida")
    told = set()
    for name, password in (("Åse", PASSWORD), ("Bo", "wrong"), ("nobody", PASSWORD), ("", "")):
        with pytest.raises(Refusal) as caught:
            site.log_in(name, password)
        told.add((caught.value.code, caught.value.sentence))
    assert len(told) == 1


# --- tokens of programs


def test_a_token_may_do_the_lesser_of_its_role_and_its_accounts(site: Site) -> None:
    ida, ase = site.ledger.accounts.named("Ida"), site.ledger.accounts.named("Åse")
    use = TokenUse(label="board", role=Role.PHYSICIST, expires_at=NOW + HOUR)
    tokens = [site.door.new_token(one, use, by="Ida", now=NOW) for one in (ida, ase)]
    entered = [site.door.by_token(token, NOW) for token in tokens]
    assert [one and one.account.role for one in entered] == [Role.PHYSICIST, Role.VIEWER]
    assert site.door.by_token(tokens[0], NOW + HOUR) is None
    assert site.door.by_session(tokens[0], NOW) is None
    site.ledger.accounts.disable("Åse", by="Ida")
    assert site.door.by_token(tokens[1], NOW) is None
    (kept,) = site.ledger.api_tokens.of("Ida")
    assert kept.used_at == NOW
    site.ledger.api_tokens.revoke("Ida", kept.token_id, by="Ida", now=NOW)
    assert site.door.by_token(tokens[0], NOW) is None
    with pytest.raises(ConfigError) as caught:
        site.ledger.api_tokens.revoke("Ida", kept.token_id, by="Ida", now=NOW)
    assert caught.value.code == "no-such-token"


# --- waits


def test_waits_double_up_to_an_end_and_hammering_makes_them_no_longer(site: Site) -> None:
    assert [site.fails(address=f"10.1.0.{n}") for n in range(5)] == ["login-refused"] * 5
    waits, at = [], NOW
    for number in range(14):
        for _ in range(3):
            with pytest.raises(Transient) as caught:
                site.log_in(address=f"10.2.0.{number}", now=at)
            assert caught.value.code == "login-too-often"
        assert caught.value.retry_after
        waits.append(caught.value.retry_after.total_seconds())
        at += caught.value.retry_after
        assert site.fails(address=f"10.2.0.{number}", now=at) == "login-refused"
    assert waits == [2.0**n for n in range(10)] + [900.0] * 4
    assert site.log_in(now=at + timedelta(minutes=15)), "nobody is locked out for ever"


def test_the_right_password_forgets_the_failures(site: Site) -> None:
    for _ in range(3):
        assert [site.fails() for _ in range(4)] == ["login-refused"] * 4
        assert site.log_in()


def test_where_its_owner_has_been_an_account_is_not_locked_by_others(site: Site) -> None:
    site.log_in(address=THERE)
    while site.fails() != "login-too-often":
        pass
    assert site.log_in(address=THERE)


def test_an_address_that_guesses_many_names_waits_for_all_of_them(site: Site) -> None:
    told = [site.fails(f"name {number}") for number in range(21)]
    assert told == ["login-refused"] * 20 + ["login-too-often"]
    with pytest.raises(Transient):
        site.log_in()
    assert site.log_in(address=THERE)


def test_a_network_of_ipv6_is_one_place_and_not_as_many_as_it_has_addresses(site: Site) -> None:
    told = [site.fails(f"name {one}", address=f"2001:db8::{one:x}") for one in range(21)]
    assert told == ["login-refused"] * 20 + ["login-too-often"]
    assert site.fails("another", address="2001:db8:0:1::1") == "login-refused"
    assert site.fails("another", address="::ffff:10.0.0.1") == "login-refused"


def test_a_new_password_at_the_command_line_lets_in_at_once(site: Site) -> None:
    for number in range(8):
        site.fails(address=f"10.1.0.{number}")
    assert site.fails(address=THERE) == "login-too-often"
    site.door.set_password(site.ledger.accounts.named("Ida"), "another good password", by="root")
    assert site.log_in(word="another good password", address=THERE)


def test_attempts_at_the_same_time_are_each_counted_also_by_two_processes(site: Site) -> None:
    """Another process is another engine on the same database."""
    again = sa.create_engine(site.engine.url)
    doors = [site.door, Door(Ledger.on(again), hasher=CHEAP)]

    def guess(number: int) -> str:
        try:
            doors[number % 2].log_in("Ida", "wrong", address=f"10.3.0.{number}", now=NOW)
        except (Refusal, Transient) as error:
            return error.code
        return "let in"

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(guess, range(24)))
    again.dispose()
    assert codes.count("login-refused") == 5
    assert codes.count("login-too-often") == 19


# --- what is kept


def test_every_log_in_failure_log_out_and_change_is_in_the_audit_trail(site: Site) -> None:
    begun = len(site.audit())
    entered = site.who(site.log_in())
    assert entered
    assert entered.session
    site.ledger.sessions.end(entered.session.session_id, name="Ida", now=NOW)
    site.fails("Bo")
    site.fails("hunter2hunter2")
    site.ledger.accounts.set_role("Åse", Role.PHYSICIST, by="Ida")
    site.ledger.accounts.disable("Åse", by="Ida")
    site.ledger.accounts.enable("Åse", by="Ida")
    site.door.set_password(site.ledger.accounts.named("Åse"), PASSWORD, by="Åse")
    use = TokenUse(label="board", role=Role.VIEWER, expires_at=NOW + HOUR)
    site.door.new_token(site.ledger.accounts.named("Åse"), use, by="Ida", now=NOW)
    assert site.audit()[begun:] == [
        ("Ida", "logged-in", "account Ida"),
        ("Ida", "logged-out", "account Ida"),
        ("", "login-failed", "account Bo"),
        ("", "login-failed", "an unknown account"),
        ("Ida", "role-changed", "account Åse"),
        ("Ida", "account-disabled", "account Åse"),
        ("Ida", "account-enabled", "account Åse"),
        ("Åse", "password-changed", "account Åse"),
        ("Ida", "token-added", "account Åse"),
    ]


def test_no_table_holds_a_password_a_token_or_a_name_that_is_none(site: Site) -> None:
    ida = site.ledger.accounts.named("Ida")
    use = TokenUse(label="board", role=Role.VIEWER, expires_at=NOW + HOUR)
    secrets = [site.log_in(), site.door.new_token(ida, use, by="Ida", now=NOW), PASSWORD]
    site.fails("typed in the wrong field")
    with site.engine.connect() as connection:
        kept = repr(
            [connection.execute(sa.select(table)).all() for table in metadata.sorted_tables]
        )
    assert digest(secrets[0]) in kept, "what is looked through holds the sessions"
    for secret in (*secrets, "typed in the wrong field"):
        assert secret not in kept
    entered = site.who(secrets[0])
    assert entered
    told = repr([ida, entered, site.ledger.api_tokens.of("Ida"), site.door])
    for secret in (*secrets, ida.password_hash, digest(secrets[0]), digest(secrets[1])):
        assert secret not in told


def test_a_hash_of_older_parameters_is_made_anew_at_the_next_log_in(site: Site) -> None:
    before = site.ledger.accounts.named("Ida").password_hash
    stronger = type(CHEAP)(passes=2, memory_kib=64, lanes=1)
    door = Door(site.ledger, hasher=stronger)
    token = door.log_in("Ida", PASSWORD, address=HERE, now=NOW)
    after = site.ledger.accounts.named("Ida").password_hash
    assert before.startswith("$argon2id$")
    assert "m=64,t=2,p=1" in after
    assert site.who(token), "no session ends by that"


def test_a_forgotten_session_is_deleted_after_a_month(site: Site) -> None:
    site.log_in(address=THERE)
    site.log_in("Bo", now=NOW + timedelta(days=29))
    assert site.ledger.sessions.has_been("Ida", THERE)
    site.log_in("Bo", now=NOW + timedelta(days=31))
    assert not site.ledger.sessions.has_been("Ida", THERE)
