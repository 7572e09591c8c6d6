"""`/open/CASE`: from a case to its study in the viewer."""

from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from clic_edge.ledger import Ledger
from clic_edge.pacs.gateway import ArchiveGateway


def router(ledger: Ledger, archive: ArchiveGateway) -> APIRouter:
    """Return the route; what it redirects to names the study, so nothing may log it."""
    routes = APIRouter()

    @routes.get("/open/{case_id}")
    async def open_case(case_id: str) -> RedirectResponse:
        case = await run_in_threadpool(ledger.cases.case, case_id)
        uid = await archive.study_instance_uid(case.study_id)
        return RedirectResponse(f"/viewer/viewer?{urlencode({'StudyInstanceUIDs': uid})}", 303)

    return routes
