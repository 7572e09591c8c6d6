"""`/viewer`: the files of OHIF as `clic-edge viewer install` left them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from clic_edge.web.pages import plain_page

POLICY: Final = (
    # The decoders of compressed pixels are WebAssembly whose glue is made at run time.
    "default-src 'self'; script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' blob:; "
    "worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; object-src 'self' blob:; "
    "frame-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content Security Policy: OHIF runs, and no request can leave the box."""
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
_OURS = Path(__file__).parent / "ohif"
_NAMED_BY_CONTENT = re.compile(r"(?:.*\.)?[0-9a-f]{20}\.(?:js|wasm|woff2|png|svg)")
_FOR_EVER = "public, max-age=31536000, immutable"


def router(folder: Path) -> APIRouter:
    """Return the routes; a path without a file is a page that OHIF makes itself."""
    routes = APIRouter()
    routes.add_api_route("/viewer/app-config.js", _ours("app-config.js"))
    routes.add_api_route("/viewer/boot.js", _ours("boot.js"))
    files = folder.resolve()

    @routes.get("/viewer/{path:path}")
    def viewer(path: str) -> Response:
        index = files / "index.html"
        if not index.is_file():
            return plain_page(
                "No viewer is installed",
                "Run `make viewer` in the source tree, or `clic-edge viewer install`.",
                status=404,
            )
        file = (files / path).resolve()
        if not file.is_file() or not file.is_relative_to(files):
            if Path(path).suffix in _TYPES:
                return Response(status_code=404)
            file = index
        return _served(file)

    return routes


def _ours(name: str) -> Callable[[], FileResponse]:
    """Return the route of a file that comes with the package: it is never older than the rest."""
    return lambda: _served(_OURS / name)


def _served(file: Path) -> FileResponse:
    lasts = _NAMED_BY_CONTENT.fullmatch(file.name)
    return FileResponse(
        file,
        media_type=_TYPES.get(file.suffix, "application/octet-stream"),
        headers={
            "Content-Security-Policy": POLICY,
            "Cache-Control": _FOR_EVER if lasts else "no-cache",
        },
    )
