"""`/senders`: an administrator decides who may send; who tried and may not stands at the top."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from clic_edge.board.senders import SenderRow, senders
from clic_edge.domain.account import Account, Role
from clic_edge.domain.sender import Sender
from clic_edge.errors import ConfigError
from clic_edge.ledger import Ledger
from clic_edge.web.access import at_least
from clic_edge.web.rendering import Pages

Administrator = Annotated[Account, Depends(at_least(Role.ADMINISTRATOR))]
_Field = Annotated[str, Form(max_length=400)]


def router(ledger: Ledger, pages: Pages) -> APIRouter:
    """Return the routes; each change is in the audit trail with the administrator's name."""
    routes = APIRouter(prefix="/senders")

    def done(request: Request, act: Callable[[], None]) -> Response:
        try:
            act()
        except ConfigError as error:
            return _page(ledger, pages, request, problem=error.code.replace("-", "_"))
        return RedirectResponse("/senders", 303)

    @routes.get("")
    def show(request: Request, _by: Administrator) -> Response:
        return _page(ledger, pages, request)

    @routes.post("/allow")
    def allow(
        request: Request,
        by: Administrator,
        *,
        sender: _Field = "",
        name: _Field = "",
        reason: _Field = "",
    ) -> Response:
        ae_title, _, address = sender.rpartition("@")
        now = datetime.now(UTC)
        new = Sender(
            ae_title=ae_title.strip()[:16],
            address=address.strip()[:64],
            first_at=now,
            last_at=now,
            instances=0,
            name=" ".join(name.split()),
            reason=" ".join(reason.split()),
            allowed_by=by.name,
            allowed_at=now,
        )
        return done(request, lambda: ledger.senders.allow(new))

    @routes.post("/forget")
    def forget(request: Request, by: Administrator, *, sender: _Field = "") -> Response:
        ae_title, _, address = sender.rpartition("@")
        now = datetime.now(UTC)
        act = ledger.senders.forget
        return done(request, lambda: act(ae_title, address, by=by.name, at=now))

    return routes


def api(ledger: Ledger) -> APIRouter:
    """Return the list for programs of administrators."""
    routes = APIRouter(tags=["senders"])

    @routes.get("/senders")
    def listed(_by: Administrator) -> list[SenderRow]:
        """Return who may send, and who tried and may not."""
        return list(senders(ledger))

    return routes


def _page(ledger: Ledger, pages: Pages, request: Request, *, problem: str = "") -> Response:
    return pages.page(
        request,
        "senders.html",
        status=422 if problem else 200,
        rows=senders(ledger),
        problem=problem,
    )
