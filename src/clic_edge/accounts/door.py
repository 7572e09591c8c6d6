"""The door: who is let in, for how long, and how long one waits who guessed wrong."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final

from clic_edge.accounts.passwords import Hasher, require_strong
from clic_edge.accounts.tokens import derived, digest, new_id, new_token
from clic_edge.domain.account import Account
from clic_edge.errors import ConfigError, Refusal, Transient
from clic_edge.ledger.accounts import AccountRecord, folded
from clic_edge.ledger.api_tokens import ApiToken
from clic_edge.ledger.attempts import Origin
from clic_edge.ledger.records import AuditEvent
from clic_edge.ledger.sessions import Session

if TYPE_CHECKING:
    from datetime import datetime

    from clic_edge.accounts.openid import Person
    from clic_edge.domain.account import Role
    from clic_edge.ledger import Ledger

_TOUCHED: Final = timedelta(minutes=1)
_REMEMBERED: Final = timedelta(days=30)
_FREE_OF_ACCOUNT, _FREE_OF_ADDRESS = 5, 20
_LONGEST_WAIT: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """Who is in, by a session or by a token."""

    account: Account
    session: Session | None
    """None of a program that came with a token."""
    csrf: str = ""
    """What a form of this session has to bring back; empty of a program."""
    language: str = ""
    """In which the account reads; empty for the site's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """How long a session lives."""

    idle: timedelta = timedelta(hours=1)
    """Without being used."""
    whole: timedelta = timedelta(hours=12)
    """However much it is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """What a program's token is for."""

    label: str
    role: Role
    expires_at: datetime


