"""A PACS errs, by DICOMweb.

Each fault has a server, a pipeline and a study of its own. While it lasts a study for a PACS that
is well comes in and is delivered; then the PACS itself answers at the server's port.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from bad_wires import Wire, bad_wire
from faults.bench import NOT_HELD_UP, Outcome
from faults.peers import Destination, Here, site_with
from servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = [pytest.mark.servers, pytest.mark.faults]
JSON = "application/dicom+json"
ELSEWHERE = free_port()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server says to everything, and the case that waits says of it."""

    fault: str
    words: str
    code: str = "destination-unavailable"
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    breaks_off: bool = False
    """It ends the connection in place of an answer."""
    endless: bool = False
    timeout_s: float = 60.0


def _http(status: int, meaning: str, **headers: str) -> Answer:
    return Answer(
        fault=f"It answers {status}, {meaning}",
        words=f"answers with HTTP {status}.",
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def _rejects(status: int, meaning: str, body: bytes = b"") -> Answer:
    return Answer(
        fault=f"It answers {status}, {meaning}",
        words=f"took 0 of 3 objects (HTTP {status})",
        code="destination-rejected",
        status=status,
        body=body,
    )


ANSWERS = {
    "http-401": _http(401, "unauthorized", WWW_Authenticate="Basic"),
    "http-403": _http(403, "forbidden"),
    "http-409": _rejects(409, "conflict, and names no object", b"{}"),
    "http-413": _rejects(413, "content too large, also for one object"),
    "http-429": _http(429, "too many requests, with Retry-After", Retry_After="1"),
    "http-500": _http(500, "internal server error"),
    "http-503": _http(503, "unavailable"),
    "http-302": _http(302, "found elsewhere", Location=f"http://127.0.0.1:{ELSEWHERE}/"),
    "http-307": _http(307, "elsewhere for now", Location=f"http://127.0.0.1:{ELSEWHERE}/"),
    "no-json": Answer(
        fault="It answers 200 with a page for browsers",
        words="gives an answer that is no DICOM JSON.",
        body=b"<html>Please log in</html>",
    ),
    "breaks-off": Answer(
        fault="It takes the objects and ends the connection without an answer",
        words="Nothing answers at",
        code="destination-unreachable",
        breaks_off=True,
    ),
    "endless": Answer(
        fault="Its answer has no end",
        words="does not end its answer.",
        endless=True,
    ),
}
DESTINATIONS = {name: Destination(port=free_port(), web=True) for name in ANSWERS}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with site_with(tmp_path_factory.mktemp("web"), DESTINATIONS) as here:
        yield here


@contextmanager
def serving(answer: Answer, port: int) -> Iterator[list[str]]:
    """Serve an answer at a port; yield what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                left -= len(self.rfile.read(min(left, 65_536)))
            self.do_GET()

        def do_GET(self) -> None:
            asked.append(self.path)
            self.close_connection = True
            if answer.breaks_off:
                return
            self.send_response(answer.status)
            for name, value in {"Content-Type": JSON, **answer.headers}.items():
                self.send_header(name, value)
            if not answer.endless:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
            try:
                while answer.endless:
                    self.wfile.write(b" " * 65_536)
            except ConnectionError:
                return  # the client has had enough

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        try:
            yield asked
        finally:
            server.shutdown()


@pytest.mark.parametrize("name", ANSWERS)
def test_results_wait_for_a_server_and_arrive_once(
    here: Here, name: str, told: Callable[[Outcome], None]
) -> None:
    answer, port = ANSWERS[name], DESTINATIONS[name].port
    strays = Answer(fault="", words="")
    with serving(answer, port) as asked, serving(strays, ELSEWHERE) as strayed:
        study_id = here.send(name)
        here.await_told(study_id, answer.words)
        other = here.await_beside(study_id)
    assert asked
    assert strayed == [], "nothing goes where a redirect leads"
    with bad_wire(Wire(), here.site.pacs.http_port, port):
        here.await_quiet(study_id, other)
    found = here.account([study_id, other])
    told(
        found.outcome(
            fault=answer.fault,
            where="at a request with all objects",
            others=NOT_HELD_UP,
            note=f"the case waits (`{answer.code}`): *… {answer.words}*",
        )
    )
