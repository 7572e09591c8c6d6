"""`/open/CASE`: from a case to its study in the viewer, with the result shown."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from clic_edge.domain.case import CaseState
from clic_edge.domain.result import ResultKind, ResultReference
from clic_edge.ledger import Ledger
from clic_edge.pacs.gateway import ArchiveGateway

SHOWN: Final = (
    ResultKind.SEG,
    ResultKind.SEG_LABELMAP,
    ResultKind.SC,
    ResultKind.SUMMARY,
    ResultKind.SR,
)
"""What the viewer can open with, the best first. Its SEG is BINARY or a label map, no fraction."""


def router(ledger: Ledger, archive: ArchiveGateway) -> APIRouter:
    """Return the route; what it redirects to names the study, so nothing may log it."""
    routes = APIRouter()

    @routes.get("/open/{case_id}")
    async def open_case(case_id: str) -> RedirectResponse:
        case = await run_in_threadpool(ledger.cases.case, case_id)
        results = await run_in_threadpool(ledger.deliveries.results, case_id)
        asked = {"StudyInstanceUIDs": await archive.study_instance_uid(case.study_id)}
        # What was withdrawn lies in the archive still; nobody is led to it.
        if case.state is not CaseState.WITHDRAWN and (series := first_shown(results)):
            asked["initialSeriesInstanceUID"] = series
        return RedirectResponse(f"/viewer/viewer?{urlencode(asked)}", 303)

    return routes


def first_shown(results: Sequence[ResultReference]) -> str | None:
    """Return the series of the result that the viewer opens with, None where it can show none."""
    shown = sorted(
        (SHOWN.index(one.kind), one.series_instance_uid) for one in results if one.kind in SHOWN
    )
    return shown[0][1] if shown else None
