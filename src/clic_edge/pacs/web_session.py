"""HTTP with a PACS, bounded: what it takes slowly it gets, what it never ends is ended."""

from __future__ import annotations

from io import BytesIO
from time import monotonic
from typing import Final

import requests
from urllib3.exceptions import HTTPError

MOST_BYTES: Final = 16 * 2**20
"""Of one answer: a store names each object, a search the instances of one series."""
_CHUNK: Final = 65_536


class BrokenAnswer(requests.RequestException):
    """The answer had no end, or none that was one; says which, for people."""


class PeerSession(requests.Session):
    """Speaks with the host that the settings name, and with no other.

    A body goes out in pieces, so a slow server has the time-out for each of them and not for all.
    An answer is read within the time-out and up to `MOST_BYTES`. One that sends us elsewhere is
    an error: neither objects nor credentials go where nobody configured them to go.
    """

    def __init__(self, answer_seconds: float) -> None:
        super().__init__()
        self._answer_seconds = answer_seconds

    def send(self, request: requests.PreparedRequest, **kwargs: object) -> requests.Response:
        """Send a request and read its answer whole. Raises requests.RequestException."""
        if isinstance(request.body, bytes):
            request.body = BytesIO(request.body)  # a file goes in pieces
        answer = super().send(request, **kwargs | {"stream": True, "allow_redirects": False})
        with answer:
            if answer.is_redirect:
                raise requests.TooManyRedirects(response=answer)
            content = self._read(answer)
        answer._content = content  # noqa: SLF001 - where `content` looks: read once, by us
        return answer

    def _read(self, answer: requests.Response) -> bytes:
        deadline = monotonic() + self._answer_seconds
        content = bytearray()
        while piece := _piece(answer):
            content += piece
            if len(content) > MOST_BYTES or monotonic() > deadline:
                raise BrokenAnswer("does not end its answer")
        return bytes(content)


def _piece(answer: requests.Response) -> bytes:
    try:
        piece: bytes = answer.raw.read1(_CHUNK, decode_content=True)
    except (HTTPError, OSError) as error:
        raise BrokenAnswer("broke its answer off") from error
    return piece
