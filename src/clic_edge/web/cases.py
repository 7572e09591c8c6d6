"""`/cases`: what became of each study, to be searched, and sampled for an audit."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from clic_edge.board.cases import CasePage, case_page, case_sample
from clic_edge.domain.account import Account, Role
from clic_edge.domain.case import CaseState
from clic_edge.ledger import Ledger
from clic_edge.ledger.records import AuditEvent
from clic_edge.pipeline.explaining import explained
from clic_edge.web.access import account_of, at_least
from clic_edge.web.asking import LARGEST_SAMPLE, LARGEST_SEED, Asked, asked
from clic_edge.web.rendering import Pages

SIGNS: Final[Mapping[CaseState, str]] = MappingProxyType(
    {
        CaseState.RECEIVED: "idle",
        CaseState.RUNNING: "idle",
        CaseState.WAITING: "warn",
        CaseState.DELIVERED: "good",
        CaseState.REFUSED: "idle",
        CaseState.QUARANTINED: "bad",
        CaseState.SUPERSEDED: "idle",
        CaseState.WITHDRAWN: "warn",
    }
)
"""How the state of a case looks: its word stands beside the sign."""
_A_WEEK: Final = timedelta(days=7)


def router(ledger: Ledger, pages: Pages) -> APIRouter:
    """Return the routes of the list."""
    routes = APIRouter(prefix="/cases", dependencies=[Depends(account_of)])

    @routes.get("")
    def cases(request: Request) -> Response:
        given = request.query_params
        found = asked({name: given.getlist(name) for name in given})
        language = pages.language(request)
        return pages.page(
            request,
            "cases.html",
            status=200 if found else 400,
            asked=found or Asked(),
            understood=found is not None,
            listed=seen(ledger, found or Asked()),
            choices=ledger.search.choices(),
            states=list(CaseState),
            signs=SIGNS,
            sizes=(10, 20, 50, LARGEST_SAMPLE),
            explained=lambda code, reason: explained(code, reason, language),
        )

    @routes.post("/sample")
    async def sample(
        request: Request,
        account: Annotated[Account, Depends(at_least(Role.PHYSICIST))],
        size: Annotated[int, Form(ge=1, le=LARGEST_SAMPLE)] = 20,
    ) -> RedirectResponse:
        form = await request.form()
        given = {
            name: [one for one in form.getlist(name) if isinstance(one, str)]
            for name in Asked.model_fields
        }
        drawn = _drawn(asked(given) or Asked(), size, datetime.now(UTC))
        await run_in_threadpool(ledger.records.note, _noted(account, drawn))
        return RedirectResponse(drawn.link(), 303)

    return routes


def api(ledger: Ledger) -> APIRouter:
    """Return the list for programs."""
    routes = APIRouter(tags=["cases"])

    @routes.get("/cases")
    def cases(asked: Annotated[Asked, Query()]) -> CasePage:
        """Return a page of cases, the newest first, or a sample that is drawn by a seed."""
        return seen(ledger, asked)

    return routes


def seen(ledger: Ledger, asked: Asked) -> CasePage:
    """Return what is asked."""
    if asked.sample:
        return case_sample(ledger, asked.wanted, size=asked.sample, seed=asked.seed)
    return case_page(ledger, asked.wanted, limit=asked.limit, after=asked.after)


def _drawn(asked: Asked, size: int, now: datetime) -> Asked:
    """Return the sample with a seed; without a period, of the last seven days that are over.

    What a day that goes on holds would be another sample an hour later.
    """
    period = {}
    if not (asked.since or asked.until or asked.hour):
        period = {"since": now.date() - _A_WEEK, "until": now.date() - timedelta(days=1)}
    seed = secrets.randbelow(LARGEST_SEED) + 1
    return asked.model_copy(update={"sample": size, "seed": seed, "after": None, **period})


def _noted(account: Account, drawn: Asked) -> AuditEvent:
    return AuditEvent(
        at=datetime.now(UTC),
        action="sampled",
        person=account.name,
        detail=f"{drawn.sample} by the seed {drawn.seed}: {drawn.link()}",
        about="cases",
    )
