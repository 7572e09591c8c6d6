"""Send DICOM files to whoever stores them, as a modality does (C-STORE)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pydicom import dcmread

from clic_edge.errors import Transient
from clic_edge.pacs.association import aborted, associated, status_of, where
from clic_edge.pacs.encoding import contexts_of
from clic_edge.pacs.transport import STORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.pacs.association import DimsePeer


def store(files: Sequence[bytes], peer: DimsePeer) -> None:
    """Return when the peer has stored every Part 10 file, in one association.

    Raises Transient ``destination-unreachable``, ``association-refused``, ``association-aborted``
    or ``store-refused``.
    """
    datasets = [dcmread(io.BytesIO(file)) for file in files]
    contexts = frozenset(context for ds in datasets for context in contexts_of(ds, None))
    with associated(peer, contexts) as association:
        accepted = {
            (c.abstract_syntax, c.transfer_syntax[0]) for c in association.accepted_contexts
        }
        for number, ds in enumerate(datasets, 1):
            if accepted.isdisjoint(contexts_of(ds, None)):
                raise _refused(peer, number, "does not take this kind of object, or its encoding")
            try:
                status = status_of(peer, association.send_c_store(ds))
            except RuntimeError as error:
                raise aborted(peer) from error
            if status not in STORED:
                raise _refused(peer, number, f"answered 0x{status:04X}")


def _refused(peer: DimsePeer, number: int, how: str) -> Transient:
    return Transient("store-refused", f"{where(peer)} did not store file {number}: it {how}.")
