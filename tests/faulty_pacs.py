"""A PACS that misbehaves as told, in a thread."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    SegmentationStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer
from servers import START_SECONDS, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pynetdicom.association import Association

AE_TITLE = "FAULTY"


@dataclass(frozen=True, kw_only=True)
class Commitment:
    """How the PACS answers a request for storage commitment; by default at once, truly."""

    report_port: int | None = None
    """Reports on an association of its own to this port; None: on that of the request."""
    reports: int = 1
    """How often it reports."""
    after: threading.Event | None = None
    """What the report waits for; None: it comes at once."""
    reason: int = 0x0112
    """Failure Reason of what it does not hold."""
    status: int = 0x0000
    """Answer to the request."""
    hangs_up: bool = False
    """Ends the association of the request instead of reporting on it."""
    proposes_roles: bool = True
    """Says that it is the SCP when it opens an association; some PACS do not."""
    strays: bool = False
    """Reports first on a transaction that nobody asked for."""
    holds_all: bool = False
    """Says of everything that it holds it: it is the PACS of before, started again."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the PACS does; by default it takes everything."""

    refuse_association: bool = False
    """It is called by another AE title."""
    rejects: tuple[int, int, int] | None = None
    """Result, source and diagnostic of the A-ASSOCIATE-RJ that every request gets."""
    sop_classes: tuple[str, ...] = (SegmentationStorage, Comprehensive3DSRStorage)
    """The storage classes it accepts."""
    transfer_syntaxes: tuple[str, ...] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    statuses: tuple[int, ...] = (0x0000,)
    """Answers to the first, second, … instance; the last one repeats."""
    abort_at: int | None = None
    """Abort in place of the answer to this instance, counted from 0."""
    abort_after_answer: bool = False
    """Abort just after the answer to the first instance."""
    answer_after: threading.Event | None = None
    """What the answer to an instance waits for; None: it comes at once."""
    matches: tuple[tuple[str, Dataset], ...] = ()
    """Answers to C-FIND, by Query/Retrieve Level."""
    endless_find: bool = False
    """Whether the matches of a C-FIND come again and again."""
    loses: frozenset[int] = frozenset()
    """Instances, counted from 0, that it accepts and does not hold afterwards."""
    commitment: Commitment | None = None
    """None: it does not offer storage commitment."""


@dataclass(frozen=True, kw_only=True)
class FaultyPacs:
    """A running PACS, and what it got."""

    port: int
    received: list[Dataset] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """The Transaction UIDs of the commitments that it was asked for."""
    answers: list[int] = field(default_factory=list)
    """What it was answered to its reports."""
    once_answered: dict[Association, Callable[[], None]] = field(default_factory=dict)
    """What it does on an association as soon as its next answer has left."""

    def held(self, fault: Fault) -> set[str]:
        """Return the SOP Instance UIDs of what it took and did not lose."""
        return {
            str(ds.SOPInstanceUID)
            for index, ds in enumerate(self.received)
            if index not in fault.loses
        }


@contextmanager
def faulty_pacs(fault: Fault, port: int | None = None) -> Iterator[FaultyPacs]:
    """Start the PACS, on a port of its own or the one given, and shut it down at the end."""
    pacs = FaultyPacs(port=port or free_port())
    ae = AE(AE_TITLE)
    ae.supported_contexts = []
    for sop_class in fault.sop_classes:
        ae.add_supported_context(sop_class, list(fault.transfer_syntaxes))
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    ae.add_supported_context(Verification)
    if fault.commitment:
        ae.add_supported_context(StorageCommitmentPushModel)
    if fault.refuse_association:
        ae.require_called_aet = True
        ae.ae_title = "SOMEBODY_ELSE"
    # As `start_server` does, but for half a second's wait at the end.
    server = ae.make_server(
        ("127.0.0.1", pacs.port),
        evt_handlers=[
            (evt.EVT_REQUESTED, _reject, [fault]),
            (evt.EVT_C_STORE, _take, [fault, pacs]),
            (evt.EVT_C_FIND, _find, [fault, pacs]),
            (evt.EVT_N_ACTION, _commit, [fault, pacs]),
            (evt.EVT_PDU_SENT, _go_on, [pacs]),
        ],
        server_class=ThreadedAssociationServer,
    )
    ae._servers.append(server)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    try:
        yield pacs
    finally:
        server.shutdown()


