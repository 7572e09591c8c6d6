"""What stands in place of a page: what hinders it, with the menu, so that people find on."""

from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from clic_edge.errors import ClicEdgeError, ConfigError, Refusal, Transient
from clic_edge.ledger.database import DatabaseAway, DatabaseBusy, DatabaseUnfit, database_away
from clic_edge.web.problems import UNFIT, invalid_sentence
from clic_edge.web.rendering import Pages

_TITLES: Final = {401: "not_allowed", 403: "not_allowed", 404: "not_found", 413: "too_large"}
_SERVER_ERROR: Final = 500


def hindered(
    pages: Pages, request: Request, title: str, *, sentence: str = "", why: str = "", status: int
) -> Response:
    """Return a page with a title and `why` of `words/problem.toml`, or an English `sentence`."""
    return pages.page(
        request, "problem.html", status=status, title=title, sentence=sentence, why=why
    )


def explain_failures(app: FastAPI, pages: Pages) -> None:
    """Answer every error that a route raises with a page that says what hinders it."""

    def explained(request: Request, error: Exception) -> Response:
        match error:
            case ConfigError() | Refusal():
                title, status = "not_found", 404
            case Transient():
                title, status = "not_now", 503
            case _:
                title, status = "broken", 500
        sentence = error.sentence if isinstance(error, ClicEdgeError) else ""
        return hindered(pages, request, title, sentence=sentence, status=status)

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - as it was registered
        status = error.status_code
        # Of a path that leads nowhere Starlette says no more than the name of the status.
        unsaid = status == 404 and error.detail == "Not Found"  # noqa: PLR2004 - of HTTP
        otherwise = "broken" if status >= _SERVER_ERROR else "not_understood"
        return hindered(
            pages,
            request,
            _TITLES.get(status, otherwise),
            sentence="" if unsaid else error.detail,
            why="no_such_page" if unsaid else "",
            status=status,
        )

    def away(request: Request, _error: Exception) -> Response:
        return explained(request, database_away())

    def unfit(request: Request, _error: Exception) -> Response:
        return hindered(pages, request, "not_understood", sentence=UNFIT, status=422)

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - as it was registered
        sentence = invalid_sentence(error)
        return hindered(pages, request, "not_understood", sentence=sentence, status=422)

    app.add_exception_handler(ClicEdgeError, explained)
    app.add_exception_handler(DatabaseAway, away)
    app.add_exception_handler(DatabaseBusy, away)
    app.add_exception_handler(DatabaseUnfit, unfit)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
