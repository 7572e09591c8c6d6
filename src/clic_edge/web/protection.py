"""What every answer tells the browser: nothing from elsewhere, nothing to elsewhere."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STRICT: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content Security Policy of our own pages."""

_HEADERS: Final = {
    "Content-Security-Policy": STRICT,
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # A page may tell of a patient; what may be kept says so itself.
    "Cache-Control": "no-store",
}

_ENCRYPTED: Final = {"Strict-Transport-Security": "max-age=31536000"}
"""For a year the browser asks by TLS only."""


class Protection:
    """ASGI middleware: adds the headers that an answer does not set itself."""

    def __init__(self, app: ASGIApp, *, is_encrypted: bool = False) -> None:
        self._app = app
        self._headers = _HEADERS | (_ENCRYPTED if is_encrypted else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, protected)
