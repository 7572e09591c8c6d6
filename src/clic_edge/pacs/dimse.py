"""A PACS over DICOM's own network protocol: C-STORE, C-FIND, C-ECHO (PS3.4, PS3.7, PS3.8)."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # defined by a loop
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from clic_edge.domain.confirmation import Confirmation, Proof, found
from clic_edge.domain.result import Receipt
from clic_edge.errors import Defect, Transient
from clic_edge.pacs.association import (
    Contexts,
    DimsePeer,
    aborted,
    associated,
    status_of,
    unanswered,
)
from clic_edge.pacs.encoding import Encoding, compress, contexts_of, transcribe
from clic_edge.pacs.headers import read_result, text
from clic_edge.pacs.transport import STORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pynetdicom.association import Association

    from clic_edge.domain.result import ResultObject, ResultReference

__all__ = ["DimseCensus", "DimseDestination", "DimsePeer", "DimseWitness", "echo", "find"]

PENDING = frozenset({0xFF00, 0xFF01})
FIND: Contexts = frozenset({(StudyRootQueryRetrieveInformationModelFind, ImplicitVRLittleEndian)})
AS_WRITTEN = Encoding()
MOST_MATCHES = 20_000
MOST_TIMEOUTS = 20
"""For all matches of a query; each of them may take one time-out."""


class DimseDestination:
    """A PACS that takes results by C-STORE."""

    def __init__(self, name: str, peer: DimsePeer, encoding: Encoding = AS_WRITTEN) -> None:
        self._name = name
        self._peer = peer
        self._encoding = encoding

    def deliver(self, results: Sequence[ResultObject]) -> tuple[Receipt, ...]:
        """Send the objects in one association; the receipt holds the status, e.g. ``0xA700``.

        An object goes as it is encoded, or in implicit VR where the peer takes nothing else: the
        same attributes, but no longer the same bytes. When the peer ends the association after
        its first answers, the objects that it did not answer have receipts that say so.
        Raises Transient ``destination-unreachable``, ``association-refused`` or
        ``association-aborted``.
        """
        if not results:
            return ()  # an association without contexts cannot be asked for
        datasets = [read_result(result) for result in results]
        contexts = frozenset(
            context
            for result, ds in zip(results, datasets, strict=True)
            for context in contexts_of(ds, self._encoding.preferred(result.kind, ds))
        )
        receipts: list[Receipt] = []
        with associated(self._peer, contexts) as association:
            for result, ds in zip(results, datasets, strict=True):
                try:
                    receipts.append(self._store(association, result, ds))
                except Transient:
                    if not receipts:
                        raise
                    receipts += self._unanswered(results[len(receipts) :])
                    break
        return tuple(receipts)

    def _store(self, association: Association, result: ResultObject, ds: Dataset) -> Receipt:
        accepted = {
            (context.abstract_syntax, context.transfer_syntax[0])
            for context in association.accepted_contexts
        }
        preferred = self._encoding.preferred(result.kind, ds)
        if preferred and (ds.SOPClassUID, preferred) in accepted:
            compress(ds, preferred)
        if accepted.isdisjoint(contexts_of(ds, None)):
            return self._receipt(result, accepted=False, status="context rejected")
        if not transcribe(ds, self._encoding.character_set):
            status = f"not writable in {self._encoding.character_set}"
            return self._receipt(result, accepted=False, status=status)
        try:
            answer = association.send_c_store(ds)
        except RuntimeError as error:  # the peer ended the association after its last answer
            raise aborted(self._peer) from error
        except ValueError as error:
            raise Defect("unsendable-result", f"The {result.kind} cannot be encoded.") from error
        status_code = status_of(self._peer, answer)
        return self._receipt(result, accepted=status_code in STORED, status=f"0x{status_code:04X}")

    def _unanswered(self, results: Sequence[ResultObject]) -> list[Receipt]:
        return [
            self._receipt(result, accepted=False, status="association ended") for result in results
        ]

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
        with associated(self._peer, FIND) as association:
            query = query_of("STUDY", "NumberOfStudyRelatedInstances")
            query.StudyInstanceUID = study_instance_uid
            studies = find(association, query, peer=self._peer)
            if not studies:
                return None
            count = _count(studies[0], "NumberOfStudyRelatedInstances")
            if count is None:
                return self._count_by_series(association, study_instance_uid)
            return count

    def _count_by_series(self, association: Association, study_instance_uid: str) -> int:
        query = query_of("SERIES", "NumberOfSeriesRelatedInstances", "SeriesInstanceUID")
        query.StudyInstanceUID = study_instance_uid
        total = 0
        for series in find(association, query, peer=self._peer):
            count = _count(series, "NumberOfSeriesRelatedInstances")
            if count is None:
                images = query_of("IMAGE", "SOPInstanceUID")
                images.StudyInstanceUID = study_instance_uid
                images.SeriesInstanceUID = text(series, "SeriesInstanceUID")
                count = len(find(association, images, peer=self._peer))
            total += count
        return total


class DimseWitness:
    """A PACS that is asked by C-FIND whether it holds what it accepted."""

    def __init__(self, name: str, peer: DimsePeer) -> None:
        self._name = name
        self._peer = peer

    def confirm(
        self, results: Sequence[ResultReference], *, study_instance_uid: str
    ) -> tuple[Confirmation, ...]:
        """Ask for the instances of each series that the objects are in.

        Raises Transient as `DimseCensus.count_instances`.
        """
        if not results:
            return ()
        series = dict.fromkeys(result.series_instance_uid for result in results)
        held: dict[str, str] = {}
        with associated(self._peer, FIND) as association:
            for one in series:
                held |= self._instances(association, study_instance_uid, one)
        return tuple(
            found(
                self._name,
                result,
                how=Proof.C_FIND,
                sop_class_uid=held.get(result.sop_instance_uid),
            )
            for result in results
        )

    def _instances(
        self, association: Association, study_instance_uid: str, series_instance_uid: str
    ) -> dict[str, str]:
        """Return the SOP Class UID, maybe empty, of each instance of a series."""
        query = query_of("IMAGE", "SOPInstanceUID", "SOPClassUID")
        query.StudyInstanceUID = study_instance_uid
        query.SeriesInstanceUID = series_instance_uid
        return {
            text(match, "SOPInstanceUID"): text(match, "SOPClassUID")
            for match in find(association, query, peer=self._peer)
        }


def find(association: Association, query: Dataset, *, peer: DimsePeer) -> list[Dataset]:
    """Return what matches a query. Raises Transient as `DimseCensus.count_instances`."""
    if not association.accepted_contexts:
        raise unanswered(peer)
    deadline = monotonic() + MOST_TIMEOUTS * peer.timeout_s
    matches: list[Dataset] = []
    try:
        for answer, match in association.send_c_find(
            query, StudyRootQueryRetrieveInformationModelFind
        ):
            if status_of(peer, answer) not in PENDING | {0}:
                raise unanswered(peer)
            matches += [match] if match is not None else []
            if len(matches) > MOST_MATCHES or monotonic() > deadline:
                association.abort()
                raise unanswered(peer, "does not end its answer to")
    except RuntimeError as error:  # the peer ended the association after its last answer
        raise aborted(peer) from error
    return matches


def echo(peer: DimsePeer) -> None:
    """Return when the peer answers a C-ECHO. Raises Transient as `DimseCensus.count_instances`."""
    contexts: Contexts = frozenset({(Verification, ImplicitVRLittleEndian)})
    with associated(peer, contexts) as association:
        if not association.accepted_contexts or status_of(peer, association.send_c_echo()) != 0:
            raise unanswered(peer)


def query_of(level: str, *return_keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in return_keys:
        setattr(query, keyword, None)
    return query


def _count(match: Dataset, keyword: str) -> int | None:
    value = text(match, keyword)
    return int(value) if value.isdecimal() else None
