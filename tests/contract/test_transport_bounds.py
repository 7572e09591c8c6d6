"""Whatever a PACS does to a connection, it costs us one attempt, and never the worker."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from bad_wires import Wire, bad_wire, full_port
from faulty_pacs import AE_TITLE, Fault, faulty_pacs
from pydicom.dataset import Dataset
from results_in_code import make_result, make_results

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Transient
from clic_edge.pacs import association, dicomweb, dimse
from clic_edge.pacs.dicomweb import (
    DicomwebCensus,
    DicomwebDestination,
    DicomwebPeer,
    DicomwebWitness,
)
from clic_edge.pacs.dimse import DimseCensus, DimseDestination, DimsePeer
from clic_edge.pacs.probe_web import services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from clic_edge.domain.result import Receipt

pytestmark = pytest.mark.servers
SEG, SR = make_results()
LARGE = make_result(ResultKind.SEG, number=2, frames=10_000)
"""More than a wire holds: who sends it has to wait for who reads."""
STUDY = "1.2.3"
HASTY, PATIENT = 0.3, 60.0


def _dimse(port: int, timeout_s: float = PATIENT) -> DimsePeer:
    return DimsePeer(host="127.0.0.1", port=port, called_ae_title=AE_TITLE, timeout_s=timeout_s)


def _answers(receipts: Sequence[Receipt]) -> list[tuple[bool, str]]:
    return [(receipt.accepted, receipt.status) for receipt in receipts]


# --- DIMSE


@pytest.mark.parametrize(
    "wire",
    [
        Wire(stops_after=50_000),
        Wire(cut_after=50_000),
        Wire(answers_until=1),
        Wire(answers_until=200),
    ],
    ids=["stops reading", "is cut", "ends within its first answer", "ends within a PDU"],
)
def test_a_peer_that_stops_in_the_middle_is_given_up(wire: Wire) -> None:
    with (
        faulty_pacs(Fault()) as pacs,
        bad_wire(wire, pacs.port) as port,
        pytest.raises(Transient) as caught,
    ):
        DimseDestination("pacs", _dimse(port, HASTY)).deliver([LARGE])
    assert caught.value.code == "association-aborted"


def test_a_host_that_drops_packets_is_given_up() -> None:
    with full_port() as port:
        with pytest.raises(Transient) as by_dimse:
            DimseDestination("pacs", _dimse(port, HASTY)).deliver([SR])
        web = DicomwebPeer(url=f"http://127.0.0.1:{port}/dicom-web", timeout_s=HASTY)
        with pytest.raises(Transient) as by_web:
            DicomwebDestination("pacs", web).deliver([SR])
    assert [by_dimse.value.code, by_web.value.code] == ["destination-unreachable"] * 2


@pytest.mark.parametrize(
    ("left", "answers", "asked"),
    [
        pytest.param([5, 5], [None], 1, id="it takes nothing"),
        pytest.param([5, 3, 3, 0, 0, 0], [None, None, None], 3, id="it takes some, then nothing"),
        pytest.param([5, 3, 3, 0], [None, "answer"], 2, id="it takes all, and answers"),
    ],
)
def test_an_answer_is_waited_for_as_long_as_the_peer_takes_what_is_sent(
    left: list[int], answers: list[str | None], asked: int
) -> None:
    """`left` is what waits to be sent, before and behind each time-out."""
    sizes, waits = iter(left), iter(answers)
    taken: list[bool] = []

    def take(block: bool) -> tuple[int | None, str | None]:  # noqa: FBT001 - as pynetdicom calls it
        taken.append(block)
        answer = next(waits)
        return (1 if answer else None), answer

    unsent: Queue[object] = Queue()
    unsent.qsize = lambda: next(sizes)  # type: ignore[method-assign] # what is left is told
    dul = SimpleNamespace(
        to_provider_queue=unsent, state_machine=SimpleNamespace(current_state="Sta6")
    )
    fake = SimpleNamespace(dul=dul, dimse=SimpleNamespace(get_msg=take))
    get_msg = association._patient(fake)  # type: ignore[arg-type] # what it looks at is there
    assert get_msg(True) == ((1, "answer") if answers[-1] else (None, None))  # noqa: FBT003 - as above
    assert taken == [True] * asked


@pytest.mark.parametrize(
    ("rejects", "words"),
    [
        ((1, 1, 3), "it does not know our AE title."),
        ((1, 1, 7), "it is not called by that AE title."),
        ((2, 3, 1), "it is busy."),
        ((2, 3, 2), "it has as many associations as it takes."),
        ((1, 1, 1), "does it know our AE title?"),
    ],
)
def test_a_refused_association_says_why(rejects: tuple[int, int, int], words: str) -> None:
    with faulty_pacs(Fault(rejects=rejects)) as pacs, pytest.raises(Transient) as caught:
        DimseDestination("pacs", _dimse(pacs.port)).deliver([SR])
    assert caught.value.code == "association-refused"
    assert caught.value.sentence.endswith(f"refused the association: {words}")


def test_a_query_whose_answer_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimse, "MOST_MATCHES", 20)
    match = Dataset()
    match.StudyInstanceUID = STUDY
    fault = Fault(matches=(("STUDY", match),), endless_find=True)
    with faulty_pacs(fault) as pacs, pytest.raises(Transient) as caught:
        DimseCensus(_dimse(pacs.port)).count_instances(STUDY)
    assert caught.value.code == "query-refused"
    assert "does not end its answer" in caught.value.sentence


# --- DICOMweb


@contextmanager
def _web(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[str]]]:
    """Start a web server; yield its URL and the requests that it got."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            while length:
                length -= len(self.rfile.read(min(length, 65_536)))
            self.do_GET()

        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            try:
                answer(self)
            except ConnectionError:  # the client has had enough
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()


