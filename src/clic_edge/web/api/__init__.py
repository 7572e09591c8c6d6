"""`/api/v1`: everything that the pages show, for programs."""

import re
from collections.abc import Iterable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.exceptions import HTTPException

from clic_edge import __version__
from clic_edge.errors import ClicEdgeError
from clic_edge.ledger.database import DatabaseAway, DatabaseBusy, DatabaseUnfit
from clic_edge.web.access import account_of
from clic_edge.web.problems import Problem, away, explained, invalid, refused, unfit

PATH = "/api/v1"
_ABOUT: Final = (
    "What the pages show, for programs: without identities. A program sends its token as "
    "`Authorization: Bearer TOKEN`; `clic-edge users token` makes one. A browser's session does "
    "too, and sends `X-CSRF-Token` with what changes something. docs/reference/api.md tells more."
)
_PROBLEMS: Final = {
    400: "The body can't be read.",
    401: "Who asks has not logged in.",
    403: "The role of who asks is too low, or a session's `X-CSRF-Token` is missing.",
    404: "There is no such thing.",
    409: "It can't be done as things stand.",
    422: "The request is not as it must be.",
    503: "The ledger or the archive is away; ask again later.",
}
_Token = Annotated[
    object, Security(HTTPBearer(auto_error=False, scheme_name="token", description="A program's."))
]
_Session = Annotated[
    object,
    Security(
        APIKeyCookie(
            name="clic-edge-session",
            auto_error=False,
            scheme_name="session",
            description="A browser's; by TLS its name begins with `__Host-`.",
        )
    ),
]


def create_api(routers: Iterable[APIRouter]) -> FastAPI:
    """Return the API, to be mounted at `PATH`; ``openapi.json`` in it says what it answers.

    What it can't answer is a `Problem` with 400, 401, 403, 404, 405, 409, 422, 500 or 503.
    """
    api = FastAPI(
        title="clic-edge",
        version=__version__,
        description=_ABOUT,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": PATH}],
        root_path_in_servers=False,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(_documented), Depends(account_of)],
        generate_unique_id_function=_operation_id,
        responses={
            status: {"model": Problem, "description": said} for status, said in _PROBLEMS.items()
        },
    )
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                route.summary = _summary(route)
        api.include_router(router)
    api.add_exception_handler(ClicEdgeError, explained)
    api.add_exception_handler(DatabaseAway, away)
    api.add_exception_handler(DatabaseBusy, away)
    api.add_exception_handler(DatabaseUnfit, unfit)
    api.add_exception_handler(HTTPException, refused)
    api.add_exception_handler(RequestValidationError, invalid)
    return api


def _documented(_token: _Token, _session: _Session) -> None:
    """Say in the description how one logs in; the guard has looked at it before this."""


def _operation_id(route: APIRoute) -> str:
    """Return the method and the words of the path: as stable as these are."""
    method = min(route.methods or {"GET"})
    return "_".join([method.lower(), *re.findall(r"\w+", route.path_format)])


def _summary(route: APIRoute) -> str:
    """Return what a route does in a few words: its description as far as the first pause."""
    words = re.split(r"[.;:]", route.description, maxsplit=1)[0].removeprefix("Return ")
    return words[:1].upper() + words[1:]
