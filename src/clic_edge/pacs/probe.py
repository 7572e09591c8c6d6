"""What a PACS takes, found by asking: presentation contexts and queries, never an object.

One association for each SOP class: some PACS reject an association whole when one class of it is
unknown to them.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SegmentationStorage,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # defined by a loop
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from clic_edge.domain.result import ResultKind, ResultReference
from clic_edge.errors import Transient
from clic_edge.pacs.association import DimsePeer, associated, unanswered
from clic_edge.pacs.commitment import CommitmentTerms, CommitmentWitness, Reports, listening
from clic_edge.pacs.dimse import FIND, find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynetdicom import evt

NOWHERE = "2.25.0"
"""A UID that no object has."""
SYNTAXES = (
    ("implicit", ImplicitVRLittleEndian),
    ("explicit", ExplicitVRLittleEndian),
    ("deflated", DeflatedExplicitVRLittleEndian),
    ("RLE", RLELossless),
    ("J2K", JPEG2000Lossless),
    ("HTJ2K", HTJ2KLossless),
)
REJECTIONS = {
    1: "not wanted from us",
    2: "no reason given",
    3: "class not known",
    4: "none of these syntaxes",
}
"""Result of a presentation context (PS3.8 Table 9-18)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SopClass:
    """A class that is asked for."""

    name: str
    uid: str
    kinds: tuple[str, ...] = ()
    """The kinds of results that come as this class."""


_STORAGE = "1.2.840.10008.5.1.4.1.1."
SOP_CLASSES = (
    SopClass(name="Verification", uid=Verification),
    SopClass(name="Segmentation", uid=SegmentationStorage, kinds=("seg", "seg-fractional")),
    SopClass(name="Label Map Segmentation", uid=f"{_STORAGE}66.7", kinds=("seg-labelmap",)),
    SopClass(name="Comprehensive 3D SR", uid=f"{_STORAGE}88.34", kinds=("sr", "summary")),
    SopClass(name="Comprehensive SR", uid=f"{_STORAGE}88.33"),
    SopClass(name="Enhanced SR", uid=f"{_STORAGE}88.22"),
    SopClass(name="Grayscale Softcopy PS", uid=f"{_STORAGE}11.1", kinds=("pr",)),
    SopClass(name="Color Softcopy PS", uid=f"{_STORAGE}11.2"),
    SopClass(name="Secondary Capture", uid=f"{_STORAGE}7", kinds=("sc",)),
    SopClass(name="Multi-frame True Color SC", uid=f"{_STORAGE}7.4"),
    SopClass(name="Encapsulated PDF", uid=f"{_STORAGE}104.1", kinds=("pdf",)),
    SopClass(name="Key Object Selection", uid=f"{_STORAGE}88.59", kinds=("ko",)),
    SopClass(name="Parametric Map", uid=f"{_STORAGE}30", kinds=("pm",)),
    SopClass(name="Microscopy Bulk Simple Annotations", uid=f"{_STORAGE}91.1", kinds=("ann",)),
    SopClass(name="Storage Commitment", uid=StorageCommitmentPushModel),
    SopClass(name="Study Root FIND", uid=StudyRootQueryRetrieveInformationModelFind),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a PACS answered for one class."""

    sop_class: SopClass
    syntaxes: tuple[str, ...]
    """The names, as in `SYNTAXES`, of the transfer syntaxes that it accepts."""
    rejection: str = ""
    """Why it accepts none."""

    @property
    def accepted(self) -> bool:
        """Whether an object of ours can be sent: we encode implicit and explicit VR."""
        return not {"implicit", "explicit"}.isdisjoint(self.syntaxes)


def offers(peer: DimsePeer) -> Iterator[Offer]:
    """Yield what the PACS accepts, class by class as in `SOP_CLASSES`.

    Raises Transient ``destination-unreachable``, ``association-refused``, ``association-aborted``
    when it does not even take Verification.
    """
    for sop_class in SOP_CLASSES:
        contexts = frozenset((sop_class.uid, str(syntax)) for _, syntax in SYNTAXES)
        try:
            with associated(peer, contexts) as association:
                accepted = {str(one.transfer_syntax[0]) for one in association.accepted_contexts}
                results = [one.result or 2 for one in association.rejected_contexts]
        except Transient as hindrance:
            if sop_class.uid == Verification:
                raise
            yield Offer(sop_class=sop_class, syntaxes=(), rejection=hindrance.sentence)
            continue
        yield Offer(
            sop_class=sop_class,
            syntaxes=tuple(name for name, syntax in SYNTAXES if str(syntax) in accepted),
            rejection="" if accepted else REJECTIONS.get(min(results, default=2), "rejected"),
        )


def queries(peer: DimsePeer) -> tuple[tuple[str, bool], ...]:
    """Return, for studies and for instances, whether the PACS answers our C-FIND.

    Asked is for a UID that no object has. Raises Transient when it can't be reached.
    """
    return tuple((level, _answers(peer, level)) for level in ("STUDY", "IMAGE"))


def _answers(peer: DimsePeer, level: str) -> bool:
    query = Dataset()
    query.QueryRetrieveLevel = level
    query.StudyInstanceUID = NOWHERE
    if level == "IMAGE":
        query.SeriesInstanceUID = query.SOPInstanceUID = NOWHERE
    try:
        with associated(peer, FIND) as association:
            find(association, query, peer=peer)
    except Transient as hindrance:
        if hindrance.code != unanswered(peer).code:
            raise
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentFinding:
    """How a PACS reports, found by asking for an instance that does not exist."""

    way: str
    """``same-association``, ``own-association``, or ``none`` when no report came."""
    answer: str
    """What the report said, or why there is none."""


class _Watched(Reports):
    """Remembers on which association a report came."""

    way = "none"

    def receive(self, event: evt.Event) -> tuple[int, None]:
        """Take an N-EVENT-REPORT."""
        self.way = "same-association" if event.assoc.is_requestor else "own-association"
        return super().receive(event)


def commitment(peer: DimsePeer, *, port: int | None, timeout_s: float) -> CommitmentFinding:
    """Ask for a commitment of nothing, and return where the report came.

    Without a `port` only a report on the same association can come. The PACS will note in its log
    that it holds no such object. Raises ConfigError ``port-in-use``.
    """
    nothing = ResultReference(
        kind=ResultKind.SEG,
        sop_class_uid=SegmentationStorage,
        series_instance_uid=NOWHERE,
        sop_instance_uid=NOWHERE,
    )
    reports = _Watched()
    terms = CommitmentTerms(same_association=True, listens=port is not None, timeout_s=timeout_s)
    witness = CommitmentWitness("probe", peer, terms=terms, reports=reports)
    tls = peer.tls.of_reports if peer.tls else None
    with listening(port, reports, tls) if port is not None else nullcontext():
        try:
            (answer,) = witness.confirm([nothing], study_instance_uid=NOWHERE)
        except Transient as hindrance:
            return CommitmentFinding(way="none", answer=hindrance.sentence)
    return CommitmentFinding(way=reports.way, answer=answer.status)
