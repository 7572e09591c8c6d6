"""Senders that note what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynetdicom import AE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from servers import OrthancServer


def associated(datasets: Sequence[Dataset], server: OrthancServer) -> Association:
    """Return an association on which a study can be sent."""
    ae = AE("MODALITY")
    ae.add_requested_context(datasets[0].SOPClassUID, datasets[0].file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", server.dicom_port, ae_title=server.ae_title)
    assert association.is_established
    return association


def offer(datasets: Sequence[Dataset], server: OrthancServer) -> set[int]:
    """Send a study and return the statuses that its sender is told."""
    association = associated(datasets, server)
    statuses = {association.send_c_store(ds).Status for ds in datasets}
    association.release()
    return statuses
