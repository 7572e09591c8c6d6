"""`/accounts`: an administrator decides who may be here, and in which role."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from clic_edge.accounts.passwords import require_strong
from clic_edge.domain.account import Account, Role
from clic_edge.errors import ConfigError
from clic_edge.ledger import Ledger
from clic_edge.ledger.accounts import AccountRecord, tidy_name
from clic_edge.ledger.api_tokens import ApiToken
from clic_edge.web.access import at_least
from clic_edge.web.login import Entrance

Administrator = Annotated[Account, Depends(at_least(Role.ADMINISTRATOR))]
_Field = Annotated[str, Form()]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAccount:
    """An account as programs see it."""

    name: str
    role: Role
    is_disabled: bool
    issuer: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedToken:
    """A token that lets in, without what it is."""

    token_id: str
    name: str
    """Of the account."""
    label: str
    role: Role
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What an administrator asks for of an account; what is empty stays as it is."""

    name: str
    role: Role | None
    password: str
    do: str


def router(entrance: Entrance) -> APIRouter:
    """Return the routes; each change is in the audit trail with the administrator's name."""
    routes = APIRouter(prefix="/accounts")

    @routes.get("")
    def show(request: Request, _by: Administrator) -> Response:
        return _page(entrance, request)

    @routes.post("")
    def add(
        request: Request,
        by: Administrator,
        *,
        name: _Field = "",
        role: Annotated[Role, Form()] = Role.VIEWER,
        password: _Field = "",
    ) -> Response:
        new = _Change(name=name, role=role, password=password, do="")
        return _done(entrance, request, lambda: _add(entrance, new, by=by.name))

    @routes.post("/change")
    def change(
        request: Request,
        by: Administrator,
        *,
        name: _Field = "",
        role: Annotated[Role | None, Form()] = None,
        password: _Field = "",
        do: _Field = "",
    ) -> Response:
        asked = _Change(name=name, role=role, password=password, do=do)
        return _done(entrance, request, lambda: _change(entrance, asked, by=by.name))

    @routes.post("/revoke")
    def revoke(
        request: Request, by: Administrator, *, name: _Field = "", token: _Field = ""
    ) -> Response:
        tokens, now = entrance.ledger.api_tokens, datetime.now(UTC)
        return _done(entrance, request, lambda: tokens.revoke(name, token, by=by.name, now=now))

    return routes


def _add(entrance: Entrance, new: _Change, *, by: str) -> None:
    require_strong(new.password, tidy_name(new.name))
    record = AccountRecord(
        name=new.name, role=new.role or Role.VIEWER, created_at=datetime.now(UTC)
    )
    record = entrance.ledger.accounts.add(record, by=by)
    entrance.door.set_password(record, new.password, by=by)


def _change(entrance: Entrance, asked: _Change, *, by: str) -> None:
    accounts = entrance.ledger.accounts
    record = accounts.named(asked.name)
    if asked.role and asked.role is not record.role:
        accounts.set_role(record.name, asked.role, by=by)
    if asked.password:
        entrance.door.set_password(record, asked.password, by=by)
    if asked.do == "disable":
        accounts.disable(record.name, by=by)
    elif asked.do == "enable":
        accounts.enable(record.name, by=by)


def _done(entrance: Entrance, request: Request, act: Callable[[], None]) -> Response:
    """Act, and return the way back to the page; or the page with what hinders it."""
    try:
        act()
    except ConfigError as error:
        return _page(entrance, request, problem=error)
    return RedirectResponse("/accounts", 303)


def api(ledger: Ledger) -> APIRouter:
    """Return the list for programs of administrators."""
    routes = APIRouter(tags=["accounts"])

    @routes.get("/accounts")
    def listed(_by: Administrator) -> list[ListedAccount]:
        """Return every account, also those that are disabled; no secret is told."""
        return [
            ListedAccount(
                name=one.name,
                role=one.role,
                is_disabled=one.is_disabled,
                issuer=one.issuer,
                created_at=one.created_at,
            )
            for one in ledger.accounts.all()
        ]

    @routes.get("/accounts/tokens")
    def tokens(_by: Administrator) -> list[ListedToken]:
        """Return the tokens that still let in; no secret is told."""
        return [
            ListedToken(**{name: getattr(one, name) for name in ListedToken.__slots__})
            for one in _live(ledger, ledger.accounts.all())
        ]

    return routes


def _page(entrance: Entrance, request: Request, *, problem: ConfigError | None = None) -> Response:
    records = entrance.ledger.accounts.all()
    return entrance.pages.page(
        request,
        "accounts.html",
        status=422 if problem else 200,
        records=records,
        tokens=_live(entrance.ledger, records),
        roles=list(Role),
        problem=problem.code.replace("-", "_") if problem else "",
    )


def _live(ledger: Ledger, records: tuple[AccountRecord, ...]) -> list[ApiToken]:
    """Return the tokens that still let in."""
    now = datetime.now(UTC)
    tokens = [token for one in records for token in ledger.api_tokens.of(one.name)]
    return [one for one in tokens if not one.revoked_at and one.expires_at > now]
