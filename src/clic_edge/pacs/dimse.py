"""A PACS over DICOM's own network protocol: C-STORE, C-FIND, C-ECHO (PS3.4, PS3.7, PS3.8)."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # defined by a loop
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from clic_edge.domain.result import Receipt
from clic_edge.errors import Defect, Transient
from clic_edge.pacs.headers import read_result, text
from clic_edge.pacs.transport import STORED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pynetdicom.association import Association

    from clic_edge.domain.result import ResultObject

# pynetdicom logs requests, responses and tracebacks, all of which name patients.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False

CONNECT_SECONDS = 10.0
PENDING = frozenset({0xFF00, 0xFF01})
_Contexts = frozenset[tuple[str, str]]
_FIND: _Contexts = frozenset({(StudyRootQueryRetrieveInformationModelFind, ImplicitVRLittleEndian)})


@dataclass(frozen=True, slots=True, kw_only=True)
class DimsePeer:
    """Where a PACS listens, and what the two call each other."""

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str = "CLICEDGE"
    timeout_s: float = 60.0
    """For one answer; a connection is given up after at most ten seconds."""


class DimseDestination:
    """A PACS that takes results by C-STORE."""

    def __init__(self, name: str, peer: DimsePeer) -> None:
        self._name = name
        self._peer = peer

    def deliver(self, results: Sequence[ResultObject]) -> tuple[Receipt, ...]:
        """Send the objects in one association; the receipt holds the status, e.g. ``0xA700``.

        An object goes as it is encoded, or in implicit VR where the peer takes nothing else.
        Raises Transient ``destination-unreachable``, ``association-refused`` or
        ``association-aborted``.
        """
        if not results:
            return ()  # an association without contexts cannot be asked for
        datasets = [read_result(result) for result in results]
        contexts = frozenset(context for ds in datasets for context in _storage_contexts(ds))
        with _associated(self._peer, contexts) as association:
            return tuple(
                self._store(association, result, ds)
                for result, ds in zip(results, datasets, strict=True)
            )

    def _store(self, association: Association, result: ResultObject, ds: Dataset) -> Receipt:
        accepted = {
            (context.abstract_syntax, context.transfer_syntax[0])
            for context in association.accepted_contexts
        }
        if accepted.isdisjoint(_storage_contexts(ds)):
            return self._receipt(result, accepted=False, status="context rejected")
        try:
            answer = association.send_c_store(ds)
        except RuntimeError as error:  # the peer ended the association after its last answer
            raise _aborted(self._peer) from error
        except ValueError as error:
            raise Defect("unsendable-result", f"The {result.kind} cannot be encoded.") from error
        status = _status(self._peer, answer)
        return self._receipt(result, accepted=status in STORED, status=f"0x{status:04X}")

    def _receipt(self, result: ResultObject, *, accepted: bool, status: str) -> Receipt:
        return Receipt(
            destination=self._name,
            sop_instance_uid=result.sop_instance_uid,
            accepted=accepted,
            status=status,
        )


class DimseCensus:
    """A PACS that is asked by C-FIND (PS3.4 C.6.2, Study Root)."""

    def __init__(self, peer: DimsePeer) -> None:
        self._peer = peer

    def count_instances(self, study_instance_uid: str) -> int | None:
        """Return the number of instances the PACS holds, None for a study that it does not know.

        Where it leaves Number of Study Related Instances empty, its series are asked, and where
        they say nothing either, their instances are counted.
        Raises Transient as `DimseDestination.deliver`, and ``query-refused``.
        """
        with _associated(self._peer, _FIND) as association:
            query = _query("STUDY", "NumberOfStudyRelatedInstances")
            query.StudyInstanceUID = study_instance_uid
            studies = self._find(association, query)
            if not studies:
                return None
            count = _count(studies[0], "NumberOfStudyRelatedInstances")
            if count is None:
                return self._count_by_series(association, study_instance_uid)
            return count

    def _count_by_series(self, association: Association, study_instance_uid: str) -> int:
        query = _query("SERIES", "NumberOfSeriesRelatedInstances", "SeriesInstanceUID")
        query.StudyInstanceUID = study_instance_uid
        total = 0
        for series in self._find(association, query):
            count = _count(series, "NumberOfSeriesRelatedInstances")
            if count is None:
                images = _query("IMAGE", "SOPInstanceUID")
                images.StudyInstanceUID = study_instance_uid
                images.SeriesInstanceUID = text(series, "SeriesInstanceUID")
                count = len(self._find(association, images))
            total += count
        return total

    def _find(self, association: Association, query: Dataset) -> list[Dataset]:
        if not association.accepted_contexts:
            raise _unanswered(self._peer)
        try:
            answers = list(
                association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
            )
        except RuntimeError as error:  # the peer ended the association after its last answer
            raise _aborted(self._peer) from error
        statuses = {_status(self._peer, status) for status, _ in answers}
        if statuses - PENDING - {0}:
            raise _unanswered(self._peer)
        return [match for _, match in answers if match is not None]


def echo(peer: DimsePeer) -> None:
    """Return when the peer answers a C-ECHO. Raises Transient as `DimseCensus.count_instances`."""
    contexts: _Contexts = frozenset({(Verification, ImplicitVRLittleEndian)})
    with _associated(peer, contexts) as association:
        if not association.accepted_contexts or _status(peer, association.send_c_echo()) != 0:
            raise _unanswered(peer)


@contextmanager
def _associated(peer: DimsePeer, contexts: _Contexts) -> Iterator[Association]:
    """Open an association for pairs of SOP class and transfer syntax, and release it.

    Yields one without accepted contexts when the peer accepted the association but none of them.
    """
    ae = AE(peer.calling_ae_title)
    ae.connection_timeout = min(CONNECT_SECONDS, peer.timeout_s)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = peer.timeout_s
    for sop_class, transfer_syntax in sorted(contexts):
        ae.add_requested_context(sop_class, transfer_syntax)
    connected = threading.Event()
    try:
        association = ae.associate(
            peer.host,
            peer.port,
            ae_title=peer.called_ae_title,
            evt_handlers=[(evt.EVT_CONN_OPEN, _prepare, [connected])],
        )
    except OSError as error:  # the name does not resolve
        raise _unreachable(peer) from error
    if not connected.is_set():
        raise _unreachable(peer)
    if association.is_rejected:
        raise Transient(
            "association-refused",
            f"The PACS at {_where(peer)} refused the association; does it know our AE title?",
        )
    if not association.is_established and not association.rejected_contexts:
        raise _aborted(peer)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _prepare(event: evt.Event, connected: threading.Event) -> None:
    connected.set()
    # Small packets do not wait for acknowledgements: 300 slices in 1.3 s and not in 14.7 s.
    transport = event.assoc.dul.socket
    if transport and transport.socket:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # pynetdicom's reactor polls the same queue for requests of the peer and now and then, measured
    # once in 2400, takes the answer that we wait for. We only ask, so nothing is there for it.
    take = event.assoc.dimse.get_msg
    event.assoc.dimse.get_msg = (  # type: ignore[method-assign] # see above
        lambda block=False: take(block=True) if block else (None, None)
    )


def _unreachable(peer: DimsePeer) -> Transient:
    return Transient("destination-unreachable", f"Nothing answers at {_where(peer)}.")


def _aborted(peer: DimsePeer) -> Transient:
    return Transient("association-aborted", f"The PACS at {_where(peer)} ended the association.")


def _unanswered(peer: DimsePeer) -> Transient:
    return Transient("query-refused", f"The PACS at {_where(peer)} does not answer the query.")


def _where(peer: DimsePeer) -> str:
    return f"{peer.host}:{peer.port}"


def _status(peer: DimsePeer, answer: Dataset) -> int:
    """Return Status (0000,0900); pynetdicom's empty answer means abort or the end of patience."""
    if "Status" not in answer:
        raise _aborted(peer)
    return int(answer.Status)


def _storage_contexts(ds: Dataset) -> Iterator[tuple[str, str]]:
    """Yield what to propose for the dataset: as encoded, and implicit VR where it can be turned."""
    syntax = ds.file_meta.TransferSyntaxUID
    yield ds.SOPClassUID, syntax
    if syntax.is_little_endian and not syntax.is_compressed:
        yield ds.SOPClassUID, ImplicitVRLittleEndian


def _query(level: str, *return_keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in return_keys:
        setattr(query, keyword, None)
    return query


def _count(match: Dataset, keyword: str) -> int | None:
    value = text(match, keyword)
    return int(value) if value.isdecimal() else None
