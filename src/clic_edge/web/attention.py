"""`/attention`: cases that did not come through, by reason, with what to do, to be run again."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from clic_edge.board.attention import REMEMBERED, HeldGroup, attention
from clic_edge.domain.account import Account, Role
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError
from clic_edge.ledger import Ledger
from clic_edge.pipeline.explaining import explained, remedy
from clic_edge.pipeline.intervening import HeldKind, Retried, retry_all
from clic_edge.web.access import account_of, at_least
from clic_edge.web.case import LONGEST_REASON
from clic_edge.web.cases import SIGNS
from clic_edge.web.fields import LINES, SAID
from clic_edge.web.rendering import Pages

_Physicist = Annotated[Account, Depends(at_least(Role.PHYSICIST))]
_State = Literal["quarantined", "waiting", "refused"]
_Code = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")]
_Count = Annotated[int | None, Query(ge=0, le=1_000_000)]


class Kind(BaseModel):
    """Which cases are run again, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: _State
    code: _Code
    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON, pattern=SAID)]


def router(ledger: Ledger, pages: Pages) -> APIRouter:
    """Return the routes of the page, and of what is done there."""
    routes = APIRouter(prefix="/attention", dependencies=[Depends(account_of)])

    def shown(request: Request, *, begun: int | None = None, problem: str = "") -> Response:
        language = pages.language(request)
        return pages.page(
            request,
            "attention.html",
            status=409 if problem else 200,
            groups=_groups(ledger, language),
            begun=begun,
            problem=problem,
            signs=SIGNS,
            longest=LONGEST_REASON,
            remembered=REMEMBERED.days,
            link=lambda one: f"/cases?{urlencode({'state': one.state, 'code': one.code})}",
            explained=lambda code, reason: explained(code, reason, language),
        )

    @routes.get("")
    def page(request: Request, begun: _Count = None) -> Response:
        return shown(request, begun=begun)

    @routes.post("/retry")
    def retry(
        request: Request,
        state: Annotated[_State, Form()],
        code: Annotated[_Code, Form()],
        *,
        account: _Physicist,
        reason: Annotated[str, Form(max_length=LONGEST_REASON, pattern=LINES)] = "",
    ) -> Response:
        try:
            done = _retried(ledger, account, state=state, code=code, reason=reason)
        except ConfigError as problem:
            return shown(request, problem=problem.code)
        return RedirectResponse(f"/attention?begun={done.begun}", 303)

    return routes


def api(ledger: Ledger) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(prefix="/attention", tags=["cases"])

    @routes.get("")
    def groups() -> tuple[HeldGroup, ...]:
        """Return why cases wait, were refused or are held, by reason, with what to do."""
        return _groups(ledger, "en")

    @routes.post("/retry")
    def retry(kind: Kind, account: _Physicist) -> Retried:
        """Run all cases of a kind again, 500 at most."""
        return _retried(ledger, account, state=kind.state, code=kind.code, reason=kind.reason)

    return routes


def _groups(ledger: Ledger, language: str) -> tuple[HeldGroup, ...]:
    return attention(ledger, datetime.now(UTC), remedy=lambda code: remedy(code, language))


def _retried(ledger: Ledger, account: Account, *, state: str, code: str, reason: str) -> Retried:
    since = datetime.now(UTC) - REMEMBERED
    kind = HeldKind(state=CaseState(state), code=code, refused_since=since)
    return retry_all(ledger, kind, person=account.name, reason=reason)
