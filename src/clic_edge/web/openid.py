"""`/login/openid` and `/login/back`: the way to the site's OpenID provider and home again."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from clic_edge.accounts.openid import Attempt, Provider
from clic_edge.accounts.tokens import new_token
from clic_edge.errors import ConfigError, Refusal, Transient
from clic_edge.web.login import Entrance, address_of, later
from clic_edge.web.preferences import local_path

_SAID = {
    "login-foreign": "stale",
    "login-refused": "disabled",
    "no-role": "no_role",
    "account-exists": "name_taken",
    "account-name": "no_name",
    "provider-away": "provider_away",
}
"""Sentences of the log-in page, by what went wrong; else that the provider let nobody in."""


def router(entrance: Entrance, provider: Provider) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.get("/login/openid")
    def leave(request: Request, to: Annotated[str, Query(alias="next")] = "/") -> Response:
        secret = entrance.cookies.login(request) or new_token()
        attempt = Attempt(secret=secret, to=local_path(to), back=_back(entrance, request))
        try:
            answer = RedirectResponse(provider.address(attempt), 303)
        except Transient:
            return entrance.form(request, to=to, problem="provider_away", status=503)
        entrance.cookies.give_login(answer, secret)
        return answer

    @routes.get("/login/back")
    def return_(request: Request) -> Response:
        answered, now = request.query_params, datetime.now(UTC)
        address, to = address_of(request), "/"
        try:
            entrance.door.knock(address=address, now=now)
        except Transient as error:
            return later(entrance, request, error, to=to)
        try:
            secret = entrance.cookies.login(request)
            back = _back(entrance, request)
            attempt = Attempt.returned(secret, answered.get("state", ""), back)
            to = attempt.to
            person = provider.person(attempt, answered)
            token = entrance.door.welcome(person, address=address, now=now)
        except (Refusal, Transient, ConfigError) as error:
            entrance.door.note_failure(f"through {provider.issuer}: {error.code}, ", address, now)
            problem = _SAID.get(error.code, "provider_refused")
            status = 503 if isinstance(error, Transient) else 403
            return entrance.form(request, to=to, problem=problem, status=status)
        return entrance.let_in(request, token, to=to)

    return routes


def _back(entrance: Entrance, request: Request) -> str:
    """Return our own address for the provider to send a browser to; the host was looked at."""
    base = request.base_url.replace(scheme="https" if entrance.cookies.is_secure else "http")
    return f"{base}login/back"
