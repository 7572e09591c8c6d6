"""An application that somebody is at, without logging in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.testclient import TestClient

from clic_edge.domain.account import Account, Role

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

VIEWER = Account(name="Vera", role=Role.VIEWER)
PHYSICIST = Account(name="Ida Fysiker", role=Role.PHYSICIST)


class SignedIn:
    """ASGI middleware: says that an account is at the application, as a session would."""

    def __init__(self, app: ASGIApp, account: Account) -> None:
        self._app = app
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope.setdefault("state", {})["account"] = self._account
        await self._app(scope, receive, send)


def browser(app: ASGIApp, account: Account | None = PHYSICIST) -> TestClient:
    """Return a browser that an account uses, or nobody; it follows no redirection by itself."""
    return TestClient(SignedIn(app, account) if account else app, follow_redirects=False)
