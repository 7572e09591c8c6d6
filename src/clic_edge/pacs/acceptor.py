"""What the appliance's own archive accepts, found by asking it: presentation contexts, no object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # defined by a loop
    StorageCommitmentPushModel,
    Verification,
)

from clic_edge.errors import Transient
from clic_edge.pacs.association import DimsePeer, associated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.pacs.rest import Rest
    from clic_edge.pacs.tls import Tls

MOST = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2)."""
VERIFICATION, COMMITMENT = str(Verification), str(StorageCommitmentPushModel)
"""What is asked for beside storage. Orthanc negotiates queries too, and then refuses each."""
_SYSTEM = TypeAdapter(dict[str, object])
_SYNTAXES = TypeAdapter(tuple[str, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptor:
    """The archive as those who send to it see it."""

    ae_title: str
    port: int
    version: str
    """Of Orthanc."""
    sop_classes: tuple[str, ...]
    """UIDs that it accepts; none where it could not be asked by DICOM."""
    transfer_syntaxes: tuple[str, ...]
    """UIDs; the same for each storage class."""


def acceptor(rest: Rest, *, host: str, tls: Tls | None = None) -> Acceptor:
    """Ask the archive what it accepts.

    Raises Transient ``archive-unreachable``, and as `pacs.association.associated`.
    """
    told = _SYSTEM.validate_json(rest.get("/system") or b"{}")
    title, port = str(told.get("DicomAet", "")), told.get("DicomPort")
    syntaxes = _SYNTAXES.validate_json(rest.get("/tools/accepted-transfer-syntaxes") or b"[]")
    if not isinstance(port, int):
        raise Transient("archive-unreachable", "The archive does not say on which port it listens.")
    peer = DimsePeer(host=host, port=port, called_ae_title=title, tls=tls)
    return Acceptor(
        ae_title=title,
        port=port,
        version=str(told.get("Version", "")),
        sop_classes=tuple(_accepted(peer)),
        transfer_syntaxes=tuple(sorted(syntaxes)),
    )


def _accepted(peer: DimsePeer) -> Iterator[str]:
    storage = [str(one.abstract_syntax) for one in AllStoragePresentationContexts]
    asked = sorted({VERIFICATION, COMMITMENT, *storage})
    for begin in range(0, len(asked), MOST):
        some = asked[begin : begin + MOST]
        contexts = frozenset((uid, str(ImplicitVRLittleEndian)) for uid in some)
        with associated(peer, contexts) as association:
            yield from sorted(str(one.abstract_syntax) for one in association.accepted_contexts)
