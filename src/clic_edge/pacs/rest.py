"""How the archive's REST API is reached: over HTTP, or from inside Orthanc's own plugin."""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
)
from io import BytesIO
from select import POLLIN, poll
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

from clic_edge.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ssl import SSLContext

# Orthanc drops an idle connection after one second; a connection is not used again after less.
KEEP_ALIVE_SECONDS = 0.8
_CONNECT_SECONDS = 5.0
_PIECE = 1 << 20
_PORTS = {"http": 80, "https": 443}
_SAFE = "/?&=:,%"


class Rest(Protocol):
    """Orthanc's REST API, as far as `OrthancArchive` needs it."""

    def get(self, path: str) -> bytes | None:
        """Return the answer's body, or None when Orthanc knows no such resource.

        Raises Transient ``archive-unreachable`` when there is no answer.
        """
        ...

    def opening(self, instance_id: str, most: int) -> bytes | None:
        """Return the first bytes of an instance's file, `most` of them or all. Otherwise as `get`."""
        ...

    def post(self, path: str, body: bytes) -> bytes | None:
        """Return the answer's body, or None when Orthanc will not take this one. Raises as `get`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrthancPeer:
    """Where an Orthanc answers over HTTP."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_s: float = 60.0
    """For one answer; a connection is given up after at most five seconds."""


class HttpRest:
    """Orthanc over HTTP on connections that are kept alive; safe to use from several threads.

    A case asks some hundred times, so this is the standard library's client: it takes a sixth of
    the time that httpx takes for a request.
    """

    def __init__(self, peer: OrthancPeer) -> None:
        url = urlsplit(peer.url)
        self._peer = peer
        self._host = url.hostname or ""
        self._port = url.port or _PORTS.get(url.scheme, 80)
        self._base = url.path.rstrip("/")
        self._tls = _trusting() if url.scheme == "https" else None
        # Without it Orthanc compresses every file it sends, at fifty times the cost.
        self._headers = {"Accept-Encoding": "identity"}
        if peer.user:
            basic = b64encode(f"{peer.user}:{peer.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {basic}"
        self._idle = deque[tuple[float, HTTPConnection]]()

    def get(self, path: str) -> bytes | None:
        """Return the answer's body, None for 404. Raises Transient ``archive-unreachable``."""
        return self._body("GET", path, None, absent={404})

    def opening(self, instance_id: str, most: int) -> bytes | None:
        """Return the first bytes of a file; what follows stays where it is. Otherwise as `get`."""
        with self._answer("GET", f"/instances/{instance_id}/file") as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            self._require_success(answer)
            opening = answer.read(most)
            if len(opening) < most and answer.length:
                raise IncompleteRead(opening, answer.length)
            return opening

    def post(self, path: str, body: bytes) -> bytes | None:
        """Return the answer's body, None for 400. Raises Transient ``archive-unreachable``."""
        return self._body("POST", path, body, absent={400, 404})

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop()[1].close()

    def _body(
        self, method: str, path: str, body: bytes | None, *, absent: set[int]
    ) -> bytes | None:
        with self._answer(method, path, body) as answer:
            content = answer.read()
            if answer.status in absent:
                return None
            self._require_success(answer)
            return content

    @contextmanager
    def _answer(self, method: str, path: str, body: bytes | None = None) -> Iterator[HTTPResponse]:
        """Ask, and keep the connection where the answer was read to its end."""
        connection = self._connection()
        is_whole = False
        try:
            headers, pieces = self._headers, None
            if body is not None:  # in pieces, each of which has the time-out
                headers, pieces = headers | {"Content-Length": str(len(body))}, BytesIO(body)
            connection.request(method, self._base + quote(path, _SAFE), pieces, headers)
            answer = connection.getresponse()
            yield answer
            is_whole = answer.isclosed() and connection.sock is not None
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            if is_whole:
                self._idle.append((monotonic(), connection))
            else:
                connection.close()

    def _connection(self) -> HTTPConnection:
        """Return the connection that was used last, or a new one."""
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:  # another thread has it
                break
            if monotonic() - since < KEEP_ALIVE_SECONDS and not _has_ended(connection):
                return connection
            connection.close()
        return self._connected()

    def _connected(self) -> HTTPConnection:
        patience = min(_CONNECT_SECONDS, self._peer.timeout_s)
        connection = (
            HTTPSConnection(
                self._host, self._port, timeout=patience, context=self._tls, blocksize=_PIECE
            )
            if self._tls
            else HTTPConnection(self._host, self._port, timeout=patience, blocksize=_PIECE)
        )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise self._unreachable(error) from error
        connection.sock.settimeout(self._peer.timeout_s)
        return connection

    def _require_success(self, answer: HTTPResponse) -> None:
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise Transient(
                "archive-unreachable",
                f"The archive at {self._where} answers with HTTP {answer.status}.",
            )

    def _unreachable(self, error: OSError | HTTPException) -> Transient:
        name = type(error).__name__
        return Transient(
            "archive-unreachable", f"The archive at {self._where} does not answer ({name})."
        )

    @property
    def _where(self) -> str:
        return f"{self._host}:{self._port}"


def _has_ended(connection: HTTPConnection) -> bool:
    """Whether the other side has closed it: there is something to read, and nothing was asked."""
    seen = poll()
    seen.register(connection.sock, POLLIN)
    return bool(seen.poll(0))


def _trusting() -> SSLContext:
    import httpx  # noqa: PLC0415 - for the authorities that it brings; Orthanc is beside us mostly

    return httpx.create_ssl_context(trust_env=False)
