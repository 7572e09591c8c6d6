"""`/cases/ID`: what one case went through, and what a person may do with it."""

from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Depends, Form, Request
from markupsafe import Markup
from pydantic import BaseModel, Field, TypeAdapter
from starlette.responses import RedirectResponse, Response

from clic_edge.board.case import (
    CaseCertificate,
    CaseDetail,
    Opinion,
    case_certificate,
    case_detail,
)
from clic_edge.domain.account import Account, Role
from clic_edge.drawing.look import Language, Look
from clic_edge.drawing.timeline import Stage, Timeline, timeline
from clic_edge.errors import ConfigError
from clic_edge.ledger import Ledger
from clic_edge.ledger.deliveries import AGAIN
from clic_edge.pipeline import intervening
from clic_edge.pipeline.explaining import explained, remedy
from clic_edge.pipeline.picturing import PICTURED
from clic_edge.web.access import account_of, at_least
from clic_edge.web.cases import SIGNS
from clic_edge.web.fields import LINES
from clic_edge.web.rendering import Pages, number
from clic_edge.web.words import say

LONGEST_REASON: Final = 500
_CERTIFICATE: Final = TypeAdapter(CaseCertificate)

_Physicist = Annotated[Account, Depends(at_least(Role.PHYSICIST))]
_Reason = Annotated[str, Form(max_length=LONGEST_REASON, pattern=LINES)]


class Why(BaseModel):
    """Why somebody does something with a case."""

    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON, pattern=LINES)]


def router(ledger: Ledger, pages: Pages) -> APIRouter:
    """Return the routes of a case."""
    routes = APIRouter(prefix="/cases/{case_id}", dependencies=[Depends(account_of)])
    shown = _Shown(ledger, pages)

    @routes.get("")
    def case(case_id: str, request: Request) -> Response:
        return shown.page(request, case_detail(ledger, case_id))

    @routes.get("/certificate.json")
    def certificate(case_id: str) -> Response:
        content = _CERTIFICATE.dump_json(case_certificate(ledger, case_id), indent=2)
        disposition = f'attachment; filename="certificate-{case_id}.json"'
        headers = {"Content-Disposition": disposition}
        return Response(content, media_type="application/json", headers=headers)

    @routes.post("/retry")
    def retry(
        case_id: str, request: Request, *, account: _Physicist, reason: _Reason = ""
    ) -> Response:
        return shown.after(intervening.retry, request, case_id, account=account, reason=reason)

    @routes.post("/send-again")
    def send_again(
        case_id: str, request: Request, *, account: _Physicist, reason: _Reason = ""
    ) -> Response:
        return shown.after(intervening.send_again, request, case_id, account=account, reason=reason)

    @routes.post("/withdraw")
    def withdraw(
        case_id: str, request: Request, *, account: _Physicist, reason: _Reason = ""
    ) -> Response:
        return shown.after(intervening.withdraw, request, case_id, account=account, reason=reason)

    return routes


def api(ledger: Ledger) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(prefix="/cases/{case_id}", tags=["cases"])

    @routes.get("")
    def case(case_id: str) -> CaseDetail:
        """Return everything that is known of a case."""
        return case_detail(ledger, case_id)

    @routes.get("/certificate.json")
    def certificate(case_id: str) -> CaseCertificate:
        """Return how the images of a case were made clean before models saw them."""
        return case_certificate(ledger, case_id)

    @routes.post("/retry")
    def retry(case_id: str, why: Why, account: _Physicist) -> CaseDetail:
        """Run a case again that waits, was refused or is in quarantine."""
        case_detail(ledger, case_id)
        intervening.retry(ledger, case_id, person=account.name, reason=why.reason)
        return case_detail(ledger, case_id)

    @routes.post("/send-again")
    def send_again(case_id: str, why: Why, account: _Physicist) -> CaseDetail:
        """Send the results of a delivered case anew, as they are, to each place that had them."""
        case_detail(ledger, case_id)
        intervening.send_again(ledger, case_id, person=account.name, reason=why.reason)
        return case_detail(ledger, case_id)

    @routes.post("/withdraw")
    def withdraw(case_id: str, why: Why, account: _Physicist) -> CaseDetail:
        """Take the results of a case back: the destinations get a rejection note of them."""
        case_detail(ledger, case_id)
        intervening.withdraw(ledger, case_id, person=account.name, reason=why.reason)
        return case_detail(ledger, case_id)

    return routes


class _Act(Protocol):
    """What a person does with a case."""

    def __call__(self, ledger: Ledger, case_id: str, /, *, person: str, reason: str) -> object: ...


class _Shown:
    """Shows a case, and what came of what a person did with it."""

    def __init__(self, ledger: Ledger, pages: Pages) -> None:
        self._ledger = ledger
        self._pages = pages

    def after(
        self, act: _Act, request: Request, case_id: str, *, account: Account, reason: str
    ) -> Response:
        """Do it and lead to the page; where it can't be done, the page says why."""
        detail = case_detail(self._ledger, case_id)
        try:
            act(self._ledger, case_id, person=account.name, reason=reason)
        except ConfigError as problem:
            return self.page(request, detail, problem=problem.code)
        return RedirectResponse(f"/cases/{case_id}", 303)

    def page(self, request: Request, detail: CaseDetail, *, problem: str = "") -> Response:
        """Return the page; with a problem, that says why nothing was done."""
        language = self._pages.language(request)
        return self._pages.page(
            request,
            "case.html",
            status=409 if problem else 200,
            detail=detail,
            problem=problem,
            again=AGAIN,
            signs=SIGNS,
            drawn=_timeline(detail, language),
            longest=LONGEST_REASON,
            pictured=_pictured(detail),
            remedy=remedy(detail.line.code, language),
            explained=lambda code, reason: explained(code, reason, language),
        )


def _pictured(detail: CaseDetail) -> list[Opinion]:
    """Return the predictions of which a segmentation lies in the archive."""
    drawn = {one.prediction_id for one in detail.objects if one.kind in PICTURED}
    return [one for one in detail.opinions if one.prediction_id in drawn]


def _timeline(detail: CaseDetail, language: str) -> Markup | None:
    """Return the stages one behind the other; None where there are none yet."""
    if not detail.stages:
        return None
    spoken = Language(language)
    begins, stages = 0.0, []
    for one in detail.stages:
        stages.append(
            Stage(
                name=say(spoken.value, f"case.stage_{one.name}"),
                begins=begins,
                seconds=one.seconds,
                words=f"{number(one.seconds, 1, language=spoken.value)} s",
                waiting=one.name == "waiting",
            )
        )
        begins += one.seconds
    drawn = Timeline(
        title=say(spoken.value, "case.timeline"),
        message="; ".join(f"{one.name}: {one.words}" for one in stages),
        stages=tuple(stages),
    )
    return Markup(timeline(drawn, Look(language=spoken, width=760)))  # noqa: S704 - text in it is escaped where it is drawn
