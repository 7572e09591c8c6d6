"""Accounts: who may be at the pages. Every change of one is in the audit trail, and none is deleted."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.account import Account, Role
from clic_edge.domain.standing import is_reserved
from clic_edge.errors import ConfigError
from clic_edge.ledger.access_tables import accounts, sessions
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.sql import begin_writing, insert_once

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

LONGEST_NAME = 64
_LOCK = 0x434C4955  # "CLIU": two changes at once do not both leave the other administrator


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """An account as it is kept."""

    name: str
    role: Role
    created_at: datetime
    password_hash: str = field(default="", repr=False)
    """Argon2id; empty of an account that logs in by OpenID Connect, or only by a token."""
    issuer: str = ""
    subject: str = field(default="", repr=False)
    language: str = ""
    """Empty for the site's own."""
    is_disabled: bool = False

    @property
    def account(self) -> Account:
        """Who the pages see."""
        return Account(name=self.name, role=self.role)


class AccountStore:
    """The table of accounts, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, record: AccountRecord, *, by: str) -> AccountRecord:
        """Keep a new account and return it, its name tidied up.

        Raises
        ------
        ConfigError
            ``account-name``: the name is empty, too long, or holds what can't be printed.
            ``account-exists``: somebody goes by it, in whatever letters.

        """
        record = replace(record, name=tidy_name(record.name))
        row = {name: getattr(record, name) for name in AccountRecord.__slots__}
        row["folded"] = folded(record.name)
        with self._engine.begin() as connection:
            if not insert_once(connection, accounts, [row]):
                raise ConfigError("account-exists", "There is an account of that name already.")
            how = f"through {record.issuer}" if record.issuer else "local"
            _note(connection, record, "account-added", by=by, detail=f"{record.role}, {how}")
        return record

    def find(self, name: str) -> AccountRecord | None:
        """Return the account of a name, however its letters are written."""
        return self._one(accounts.c.folded == folded(name))

    def find_subject(self, issuer: str, subject: str) -> AccountRecord | None:
        """Return the account of a person whom an OpenID provider knows."""
        return self._one((accounts.c.issuer == issuer) & (accounts.c.subject == subject))

    def named(self, name: str) -> AccountRecord:
        """Return the account of a name. Raises ConfigError ``no-such-account``."""
        if record := self.find(name):
            return record
        raise ConfigError(
            "no-such-account", "There is no account of that name; `clic-edge users list` shows all."
        )

    def all(self) -> tuple[AccountRecord, ...]:
        """Return every account, by name."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(accounts).order_by(accounts.c.folded))
            return tuple(record_of(row._mapping) for row in rows)

    def set_password(self, name: str, password_hash: str, *, by: str) -> None:
        """Give an account another password; its sessions end."""
        self._change(name, {"password_hash": password_hash}, by=by, action="password-changed")

    def renew_hash(self, name: str, password_hash: str) -> None:
        """Keep the same password in a stronger form; nobody notices."""
        this = accounts.c.name == name
        with self._engine.begin() as connection:
            connection.execute(accounts.update().where(this).values(password_hash=password_hash))

    def set_role(self, name: str, role: Role, *, by: str, keep_one: bool = True) -> None:
        """Give an account another role; its sessions end. Raises as `disable`."""
        self._change(name, {"role": role}, by=by, action="role-changed", keep_one=keep_one)

    def disable(self, name: str, *, by: str) -> None:
        """Let an account in no more, from this moment; its sessions end and its tokens are dead.

        Raises
        ------
        ConfigError
            ``no-such-account``; ``last-administrator``: no enabled one would be left.

        """
        self._change(name, {"is_disabled": True}, by=by, action="account-disabled", keep_one=True)

    def enable(self, name: str, *, by: str) -> None:
        """Let a disabled account in again."""
        self._change(name, {"is_disabled": False}, by=by, action="account-enabled")

    def set_language(self, name: str, language: str) -> None:
        """Remember in which language an account reads; its sessions go on."""
        this = accounts.c.name == name
        with self._engine.begin() as connection:
            connection.execute(accounts.update().where(this).values(language=language))

    def _one(self, which: sa.ColumnElement[bool]) -> AccountRecord | None:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(accounts).where(which)).one_or_none()
        return record_of(row._mapping) if row else None

    def _change(
        self,
        name: str,
        values: dict[str, object],
        *,
        by: str,
        action: str,
        keep_one: bool = False,
    ) -> None:
        before = self.named(name)
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            this = accounts.c.name == before.name
            connection.execute(accounts.update().where(this).values(values))
            if keep_one and before.role is Role.ADMINISTRATOR:
                _require_administrator(connection)
            open_ones = (sessions.c.name == before.name) & sessions.c.ended_at.is_(None)
            ended = sessions.update().where(open_ones).values(ended_at=datetime.now(UTC))
            connection.execute(ended)
            detail = f"{before.role} to {values['role']}" if "role" in values else ""
            _note(connection, before, action, by=by, detail=detail)


def tidy_name(name: str) -> str:
    """Return a name with single spaces. Raises ConfigError ``account-name``."""
    tidied = " ".join(unicodedata.normalize("NFC", name).split())
    fits = 0 < len(tidied) <= LONGEST_NAME and tidied.isprintable()
    if not fits or is_reserved(tidied):
        raise ConfigError(
            "account-name",
            f"A name has 1 to {LONGEST_NAME} letters, all of which can be printed, and is none by "
            "which the appliance itself acts.",
        )
    return tidied


def folded(name: str) -> str:
    """Return what is the same of names that a person would call the same."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())[:256]


def _require_administrator(connection: sa.Connection) -> None:
    enabled = (accounts.c.role == Role.ADMINISTRATOR) & accounts.c.is_disabled.is_(False)
    if not connection.scalar(sa.select(sa.func.count()).select_from(accounts).where(enabled)):
        raise ConfigError(
            "last-administrator", "No administrator would be left; make another one first."
        )


def _note(
    connection: sa.Connection, record: AccountRecord, action: str, *, by: str, detail: str
) -> None:
    event = AuditEvent(
        at=datetime.now(UTC),
        action=action,
        detail=detail,
        person=by[:LONGEST_NAME],
        about=f"account {record.name}",
    )
    note_event(connection, event)


def record_of(row: sa.RowMapping) -> AccountRecord:
    """Return the account of a row."""
    values = {name: row[name] for name in AccountRecord.__slots__}
    return AccountRecord(**values | {"role": Role(row["role"])})
