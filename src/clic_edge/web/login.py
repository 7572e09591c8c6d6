"""`/login` and `/logout`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from clic_edge.accounts.door import Door
from clic_edge.accounts.tokens import derived, is_derived, new_token
from clic_edge.errors import Refusal, Transient
from clic_edge.ledger import Ledger
from clic_edge.web.cookies import Cookies
from clic_edge.web.preferences import local_path, remember
from clic_edge.web.rendering import Pages
from clic_edge.web.words import LANGUAGES

_Field = Annotated[str, Form()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """What the log-in page and those of accounts share."""

    ledger: Ledger
    door: Door
    cookies: Cookies
    pages: Pages
    provider: str = ""
    """What the button of the OpenID provider says; empty where there is none."""

    def form(
        self, request: Request, *, to: str, problem: str = "", status: int = 200, seconds: int = 0
    ) -> Response:
        """Return the log-in page; `problem` names the sentence that says what went wrong."""
        secret = self.cookies.login(request) or new_token()
        request.state.csrf = derived(secret, "csrf")
        answer = self.pages.page(
            request,
            "login.html",
            status=status,
            to=local_path(to),
            problem=problem,
            seconds=seconds,
            is_new=self.door.is_new,
            provider=self.provider,
        )
        self.cookies.give_login(answer, secret)
        return answer

    def let_in(self, request: Request, token: str, *, to: str) -> Response:
        """Return where a browser that has proved itself goes: with a new session, the old one ended."""
        self.end(request)
        answer = RedirectResponse(local_path(to), 303)
        self.cookies.give_session(answer, token)
        entered = self.door.by_session(token, datetime.now(UTC))
        if entered and entered.language:
            remember(answer, "language", entered.language)
        return answer

    def end(self, request: Request) -> None:
        """End the session that a browser comes with, if it is alive."""
        now = datetime.now(UTC)
        entered = self.door.by_session(self.cookies.session(request), now)
        if entered and entered.session:
            self.ledger.sessions.end(entered.session.session_id, name=entered.account.name, now=now)


def router(entrance: Entrance) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.get("/login")
    def ask(request: Request, to: Annotated[str, Query(alias="next")] = "/") -> Response:
        return entrance.form(request, to=to)

    @routes.get("/login/language")
    def speak(language: str = "", to: Annotated[str, Query(alias="next")] = "/") -> Response:
        answer = RedirectResponse(f"/login?{urlencode({'next': local_path(to)})}", 303)
        if language in LANGUAGES:
            remember(answer, "language", language)
        return answer

    @routes.post("/login")
    def enter(
        request: Request,
        *,
        name: _Field = "",
        password: _Field = "",
        csrf: _Field = "",
        to: Annotated[str, Form(alias="next")] = "/",
    ) -> Response:
        secret = entrance.cookies.login(request)
        if not secret or not is_derived(csrf, secret, "csrf"):
            return entrance.form(request, to=to, problem="stale", status=403)
        try:
            token = entrance.door.log_in(
                name, password, address=address_of(request), now=datetime.now(UTC)
            )
        except Refusal:
            return entrance.form(request, to=to, problem="refused", status=401)
        except Transient as error:
            return later(entrance, request, error, to=to)
        return entrance.let_in(request, token, to=to)

    @routes.post("/logout")
    def leave(request: Request) -> Response:
        entrance.end(request)
        answer = RedirectResponse("/login", 303)
        entrance.cookies.take_session(answer)
        return answer

    return routes


def address_of(request: Request) -> str:
    """Return where a browser is, as far as this machine or a proxy that it trusts can tell."""
    return request.client.host if request.client else ""


def later(entrance: Entrance, request: Request, error: Transient, *, to: str) -> Response:
    """Return the log-in page of somebody who failed too often, and when to try again."""
    seconds = round(error.retry_after.total_seconds()) if error.retry_after else 1
    answer = entrance.form(request, to=to, problem="too_often", status=429, seconds=seconds)
    answer.headers["Retry-After"] = str(seconds)
    return answer