def _says(
    status: int, body: bytes = b"", kind: str = "application/dicom+json", **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **named,
        }.items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    return answer


def _store(url: str, timeout_s: float = PATIENT) -> tuple[Receipt, ...]:
    peer = DicomwebPeer(url=url, token="secret", timeout_s=timeout_s)  # noqa: S106 - of no one
    return DicomwebDestination("pacs", peer).deliver([SEG, SR])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_sent_elsewhere_with_objects_or_credentials(status: int) -> None:
    with (
        _web(_says(200)) as (elsewhere, strayed),
        _web(_says(status, Location=f"{elsewhere}/x")) as (url, _),
    ):
        for ask in (
            lambda: _store(url),
            lambda: DicomwebCensus(DicomwebPeer(url=url)).count_instances(STUDY),
            lambda: DicomwebWitness("pacs", DicomwebPeer(url=url)).confirm(
                [SEG], study_instance_uid=STUDY
            ),
            lambda: services(DicomwebPeer(url=url)),
        ):
            with pytest.raises(Transient) as caught:
                ask()
            assert caught.value.code == "destination-unavailable"
            assert caught.value.sentence.endswith(f"answers with HTTP {status}.")
    assert strayed == []


def test_an_answer_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clic_edge.pacs.web_session.MOST_BYTES", 100_000)

    def flood(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.end_headers()
        while True:
            to.wfile.write(b" " * 4096)

    with _web(flood) as (url, _), pytest.raises(Transient) as caught:
        _store(url)
    assert caught.value.code == "destination-unavailable"
    assert caught.value.sentence.endswith("does not end its answer.")


def test_an_answer_that_drips_is_ended() -> None:
    over = threading.Event()

    def drip(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.end_headers()
        while not over.wait(0.02):
            to.wfile.write(b" ")

    with _web(drip) as (url, _):
        with pytest.raises(Transient) as caught:
            _store(url, HASTY)
        over.set()
    assert caught.value.sentence.endswith("does not end its answer.")


def test_an_answer_that_breaks_off_is_none() -> None:
    half = _says(200, b"{", Content_Length="100")
    with _web(half) as (url, _), pytest.raises(Transient) as caught:
        _store(url, HASTY)
    assert caught.value.code == "destination-unavailable"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b"[1, 2]",
        b'{"00081199": 3}',
        b'{"00081199": {"vr": "SQ", "Value": [{}]}}',
    ],
)
def test_an_answer_that_is_no_dicom_json_says_nothing_and_is_asked_again(body: bytes) -> None:
    with _web(_says(200, body)) as (url, _), pytest.raises(Transient) as caught:
        _store(url)
    assert caught.value.code == "destination-unavailable"
    assert "JSON" in caught.value.sentence


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[1, 2]", b'[{"00080018": 3}]'])
def test_a_search_whose_answer_is_no_dicom_json_proves_nothing(body: bytes) -> None:
    with _web(_says(200, body)) as (url, _):
        peer = DicomwebPeer(url=url)
        with pytest.raises(Transient) as caught:
            DicomwebWitness("pacs", peer).confirm([SEG], study_instance_uid=STUDY)
        assert "JSON" in caught.value.sentence
        with pytest.raises(Transient) as caught:
            DicomwebCensus(peer).count_instances(STUDY)
        assert caught.value.code in {"destination-unavailable", "query-refused"}


def test_objects_that_are_too_much_for_one_request_are_sent_one_by_one() -> None:
    def small_only(to: BaseHTTPRequestHandler) -> None:
        if int(to.headers["Content-Length"]) > len(SEG.content) + 1000:
            _says(413)(to)
            return
        item = {"00081155": {"vr": "UI", "Value": [next(uids)]}}
        _says(200, json.dumps({"00081199": {"vr": "SQ", "Value": [item]}}).encode())(to)

    uids = iter([SEG.sop_instance_uid, SR.sop_instance_uid])
    with _web(small_only) as (url, asked):
        assert _answers(_store(url)) == [(True, "HTTP 200")] * 2
    assert len(asked) == 3
    with _web(_says(413)) as (url, _):
        assert _answers(_store(url)) == [(False, "HTTP 413")] * 2


@pytest.mark.parametrize(
    ("told", "waits"),
    [
        ("60", timedelta(seconds=60)),
        ("99999999999999999999", dicomweb.LONGEST_WAIT),
        ("tomorrow", None),
        ("-1", None),
    ],
)
def test_a_server_says_how_long_to_wait_within_reason(told: str, waits: timedelta | None) -> None:
    with _web(_says(429, Retry_After=told)) as (url, _), pytest.raises(Transient) as caught:
        _store(url)
    assert caught.value.retry_after == waits


def test_a_server_that_knows_no_pages_is_asked_twice() -> None:
    match = {
        "00080016": {"vr": "UI", "Value": [SEG.sop_class_uid]},
        "00080018": {"vr": "UI", "Value": [SEG.sop_instance_uid]},
    }
    with _web(_says(200, json.dumps([match]).encode())) as (url, asked):
        (seg,) = DicomwebWitness("pacs", DicomwebPeer(url=url)).confirm(
            [SEG], study_instance_uid=STUDY
        )
    assert seg.held
    assert len(asked) == 2
