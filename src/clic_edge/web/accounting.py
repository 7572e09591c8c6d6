"""`/accounting`: what entered on a day, what became of it, and whether all books say the same."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from clic_edge.board.accounting import (
    AccountView,
    DayList,
    EntryPage,
    account_view,
    day_list,
    entry_page,
)
from clic_edge.board.cases import CURSOR, LARGEST_PAGE
from clic_edge.domain.accounting import Outcome
from clic_edge.ledger import Ledger
from clic_edge.pipeline.explaining import explained
from clic_edge.web.access import account_of
from clic_edge.web.fields import YEAR, Day
from clic_edge.web.rendering import Pages

SIGNS: Final[Mapping[Outcome, str]] = MappingProxyType(
    {
        Outcome.DELIVERED: "good",
        Outcome.REFUSED: "idle",
        Outcome.QUARANTINED: "bad",
        Outcome.OPEN: "warn",
        Outcome.NOT_TAKEN: "idle",
        Outcome.SUPERSEDED: "idle",
        Outcome.WITHDRAWN: "warn",
    }
)
_Day = Annotated[Day, Path(json_schema_extra={"pattern": YEAR})]
_Before = Annotated[Day | None, Query()]
_After = Annotated[str | None, Query(pattern=CURSOR)]
_Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]


def router(ledger: Ledger, pages: Pages) -> APIRouter:
    """Return the routes of the list of days, and of one day."""
    routes = APIRouter(prefix="/accounting", dependencies=[Depends(account_of)])

    @routes.get("")
    def days(request: Request, before: _Before = None) -> Response:
        return pages.page(
            request, "accounting.html", listed=day_list(ledger, before=before), before=before
        )

    @routes.get("/{day}")
    def one(request: Request, day: _Day, after: _After = None) -> Response:
        language = pages.language(request)
        listed = entry_page(ledger, day, after=after)
        return pages.page(
            request,
            "accounting_day.html",
            view=account_view(ledger, day),
            listed=listed,
            after=after,
            older=listed.after and f"/accounting/{day}?{urlencode({'after': listed.after})}#cases",
            signs=SIGNS,
            explained=lambda code, reason: explained(code, reason, language),
        )

    return routes


def api(ledger: Ledger) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(prefix="/accounting", tags=["accounting"])

    @routes.get("")
    def days(before: _Before = None) -> DayList:
        """Return the days of which an account was begun, the newest first."""
        return day_list(ledger, before=before)

    @routes.get("/{day}")
    def one(day: _Day) -> AccountView:
        """Return the account of a day (UTC) with its differences."""
        return account_view(ledger, day)

    @routes.get("/{day}/cases")
    def entries(day: _Day, after: _After = None, limit: _Limit = 50) -> EntryPage:
        """Return a page of the cases of a day, oldest first, each with its results and receipts."""
        return entry_page(ledger, day, limit=limit, after=after)

    return routes