class Door:
    """Passwords, sessions and tokens over a ledger."""

    def __init__(
        self, ledger: Ledger, *, hasher: Hasher | None = None, lifetime: Lifetime | None = None
    ) -> None:
        """Return the door of a site."""
        self._ledger = ledger
        self._hasher = hasher or Hasher()
        self._lifetime = lifetime or Lifetime()

    @property
    def is_new(self) -> bool:
        """Whether there is no account yet."""
        return not self._ledger.accounts.all()

    def log_in(self, name: str, password: str, *, address: str, now: datetime) -> str:
        """Return the token of a new session.

        Whether there is an account of that name can't be told from the answer, nor from the time
        it takes.

        Raises
        ------
        Refusal
            ``login-refused``: name or password is wrong, or the account is disabled.
        Transient
            ``login-too-often``: too many failed; it says when to try again.

        """
        record = self._proved(name, password, address=address, now=now)
        return self.open(record, how="by password", address=address, now=now)

    def open(self, record: AccountRecord, *, how: str, address: str, now: datetime) -> str:
        """Return the token of a new session of an account that has proved itself."""
        token = new_token()
        session = Session(
            session_id=new_id(),
            name=record.name,
            address=address,
            created_at=now,
            used_at=now,
            expires_at=now + self._lifetime.whole,
            token_digest=digest(token),
        )
        self._ledger.sessions.open(session, how=how, forget_before=now - _REMEMBERED)
        return token

    def knock(self, *, address: str, now: datetime) -> None:
        """Count an attempt that is not by password as failed, until `welcome` takes it back.

        Raises Transient ``login-too-often``: too many from there failed.
        """
        wait = self._ledger.attempts.begin([_place(address)], now)
        if wait:
            raise _too_often(wait)

    def welcome(self, person: Person, *, address: str, now: datetime) -> str:
        """Return the token of a new session of somebody for whom the site's provider vouches.

        Who comes for the first time gets an account; the role is what the provider says now.

        Raises
        ------
        Refusal
            ``login-refused``: the account is disabled here.
        ConfigError
            ``account-exists``: a local account has that name. ``account-name``: it is none.

        """
        record = self._ledger.accounts.find_subject(person.issuer, person.subject)
        if record is None:
            first = AccountRecord(
                name=person.name,
                role=person.role,
                created_at=now,
                issuer=person.issuer,
                subject=person.subject,
            )
            record = self._ledger.accounts.add(first, by=person.issuer)
        if record.is_disabled:
            raise Refusal("login-refused", "The account is disabled here.")
        if record.role is not person.role:
            self._ledger.accounts.set_role(
                record.name, person.role, by=person.issuer, keep_one=False
            )
        self._ledger.attempts.take_back(_place(address).name)
        return self.open(record, how=f"through {person.issuer}", address=address, now=now)

    def by_session(self, token: str, now: datetime) -> Entered | None:
        """Return who has a session with this token; None where it is dead, or never was."""
        found = self._ledger.sessions.find(digest(token), now=now, idle=self._lifetime.idle)
        if not found:
            return None
        session, record = found
        if now - session.used_at > _TOUCHED:
            self._ledger.sessions.touch(session, now)
        return Entered(
            account=record.account,
            session=session,
            csrf=derived(token, "csrf"),
            language=record.language,
        )

    def by_token(self, token: str, now: datetime) -> Entered | None:
        """Return in whose name a program comes, with the lesser of the token's and its role."""
        found = self._ledger.api_tokens.find(digest(token), now)
        if not found:
            return None
        given, record = found
        if given.used_at is None or now - given.used_at > _TOUCHED:
            self._ledger.api_tokens.touch(given, now)
        role = given.role if record.role.includes(given.role) else record.role
        return Entered(account=Account(name=record.name, role=role), session=None)

    def sessions(self, name: str, now: datetime) -> tuple[Session, ...]:
        """Return the sessions of an account that are alive, the newest first."""
        return self._ledger.sessions.of(name, now=now, idle=self._lifetime.idle)

    def set_password(self, record: AccountRecord, password: str, *, by: str) -> None:
        """Give an account a password; its sessions end, and its failures are forgotten.

        Raises
        ------
        ConfigError
            ``password-weak``; ``password-elsewhere``: the account logs in by OpenID Connect.

        """
        if record.issuer:
            raise ConfigError(
                "password-elsewhere", "The account logs in by OpenID Connect, and has no password."
            )
        require_strong(password, record.name)
        self._ledger.accounts.set_password(record.name, self._hasher.hashed(password), by=by)
        self._ledger.attempts.forget(_origins(record.name, "")[0].name)

    def change_password(self, name: str, old: str, new: str, *, address: str, now: datetime) -> str:
        """Let a person choose another password, and return the token of a new session.

        Raises as `log_in`, for the old one, and as `set_password`.
        """
        record = self._proved(name, old, address=address, now=now)
        self.set_password(record, new, by=record.name)
        return self.open(record, how="with a new password", address=address, now=now)

    def new_token(self, record: AccountRecord, use: TokenUse, *, by: str, now: datetime) -> str:
        """Return a token by which a program comes in an account's name; it is not kept."""
        token = new_token()
        given = ApiToken(
            token_id=new_id(),
            name=record.name,
            label=use.label,
            role=use.role,
            created_at=now,
            expires_at=use.expires_at,
            token_digest=digest(token),
        )
        self._ledger.api_tokens.add(given, by=by)
        return token

    def _proved(self, name: str, password: str, *, address: str, now: datetime) -> AccountRecord:
        record = self._ledger.accounts.find(name)
        account, place = _origins(name, address)
        known = record is not None and self._ledger.sessions.has_been(record.name, address)
        # Where its owner has been lately, an account is not locked by who guesses elsewhere.
        wait = self._ledger.attempts.begin([place] if known else [account, place], now)
        if wait:
            raise _too_often(wait)
        is_right = self._hasher.is_right(password, record.password_hash if record else "")
        if record is None or not is_right or record.is_disabled:
            self.note_failure("by password, ", address, now, record=record)
            raise Refusal("login-refused", "Name or password is wrong.")
        self._ledger.attempts.forget(account.name)
        self._ledger.attempts.take_back(place.name)
        if self._hasher.is_outdated(record.password_hash):
            self._ledger.accounts.renew_hash(record.name, self._hasher.hashed(password))
        return record

    def note_failure(
        self, how: str, address: str, now: datetime, *, record: AccountRecord | None = None
    ) -> None:
        """Record a failure; a name that is none may be a password, typed in the wrong field."""
        about = f"account {record.name}" if record else "an unknown account"
        detail = f"{how}from {address}"
        self._ledger.records.note(
            AuditEvent(at=now, action="login-failed", detail=detail, about=about)
        )


def _origins(name: str, address: str) -> tuple[Origin, Origin]:
    """Return what attempts are counted by.

    Of the name only twenty bits are kept: enough to tell accounts apart, and too little to find a
    password that was typed as a name.
    """
    mark = hashlib.sha256(folded(name).encode()).hexdigest()[:5]
    return (
        Origin(name=f"account {mark}", free=_FREE_OF_ACCOUNT, longest=_LONGEST_WAIT),
        _place(address),
    )


def _place(address: str) -> Origin:
    """Return a place; of IPv6 a whole /64 is one, because who has one address there has them all."""
    with suppress(ValueError):
        version6 = IPv6Address(address)
        address = str(version6.ipv4_mapped or IPv6Network((version6, 64), strict=False))
    return Origin(name=f"address {address}"[:80], free=_FREE_OF_ADDRESS, longest=_LONGEST_WAIT)


def _too_often(wait: timedelta) -> Transient:
    seconds = max(1, round(wait.total_seconds()))
    return Transient(
        "login-too-often",
        f"Too many attempts failed; try again in {seconds} s.",
        retry_after=timedelta(seconds=seconds),
    )
