"""`/health`: whether what the appliance stands on is there."""

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from clic_edge.ledger import Ledger
from clic_edge.ledger.database import DatabaseAway
from clic_edge.pacs.gateway import ArchiveGateway


def router(ledger: Ledger, archive: ArchiveGateway) -> APIRouter:
    """Return the route; 200 where both answer, else 503."""
    routes = APIRouter()

    def ledger_answers() -> bool:
        try:
            ledger.cases.all(limit=1)
        except DatabaseAway:
            return False
        return True

    @routes.get("/health")
    async def health() -> JSONResponse:
        there = {
            "archive": await archive.answers(),
            "ledger": await run_in_threadpool(ledger_answers),
        }
        status = 200 if all(there.values()) else 503
        return JSONResponse({name: "ok" if it else "away" for name, it in there.items()}, status)

    return routes
