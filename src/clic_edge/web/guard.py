"""In front of every route: who asks is logged in, and a form comes from a page of ours."""

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clic_edge.accounts.door import Door, Entered
from clic_edge.accounts.tokens import is_derived
from clic_edge.ledger.database import DatabaseAway, DatabaseBusy, database_away
from clic_edge.web.cookies import Cookies
from clic_edge.web.failing import hindered
from clic_edge.web.problems import API_PREFIX, not_logged_in, problem
from clic_edge.web.rendering import Pages
from clic_edge.web.words import say

OPEN: Final = frozenset({"/health", "/login", "/login/openid", "/login/back", "/login/language"})
"""What answers without log-in, beside the static files that these pages need."""
STATIC: Final = "/static/"
LARGEST_BODY: Final = 1_048_576
"""Bytes of what is sent, by a page or by a program."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FOR_PROGRAMS: Final = (API_PREFIX, "/dicom-web/")
_LONGEST_PATH: Final = 2048
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


class Guard:
    """ASGI middleware: lets nobody by who has not logged in, and says to the routes who it is.

    The account, the session and the token of its forms stand in the request's state.
    """

    def __init__(self, app: ASGIApp, *, door: Door, cookies: Cookies, pages: Pages) -> None:
        self._app = app
        self._door = door
        self._cookies = cookies
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        if not _is_path(scope["path"]):
            answer = self._said(
                request, "not_found", why="no_such_page", code="no-such-path", status=404
            )
            await answer(scope, receive, send)
            return
        if _is_open(scope):
            await self._short(request, send)
            return
        try:
            entered = await run_in_threadpool(self._entered, request)
        except (DatabaseAway, DatabaseBusy):
            await self._away(request)(scope, receive, send)
            return
        if entered is None:
            await _not_let_in(request)(scope, receive, send)
            return
        scope.setdefault("state", {}).update(
            account=entered.account, session=entered.session, csrf=entered.csrf
        )
        await self._pass_on(request, entered, send)

    def _entered(self, request: Request) -> Entered | None:
        now = datetime.now(UTC)
        if "Authorization" in request.headers:
            scheme, _, token = request.headers["Authorization"].partition(" ")
            return self._door.by_token(token.strip(), now) if scheme.lower() == "bearer" else None
        token = self._cookies.session(request)
        return self._door.by_session(token, now) if token else None

    async def _pass_on(self, request: Request, entered: Entered, send: Send) -> None:
        """Hand a request to its route; one that changes something only with the session's token."""
        if request.method in _SAFE:
            await self._app(request.scope, request.receive, send)
            return
        body = await _body(request)
        if body is None:
            await self._too_large(request)(request.scope, request.receive, send)
            return
        receive = _again(body)
        if entered.session is None:
            await self._app(request.scope, receive, send)
            return
        token = request.headers.get("X-CSRF-Token", "")
        if not token and request.headers.get("Content-Type", "").startswith(_FORMS):
            token = await _token_in(request.scope, body)
        if is_derived(token, self._cookies.session(request), "csrf"):
            await self._app(request.scope, receive, send)
        else:
            answer = self._said(request, "stale", why="stale_why", code="form-stale", status=403)
            await answer(request.scope, receive, send)

    async def _short(self, request: Request, send: Send) -> None:
        """Hand on a request of somebody unknown, who may send a short form and no more."""
        if request.method in _SAFE:
            await self._app(request.scope, request.receive, send)
        elif (body := await _body(request)) is None:
            await self._too_large(request)(request.scope, request.receive, send)
        else:
            await self._app(request.scope, _again(body), send)

    def _said(self, request: Request, title: str, *, why: str, code: str, status: int) -> Response:
        """Return what hinders a request, as a page or for a program."""
        if _is_of_a_program(request):
            return problem(code, say("en", f"problem.{why}"), status)
        return hindered(self._pages, request, title, why=why, status=status)

    def _away(self, request: Request) -> Response:
        away = database_away()
        if _is_of_a_program(request):
            return problem(away.code, away.sentence, 503)
        return hindered(self._pages, request, "not_now", sentence=away.sentence, status=503)

    def _too_large(self, request: Request) -> Response:
        title, why, code = "too_large", "too_large_why", "form-too-large"
        return self._said(request, title, why=why, code=code, status=413)


def _is_of_a_program(request: Request) -> bool:
    return str(request.scope["path"]).startswith(API_PREFIX)


def _is_open(scope: Scope) -> bool:
    path = scope.get("path", "")
    return path in OPEN or path.startswith(STATIC)


def _is_path(path: str) -> bool:
    """Return whether a path can lead anywhere; no file and no row has a name with a zero byte."""
    return len(path) <= _LONGEST_PATH and not any(one < " " for one in path)


def _not_let_in(request: Request) -> Response:
    """Send a person to the log-in, and tell a program, or a page in mid-work, that it needs one."""
    path = request.scope["path"]
    part_of_a_page = path.startswith("/viewer/") and PurePosixPath(path).suffix
    if path.startswith(_FOR_PROGRAMS) or part_of_a_page or "Authorization" in request.headers:
        return not_logged_in()
    asked = f"{path}?{request.url.query}" if request.url.query else path
    back = f"?{urlencode({'next': asked})}" if request.method == "GET" and asked != "/" else ""
    return RedirectResponse(f"/login{back}", 303)


async def _body(request: Request) -> bytes | None:
    """Return what was sent; None where it is too much, or the browser has gone."""
    taken = b""
    try:
        async for piece in request.stream():
            taken += piece
            if len(taken) > LARGEST_BODY:
                return None
    except ClientDisconnect:
        return None
    return taken


async def _token_in(scope: Scope, body: bytes) -> str:
    try:
        form = await Request(scope, _again(body)).form()
    except HTTPException:
        return ""
    token = form.get("csrf")
    await form.close()
    return token if isinstance(token, str) else ""


def _again(body: bytes) -> Receive:
    """Return what gives a body that was read already to who reads it next."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    return receive
