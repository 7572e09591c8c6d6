"""How the archive's REST API is reached: over HTTP, or from inside Orthanc's own plugin."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from clic_edge.errors import Transient

# One line for each of 300 instances tells nothing.
logging.getLogger("httpx").setLevel(logging.WARNING)

# Orthanc drops an idle connection after one second; a connection is not used again after less.
KEEP_ALIVE_SECONDS = 0.8


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
    """Orthanc over HTTP on one kept-alive connection; safe to use from several threads."""

    def __init__(self, peer: OrthancPeer) -> None:
        url = httpx.URL(peer.url)
        self._where = f"{url.host}:{url.port or {'http': 80, 'https': 443}.get(url.scheme)}"
        self._client = httpx.Client(
            base_url=peer.url,
            auth=(peer.user, peer.password) if peer.user else None,
            # Without it Orthanc compresses every file it sends, at fifty times the cost.
            headers={"Accept-Encoding": "identity"},
            timeout=httpx.Timeout(peer.timeout_s, connect=min(5.0, peer.timeout_s)),
            limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS),
            trust_env=False,
        )

    def get(self, path: str) -> bytes | None:
        """Return the answer's body, None for 404. Raises Transient ``archive-unreachable``."""
        return self._body("GET", path, None, absent={404})

    def opening(self, instance_id: str, most: int) -> bytes | None:
        """Return the first bytes of a file; what follows stays where it is. Otherwise as `get`."""
        opening = bytearray()
        try:
            with self._client.stream("GET", f"/instances/{instance_id}/file") as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return None
                self._require_success(answer)
                for chunk in answer.iter_raw():
                    opening += chunk
                    if len(opening) >= most:
                        break
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return bytes(opening[:most])

    def post(self, path: str, body: bytes) -> bytes | None:
        """Return the answer's body, None for 400. Raises Transient ``archive-unreachable``."""
        return self._body("POST", path, body, absent={400, 404})

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _body(
        self, method: str, path: str, body: bytes | None, *, absent: set[int]
    ) -> bytes | None:
        try:
            answer = self._client.request(method, path, content=body)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status_code in absent:
            return None
        self._require_success(answer)
        return answer.content

    def _require_success(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            raise Transient(
                "archive-unreachable",
                f"The archive at {self._where} answers with HTTP {answer.status_code}.",
            )

    def _unreachable(self, error: httpx.HTTPError) -> Transient:
        name = type(error).__name__
        return Transient(
            "archive-unreachable", f"The archive at {self._where} does not answer ({name})."
        )
