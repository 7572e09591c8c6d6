"""`/account`: one's own password and sessions."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from clic_edge.accounts.door import Door
from clic_edge.domain.account import Account, Role
from clic_edge.errors import ConfigError, Refusal, Transient
from clic_edge.web.access import account_of
from clic_edge.web.login import Entrance, address_of

Whoever = Annotated[Account, Depends(account_of)]
_Field = Annotated[str, Form()]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSession:
    """A log-in of one's own that is alive."""

    session_id: str
    address: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAccount:
    """Who asks, as programs see it."""

    name: str
    role: Role
    """Of this request: a token may do less than its account."""
    sessions: tuple[OwnSession, ...]


def router(entrance: Entrance) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/account")

    @routes.get("")
    def show(request: Request, account: Whoever) -> Response:
        return _page(entrance, request, account)

    @routes.post("/password")
    def change(
        request: Request,
        account: Whoever,
        *,
        old: _Field = "",
        new: _Field = "",
        again: _Field = "",
    ) -> Response:
        problem = "differ"
        if new == again:
            try:
                token = entrance.door.change_password(
                    account.name, old, new, address=address_of(request), now=datetime.now(UTC)
                )
            except (Refusal, Transient, ConfigError) as error:
                problem = _PROBLEMS.get(error.code, "weak")
            else:
                return entrance.let_in(request, token, to="/account")
        return _page(entrance, request, account, problem=problem, status=422)

    @routes.post("/sessions/end")
    def end(account: Whoever, session: _Field = "") -> Response:
        entrance.ledger.sessions.end(session, name=account.name, now=datetime.now(UTC))
        return RedirectResponse("/account", 303)

    return routes


def api(door: Door) -> APIRouter:
    """Return who asks, for programs."""
    routes = APIRouter(tags=["accounts"])

    @routes.get("/account")
    def own(account: Whoever) -> OwnAccount:
        """Return who asks, in which role, and the sessions that are alive."""
        sessions = tuple(
            OwnSession(**{name: getattr(one, name) for name in OwnSession.__slots__})
            for one in door.sessions(account.name, datetime.now(UTC))
        )
        return OwnAccount(name=account.name, role=account.role, sessions=sessions)

    return routes


_PROBLEMS = {
    "login-refused": "wrong",
    "login-too-often": "too_often",
    "password-weak": "weak",
    "password-elsewhere": "elsewhere",
}


def _page(
    entrance: Entrance, request: Request, account: Account, *, problem: str = "", status: int = 200
) -> Response:
    now = datetime.now(UTC)
    own = getattr(request.state, "session", None)
    return entrance.pages.page(
        request,
        "account.html",
        status=status,
        record=entrance.ledger.accounts.named(account.name),
        sessions=entrance.door.sessions(account.name, now),
        own=own.session_id if own else "",
        problem=problem,
    )
