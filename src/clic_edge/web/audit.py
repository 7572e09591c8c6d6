"""`/audit`: who did what, to be searched and taken out; and whether the chain is whole."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response, StreamingResponse

from clic_edge.board.audit import (
    CURSOR,
    LARGEST_PAGE,
    AuditPage,
    Chain,
    audit_lines,
    audit_page,
    chain,
)
from clic_edge.domain.account import Role
from clic_edge.ledger import Ledger
from clic_edge.ledger.audit import WantedDeeds
from clic_edge.web.access import at_least
from clic_edge.web.fields import Day, Words
from clic_edge.web.rendering import Pages

_TABLE: Final = {"text/csv": {"schema": {"type": "string"}}}
_ACT: Final = at_least(Role.PHYSICIST)
"""What colleagues did is not for everybody who may look at a result."""


class Asked(BaseModel):
    """A part of the trail; the URL of a page is made of the same."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    person: Words = ""
    action: Words = ""
    case: Words = ""
    """Beginning of a case's identifier."""
    model: Words = ""
    since: Day | None = None
    """On this day or later (UTC)."""
    until: Day | None = None
    """On this day or earlier (UTC)."""
    after: Annotated[str, Field(pattern=CURSOR)] | None = None
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 100

    @property
    def wanted(self) -> WantedDeeds:
        """Which part this is."""
        return WantedDeeds(
            person=self.person.strip(),
            action=self.action.strip(),
            case=self.case.strip(),
            model=self.model.strip(),
            since=_begin(self.since) if self.since else None,
            until=_begin(self.until) + timedelta(days=1) if self.until else None,
        )

    def link(self, path: str = "/audit", **other: object) -> str:
        """Return where the same is asked, with other values for some of it."""
        said = self.model_dump(mode="json", exclude_defaults=True) | other
        return f"{path}?{urlencode({k: v for k, v in said.items() if v})}"


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def router(ledger: Ledger, pages: Pages) -> APIRouter:
    """Return the routes of the trail."""
    routes = APIRouter(prefix="/audit", dependencies=[Depends(_ACT)])

    @routes.get("")
    def audit(request: Request) -> Response:
        asked, understood = _asked(request)
        persons, actions = ledger.audit.choices()
        return pages.page(
            request,
            "audit.html",
            status=200 if understood else 400,
            asked=asked,
            understood=understood,
            listed=audit_page(ledger, asked.wanted, limit=asked.limit, after=asked.after),
            persons=persons,
            actions=actions,
            chain=chain(ledger),
        )

    @routes.get("/export.csv")
    def export(asked: Annotated[Asked, Query()]) -> Response:
        return _csv(ledger, asked)

    return routes


def _asked(request: Request) -> tuple[Asked, bool]:
    given = {name: value for name, value in request.query_params.items() if value}
    try:
        return Asked.model_validate(given), True
    except ValidationError:
        return Asked(), False


def _csv(ledger: Ledger, asked: Asked) -> Response:
    headers = {"Content-Disposition": 'attachment; filename="clic-edge-audit.csv"'}
    lines = audit_lines(ledger, asked.wanted)
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def api(ledger: Ledger) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(tags=["audit"], dependencies=[Depends(_ACT)])

    @routes.get("/audit")
    def audit(asked: Annotated[Asked, Query()]) -> AuditPage:
        """Return a page of who did what, the newest first."""
        return audit_page(ledger, asked.wanted, limit=asked.limit, after=asked.after)

    @routes.get(
        "/audit/export.csv", response_class=StreamingResponse, responses={200: {"content": _TABLE}}
    )
    def export(asked: Annotated[Asked, Query()]) -> Response:
        """Return the whole trail as CSV, the newest first; `after` and `limit` do not count."""
        return _csv(ledger, asked)

    @routes.get("/audit/chain")
    def proof() -> Chain:
        """Return whether the chain of the models' states is whole."""
        return chain(ledger)

    return routes
