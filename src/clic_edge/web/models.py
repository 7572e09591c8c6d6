"""`/models`: each model's state in each pipeline, how far challengers agree, and the history."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from clic_edge.board.models import Models, models
from clic_edge.board.references import ReferenceBook
from clic_edge.domain.account import Account, Role
from clic_edge.domain.standing import ModelState
from clic_edge.errors import ConfigError
from clic_edge.ledger import Ledger
from clic_edge.pipeline.moving import Line, Mover, Wish
from clic_edge.web.access import account_of, at_least
from clic_edge.web.rendering import Pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the pages of the models look at, and act by."""

    ledger: Ledger
    book: ReferenceBook
    mover: Mover
    run: Callable[[str, str], None] | None = None
    """Starts a constancy run: of a protocol, by a person; None where these pages can't."""


def router(watch: Watch, pages: Pages) -> APIRouter:
    """Return the routes; they show no identity, because the ledger has none."""
    routes = APIRouter(dependencies=[Depends(account_of)])

    def page(request: Request, account: Account, *, notice: str = "") -> Response:
        return pages.page(
            request,
            "models.html",
            status=409 if notice else 200,
            board=models(watch.ledger, datetime.now(UTC)),
            may_move=account.role.includes(Role.PHYSICIST),
            notice=notice,
        )

    @routes.get("/models")
    def every(request: Request, account: Annotated[Account, Depends(account_of)]) -> Response:
        return page(request, account)

    @routes.post("/models/move")
    def move(
        request: Request,
        wish: Annotated[Wish, Depends(_wish)],
        account: Annotated[Account, Depends(at_least(Role.PHYSICIST))],
    ) -> Response:
        try:
            watch.mover(wish, person=account.name)
        except ConfigError as error:
            return page(request, account, notice=error.sentence)
        return RedirectResponse("/models", 303)

    return routes


def _wish(
    pipeline: Annotated[Line, Form()],
    digest: Annotated[Line, Form()],
    to: Annotated[ModelState, Form()],
    *,
    reason: Annotated[Line, Form()] = "",
    report: Annotated[str, Form(max_length=200_000)] = "",
) -> Wish:
    return Wish(pipeline=pipeline, digest=digest, to=to, reason=reason, report=report)


def api(watch: Watch) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(tags=["models"])

    @routes.get("/models")
    def every() -> Models:
        """Return every model of every pipeline, its last day in numbers, and the history."""
        return models(watch.ledger, datetime.now(UTC))

    @routes.post("/models/move")
    def move(wish: Wish, account: Annotated[Account, Depends(at_least(Role.PHYSICIST))]) -> Models:
        """Move a model to a state; to become active takes a signed acceptance report."""
        watch.mover(wish, person=account.name)
        return models(watch.ledger, datetime.now(UTC))

    return routes
