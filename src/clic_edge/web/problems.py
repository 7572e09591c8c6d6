"""What hinders a request, for programs: a code that is stable and a sentence for people."""

from dataclasses import dataclass
from typing import Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from clic_edge.errors import ClicEdgeError, ConfigError, Refusal, Transient
from clic_edge.ledger.database import database_away

API_PREFIX: Final = "/api/"
_LONGEST: Final = 300
_TOLD: Final = 3
_CODES: Final = {
    400: "request-malformed",
    401: "not-logged-in",
    403: "role-too-low",
    404: "no-such-path",
    405: "method-not-allowed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a request was not answered."""

    code: str
    """Stable: programs may branch on it."""
    sentence: str
    """For people; it holds nothing that the request said."""


def problem(code: str, sentence: str, status: int) -> JSONResponse:
    """Return a problem as an answer."""
    return JSONResponse({"code": code, "sentence": sentence}, status)


def not_logged_in() -> JSONResponse:
    """Return what a program hears that comes without a session or token."""
    answer = problem("not-logged-in", "Log in first, or send a token that is alive.", 401)
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def explained(_request: Request, error: Exception) -> JSONResponse:
    """Return an error of ours: 404 where something is not there, 409, 500 or 503."""
    match error:
        case ConfigError(code=code):
            status = 404 if code.startswith("no-") else 409
        case Refusal():
            status = 409
        case Transient():
            status = 503
        case _:
            status = 500
    assert isinstance(error, ClicEdgeError)  # noqa: S101 - as it was registered
    return problem(error.code, error.sentence, status)


def away(request: Request, _error: Exception) -> JSONResponse:
    """Return that the ledger can't be reached now."""
    return explained(request, database_away())


def unfit(_request: Request, _error: Exception) -> JSONResponse:
    """Return that the database can't hold or look for what was asked."""
    return problem("request-invalid", UNFIT, 422)


UNFIT: Final = "The request holds a character or a number that the ledger can't hold."


def refused(_request: Request, error: Exception) -> JSONResponse:
    """Return what a route answered in place of a value."""
    assert isinstance(error, HTTPException)  # noqa: S101 - as it was registered
    code = _CODES.get(error.status_code, "request-refused")
    answer = problem(code, error.detail, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def invalid(_request: Request, error: Exception) -> JSONResponse:
    """Return which part of a request is not as it must be."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as it was registered
    return problem("request-invalid", invalid_sentence(error), 422)


def invalid_sentence(error: RequestValidationError) -> str:
    """Return what is wrong with a request, without any value that was in it."""
    told = [f"{_place(one['loc'])}: {one['msg']}" for one in error.errors()[:_TOLD]]
    return f"{'; '.join(told)[:_LONGEST]}."


def _place(location: tuple[str | int, ...]) -> str:
    """Return the name of a field; what the request itself named is not repeated at length."""
    name = ".".join(str(one) for one in location[1:]) or str(location[0])
    return "".join(one for one in name if one.isprintable())[:64]