def _reject(event: evt.Event, fault: Fault) -> None:
    if fault.rejects:
        event.assoc.acse.send_reject(*fault.rejects)
        event.assoc.kill()


def _go_on(event: evt.Event, pacs: FaultyPacs) -> None:
    """Do in a thread what waits for the answer that has just left."""
    if isinstance(event.pdu, P_DATA_TF) and event.assoc in pacs.once_answered:
        threading.Thread(target=pacs.once_answered.pop(event.assoc), daemon=True).start()


def _take(event: evt.Event, fault: Fault, pacs: FaultyPacs) -> int:
    index = len(pacs.received)
    if index == fault.abort_at:
        event.assoc.abort()
        return 0x0000
    ds = event.dataset
    ds.file_meta = event.file_meta
    pacs.received.append(ds)
    if fault.answer_after:
        assert fault.answer_after.wait(START_SECONDS)
    if fault.abort_after_answer:
        pacs.once_answered[event.assoc] = event.assoc.abort
    return fault.statuses[min(index, len(fault.statuses) - 1)]


def _find(event: evt.Event, fault: Fault, pacs: FaultyPacs) -> Iterator[tuple[int, Dataset | None]]:
    if event.identifier.QueryRetrieveLevel == "IMAGE" and not fault.matches:
        held = pacs.held(fault)
        for ds in pacs.received:
            if (
                ds.SOPInstanceUID in held
                and ds.SeriesInstanceUID == event.identifier.SeriesInstanceUID
            ):
                yield 0xFF00, _named(ds.SOPClassUID, ds.SOPInstanceUID)
    for level, match in cycle(fault.matches) if fault.endless_find else fault.matches:
        if not event.assoc.is_established:
            return
        if level == event.identifier.QueryRetrieveLevel:
            yield 0xFF00, match
    if fault.statuses[0]:
        yield fault.statuses[0], None


def _named(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    match = Dataset()
    match.SOPClassUID, match.SOPInstanceUID = sop_class_uid, sop_instance_uid
    return match


def _commit(event: evt.Event, fault: Fault, pacs: FaultyPacs) -> tuple[int, None]:
    commitment = fault.commitment
    assert commitment
    information = event.action_information
    pacs.requests.append(str(information.TransactionUID))
    if not commitment.status:
        # After the answer to the request, as the standard wants it.
        pacs.once_answered[event.assoc] = partial(
            _hang_up_or_report, event.assoc, information, fault, pacs
        )
    return commitment.status, None


def _hang_up_or_report(
    association: Association, request: Dataset, fault: Fault, pacs: FaultyPacs
) -> None:
    commitment = fault.commitment
    assert commitment
    if commitment.after:
        assert commitment.after.wait(START_SECONDS)
    if commitment.hangs_up:
        association.abort()
    elif commitment.reports:
        _report(association, request, fault, pacs)


def _report(association: Association, request: Dataset, fault: Fault, pacs: FaultyPacs) -> None:
    commitment, held = fault.commitment, pacs.held(fault)
    assert commitment
    committed, failed = [], []
    for one in request.ReferencedSOPSequence:
        is_held = commitment.holds_all or one.ReferencedSOPInstanceUID in held
        (committed if is_held else failed).append(one)
    for item in failed:
        item.FailureReason = commitment.reason
    request.ReferencedSOPSequence = committed
    if failed:
        request.FailedSOPSequence = failed
    if commitment.report_port:
        association = _own_association(commitment)
    if not association.is_established:  # nobody is there any more
        return
    asked = request.TransactionUID
    strays = [generate_uid()] if commitment.strays else []
    for transaction in (*strays, *[asked] * commitment.reports):
        request.TransactionUID = transaction
        status, _ = association.send_n_event_report(
            request,
            2 if failed else 1,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        pacs.answers.append(status.get("Status", -1))
    if commitment.report_port:
        association.release()


def _own_association(commitment: Commitment) -> Association:
    ae = AE(AE_TITLE)
    ae.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    return ae.associate(
        "127.0.0.1", commitment.report_port, ext_neg=[role] if commitment.proposes_roles else []
    )


@contextmanager
def answering_http(
    status: int, headers: tuple[tuple[str, str], ...] = (), body: bytes = b""
) -> Iterator[str]:
    """Start a web server that gives the same answer to everything; yield its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def deaf_port() -> Iterator[int]:
    """Yield a port where connections are accepted and nothing is ever said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])
