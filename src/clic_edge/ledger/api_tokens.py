"""Tokens of programs: long, random, shown once; the ledger holds their SHA-256."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.account import Role
from clic_edge.errors import ConfigError
from clic_edge.ledger.access_tables import accounts, api_tokens
from clic_edge.ledger.accounts import record_of
from clic_edge.ledger.records import AuditEvent, note_event

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from clic_edge.ledger.accounts import AccountRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """What lets a program in, in the name of an account."""

    token_id: str
    """To speak of it; it opens nothing."""
    name: str
    """Of the account."""
    label: str
    """What it is for."""
    role: Role
    """It may do no more than this, and no more than its account."""
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    token_digest: str = field(repr=False)


class ApiTokenStore:
    """The table of tokens, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, token: ApiToken, *, by: str) -> None:
        """Keep a new token."""
        row = {name: getattr(token, name) for name in ApiToken.__slots__}
        detail = f"{token.label}, {token.role}, until {token.expires_at:%Y-%m-%d}"
        with self._engine.begin() as connection:
            connection.execute(api_tokens.insert().values(**row))
            _note(connection, token, "token-added", at=token.created_at, by=by, detail=detail)

    def find(self, token_digest: str, now: datetime) -> tuple[ApiToken, AccountRecord] | None:
        """Return a token that lets in, and its account; None where either does not any more."""
        live = (
            (api_tokens.c.token_digest == token_digest)
            & api_tokens.c.revoked_at.is_(None)
            & (api_tokens.c.expires_at > now)
        )
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(api_tokens).where(live)).one_or_none()
            if row is None:
                return None
            token = _token(row._mapping)
            its = (accounts.c.name == token.name) & accounts.c.is_disabled.is_(False)
            of = connection.execute(sa.select(accounts).where(its)).one_or_none()
        return (token, record_of(of._mapping)) if of else None

    def touch(self, token: ApiToken, now: datetime) -> None:
        """Remember that a token is used."""
        this = api_tokens.c.token_digest == token.token_digest
        with self._engine.begin() as connection:
            connection.execute(api_tokens.update().where(this).values(used_at=now))

    def of(self, name: str) -> tuple[ApiToken, ...]:
        """Return the tokens of an account, the newest first; also those that are dead."""
        query = sa.select(api_tokens).where(api_tokens.c.name == name)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(api_tokens.c.created_at.desc()))
            return tuple(_token(row._mapping) for row in rows)

    def revoke(self, name: str, token_id: str, *, by: str, now: datetime) -> None:
        """Let a token in no more. Raises ConfigError ``no-such-token``."""
        found = [one for one in self.of(name) if one.token_id == token_id and not one.revoked_at]
        if not found:
            raise ConfigError("no-such-token", "The account has no such token that still works.")
        (token,) = found
        with self._engine.begin() as connection:
            this = api_tokens.c.token_digest == token.token_digest
            connection.execute(api_tokens.update().where(this).values(revoked_at=now))
            _note(connection, token, "token-revoked", at=now, by=by, detail=token.label)


def _note(
    connection: sa.Connection,
    token: ApiToken,
    action: str,
    *,
    at: datetime,
    by: str,
    detail: str,
) -> None:
    about = f"account {token.name}"
    note_event(connection, AuditEvent(at=at, action=action, detail=detail, person=by, about=about))


def _token(row: sa.RowMapping) -> ApiToken:
    values = {name: row[name] for name in ApiToken.__slots__}
    return ApiToken(**values | {"role": Role(row["role"])})
