"""Who asks, in tests of pages: an application sees an account as if it had logged in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from clic_edge.domain.account import Account


@dataclass(frozen=True, kw_only=True)
class LoggedIn:
    """An application to which everybody is one account."""

    app: ASGIApp
    account: Account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of the account's."""
        scope.setdefault("state", {})["account"] = self.account
        await self.app(scope, receive, send)
