"""`/account`: one's own password and sessions."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from clic_edge.domain.account import Account
from clic_edge.errors import ConfigError, Refusal, Transient
from clic_edge.web.access import account_of
from clic_edge.web.login import Entrance, address_of

Whoever = Annotated[Account, Depends(account_of)]
_Field = Annotated[str, Form()]


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
