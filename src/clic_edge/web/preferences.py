"""`/preferences`: the language and the colours of this browser."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.responses import RedirectResponse, Response

from clic_edge.domain.account import Account
from clic_edge.web.access import account_of
from clic_edge.web.rendering import THEMES
from clic_edge.web.words import LANGUAGES

_A_YEAR = 365 * 24 * 3600


def router(keep: Callable[[str, str], None] | None = None) -> APIRouter:
    """Return the route; an account is told to `keep` its language, for other browsers."""
    routes = APIRouter()

    @routes.post("/preferences")
    def prefer(
        account: Annotated[Account, Depends(account_of)],
        *,
        language: Annotated[str, Form()] = "",
        theme: Annotated[str, Form()] = "",
        next_path: Annotated[str, Form(alias="next")] = "/",
    ) -> RedirectResponse:
        answer = RedirectResponse(local_path(next_path), 303)
        known = {"language": (language, LANGUAGES), "theme": (theme, THEMES)}
        for name, (value, values) in known.items():
            if value in values:
                remember(answer, name, value)
        if keep and language in LANGUAGES:
            keep(account.name, language)
        return answer

    return routes


def remember(answer: Response, name: str, value: str) -> None:
    """Let a browser remember what it was asked to, for a year."""
    answer.set_cookie(name, value, max_age=_A_YEAR, httponly=True, samesite="lax")


def local_path(asked: str) -> str:
    """Return a path of this site; the first page for what would lead elsewhere."""
    is_local = asked.startswith("/") and not asked.startswith(("//", "/\\")) and asked.isprintable()
    return asked if is_local else "/"
