"""`/reports`: the monthly reports that the worker made, to download."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from starlette.responses import FileResponse, Response
from starlette.status import HTTP_404_NOT_FOUND

from clic_edge.reporting.shelf import Shelf, ShelvedReport
from clic_edge.web.access import account_of
from clic_edge.web.rendering import Pages

_KINDS: Final = {"pdf": "application/pdf", "html": "text/html", "json": "application/json"}
_FILES: Final[Mapping[str, Mapping[str, str]]] = {kind: {} for kind in _KINDS.values()}
Name = Annotated[str, Path(max_length=255, pattern=r"^\w[\w.-]*$")]


def router(shelf: Shelf, pages: Pages) -> APIRouter:
    """Return the routes of the list and of its files; no file holds an identity."""
    routes = APIRouter(dependencies=[Depends(account_of)])

    @routes.get("/reports")
    def every(request: Request) -> Response:
        return pages.page(request, "reports.html", reports=shelf.reports())

    @routes.get("/reports/{name}")
    def one(name: Name) -> Response:
        return _file(shelf, name)

    return routes


def api(shelf: Shelf) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(tags=["reports"])

    @routes.get("/reports")
    def every() -> tuple[ShelvedReport, ...]:
        """Return the reports that were made, the newest period first."""
        return shelf.reports()

    @routes.get(
        "/reports/{name}", response_class=FileResponse, responses={200: {"content": _FILES}}
    )
    def one(name: Name) -> Response:
        """Return a file of the list."""
        return _file(shelf, name)

    return routes


def _file(shelf: Shelf, name: str) -> Response:
    path = shelf.path(name)
    if path is None or not path.is_file():
        raise HTTPException(HTTP_404_NOT_FOUND, "There is no such report.")
    kind = _KINDS[name.rpartition(".")[2]]
    return FileResponse(path, media_type=kind, filename=name)
