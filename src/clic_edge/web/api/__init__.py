"""`/api/v1`: everything that the pages show, for programs."""

from collections.abc import Iterable

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.responses import JSONResponse

from clic_edge import __version__
from clic_edge.errors import ClicEdgeError, ConfigError, Defect, Refusal, Transient
from clic_edge.ledger.database import DatabaseAway, database_away
from clic_edge.web.access import account_of

PATH = "/api/v1"


def create_api(routers: Iterable[APIRouter]) -> FastAPI:
    """Return the API, to be mounted at `PATH`; ``openapi.json`` in it says what it answers.

    Errors of ours are ``{"code", "sentence"}`` with 404, 409, 500 or 503.
    """
    api = FastAPI(
        title="clic-edge",
        version=__version__,
        description="What the pages show, for programs: without identities, by session or token.",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(account_of)],
    )
    for router in routers:
        api.include_router(router)
    api.add_exception_handler(ClicEdgeError, _explained)
    api.add_exception_handler(DatabaseAway, _away)
    return api


def _explained(_request: Request, error: Exception) -> JSONResponse:
    match error:
        case ConfigError(code=code, sentence=sentence):
            status = 404 if code.startswith("no-") else 409
        case Refusal(code=code, sentence=sentence):
            status = 409
        case Transient(code=code, sentence=sentence):
            status = 503
        case Defect(code=code, sentence=sentence):
            status = 500
        case _:
            raise error
    return JSONResponse({"code": code, "sentence": sentence}, status)


def _away(request: Request, _error: Exception) -> JSONResponse:
    return _explained(request, database_away())
