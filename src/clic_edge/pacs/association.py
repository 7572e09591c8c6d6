"""An association with a PACS (PS3.8), opened and released, its failures in our words."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynetdicom import (
    AE,
    PYNETDICOM_IMPLEMENTATION_UID,
    PYNETDICOM_IMPLEMENTATION_VERSION,
    _config,
    evt,
)
from pynetdicom._globals import DEFAULT_MAX_LENGTH

from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs.tls import client_context, tls_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from pynetdicom.dimse_primitives import DimseServiceType

    from clic_edge.pacs.tls import ClientContext, Tls

# pynetdicom logs requests, responses and tracebacks, all of which name patients.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False

CONNECT_SECONDS = 10.0
IMPLEMENTATION_CLASS_UID = str(PYNETDICOM_IMPLEMENTATION_UID)
IMPLEMENTATION_VERSION_NAME = str(PYNETDICOM_IMPLEMENTATION_VERSION)
LARGEST_PDU_BYTES = DEFAULT_MAX_LENGTH
REFUSALS = (
    ((1, 3), "it does not know our AE title."),
    ((1, 7), "it is not called by that AE title."),
    ((3, 1), "it is busy."),
    ((3, 2), "it has as many associations as it takes."),
)
"""Source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
TRANSFER = "Sta6"
"""The state of an association in which messages pass (PS3.8 Table 9-2)."""
Contexts = frozenset[tuple[str, str]]
"""Pairs of abstract syntax and transfer syntax."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DimsePeer:
    """Where a PACS listens, and what the two call each other."""

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str = "CLICEDGE"
    timeout_s: float = 60.0
    """For one answer; a connection is given up after at most ten seconds."""
    tls: Tls | None = None
    """None goes in the clear."""


@contextmanager
def associated(
    peer: DimsePeer,
    contexts: Contexts,
    *,
    on_event: Callable[[evt.Event], tuple[int, None]] | None = None,
) -> Iterator[Association]:
    """Open an association for pairs of SOP class and transfer syntax, and release it.

    Yields one without accepted contexts when the peer accepted the association but none of them.
    `on_event` answers what the peer reports, once `listen` was called.

    Raises
    ------
    Transient
        ``destination-unreachable``, ``association-refused``, ``association-aborted``; under TLS
        ``tls-files`` for our own files, and as `tls.tls_failed`.

    """
    context = _context_of(peer.tls)
    ae = AE(peer.calling_ae_title)
    ae.connection_timeout = min(CONNECT_SECONDS, peer.timeout_s)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = peer.timeout_s
    for sop_class, transfer_syntax in sorted(contexts):
        ae.add_requested_context(sop_class, transfer_syntax)
    connected = threading.Event()
    reports = [(evt.EVT_N_EVENT_REPORT, on_event)] if on_event else []
    try:
        association = ae.associate(
            peer.host,
            peer.port,
            ae_title=peer.called_ae_title,
            tls_args=(context, peer.tls.hostname) if peer.tls and context else None,  # type: ignore[arg-type] # None: no name is asked for
            evt_handlers=[(evt.EVT_CONN_OPEN, prepare, [connected]), *reports],
        )
    except OSError as error:  # the name does not resolve
        raise _unreachable(peer) from error
    if context and (failed := tls_failed(where(peer), context)):
        raise failed
    if not connected.is_set():
        raise _unreachable(peer)
    if association.is_rejected:
        raise _refused(peer, association)
    if not association.is_established and not association.rejected_contexts:
        raise aborted(peer)
    with _released_at_the_end(association):
        yield association


def _context_of(tls: Tls | None) -> ClientContext | None:
    try:
        return client_context(tls) if tls else None
    except ConfigError as error:  # they were there at the start: a renewal goes on
        raise Transient("tls-files", error.sentence) from error


def prepare(event: evt.Event, connected: threading.Event) -> None:
    """Make a connection fast, bounded, and its answers ours alone; `connected` is set."""
    connected.set()
    transport = event.assoc.dul.socket
    if transport and transport.socket:
        # Small packets do not wait for acknowledgements: 300 slices in 1.3 s and not in 14.7 s.
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # pynetdicom has just let go of every time-out: a peer that stops reading, or ends within
        # a PDU, would keep this thread for ever.
        transport.socket.settimeout(event.assoc.network_timeout)
    waited_for = _patient(event.assoc)
    event.assoc.dimse.get_msg = waited_for  # type: ignore[method-assign, assignment] # see there


def _patient(association: Association) -> Callable[[bool], object]:
    """Return how an answer is waited for: the time-out begins when the peer has taken all of it.

    A peer that takes a large object slowly has as long as it goes on. And pynetdicom's reactor
    polls the same queue for requests of the peer and now and then, measured once in 2400, takes
    the answer that we wait for: while we ask, nothing is there for it.
    """
    take = association.dimse.get_msg

    def get_msg(block: bool = False) -> object:  # noqa: FBT001, FBT002 - as pynetdicom calls it
        if not block:
            return None, None
        unsent = association.dul.to_provider_queue.qsize
        while True:
            before = unsent()
            answer = take(block=True)
            moves = unsent() < before and association.dul.state_machine.current_state == TRANSFER
            if answer != (None, None) or not moves:
                return answer

    return get_msg


def listen(association: Association) -> None:
    """Let the peer's requests through from now on: every answer of ours has come."""
    association.network_timeout = None  # it may take its time
    del association.dimse.get_msg  # what `prepare` put in front


@contextmanager
def _released_at_the_end(association: Association) -> Iterator[None]:
    """Release the association at the end, when the last report of the peer is answered.

    pynetdicom answers in a thread of its own and does not wait for that when it releases: an
    answer after the request for release ends the thread that sends, and nobody takes the peer's.
    What comes when we release is let go, as the release waits for that thread to rest.
    """
    answering = threading.Lock()
    serve = association._serve_request  # noqa: SLF001 - there is no public door to it

    def serve_request(message: DimseServiceType, context_id: int) -> None:
        if answering.acquire(blocking=False):
            try:
                serve(message, context_id)
            finally:
                answering.release()

    association._serve_request = serve_request  # type: ignore[method-assign, assignment] # noqa: SLF001 - as above
    try:
        yield
    finally:
        with answering:
            if association.is_established:
                association.release()


def aborted(peer: DimsePeer) -> Transient:
    """Return the error for an association that the peer ended."""
    return Transient("association-aborted", f"The PACS at {where(peer)} ended the association.")


def unanswered(peer: DimsePeer, how: str = "does not answer") -> Transient:
    """Return the error for a query that the peer does not answer."""
    return Transient("query-refused", f"The PACS at {where(peer)} {how} the query.")


def where(peer: DimsePeer) -> str:
    """Return host and port, for people."""
    return f"{peer.host}:{peer.port}"


def status_of(peer: DimsePeer, answer: Dataset) -> int:
    """Return Status (0000,0900); pynetdicom's empty answer means abort or the end of patience."""
    if "Status" not in answer:
        raise aborted(peer)
    return int(answer.Status)


def _refused(peer: DimsePeer, association: Association) -> Transient:
    answer = association.acceptor.primitive
    reason = (answer.result_source, answer.diagnostic) if answer else None
    why = next((words for told, words in REFUSALS if told == reason), "does it know our AE title?")
    return Transient(
        "association-refused", f"The PACS at {where(peer)} refused the association: {why}"
    )


def _unreachable(peer: DimsePeer) -> Transient:
    return Transient("destination-unreachable", f"Nothing answers at {where(peer)}.")
