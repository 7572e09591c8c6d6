"""What a PACS holds of studies that we sent results to, by C-FIND or QIDO-RS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.pacs.association import associated
from clic_edge.pacs.dicomweb import client_of, search
from clic_edge.pacs.dimse import FIND, find, query_of
from clic_edge.pacs.headers import text
from clic_edge.pacs.transport import Holding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association

    from clic_edge.pacs.association import DimsePeer
    from clic_edge.pacs.dicomweb import DicomwebPeer
    from clic_edge.pacs.transport import AskedStudy

MAKER = "clic-edge"
"""Manufacturer (0008,0070) of what we write; a PACS need not tell it at the level of series."""


class DimseHoldings:
    """A PACS that is asked by C-FIND (PS3.4 C.6.2, Study Root), all studies in one association."""

    def __init__(self, peer: DimsePeer) -> None:
        self._peer = peer

    def look(self, studies: Sequence[AskedStudy]) -> Iterator[Holding | None]:
        """Yield what it holds of each study, None of one that it does not know.

        Raises Transient as `DimseCensus.count_instances`.
        """
        with associated(self._peer, FIND) as association:
            for study in studies:
                yield self._one(association, study)

    def _one(self, association: Association, study: AskedStudy) -> Holding | None:
        uid = study.study_instance_uid
        found = self._find(association, "STUDY", "PatientID", StudyInstanceUID=uid)
        if not found:
            return None
        series = self._find(
            association, "SERIES", "SeriesInstanceUID", "Manufacturer", StudyInstanceUID=uid
        )
        objects: set[str] = set()
        for one in _ours(series, study):
            keys = {"StudyInstanceUID": uid, "SeriesInstanceUID": one}
            images = self._find(association, "IMAGE", "SOPInstanceUID", **keys)
            objects |= {text(image, "SOPInstanceUID") for image in images}
        return Holding(patient_id=_patient(found), objects=frozenset(objects))

    def _find(
        self, association: Association, level: str, *return_keys: str, **keys: str
    ) -> list[Dataset]:
        asked = query_of(level, *return_keys)
        for keyword, value in keys.items():
            setattr(asked, keyword, value)
        return find(association, asked, peer=self._peer)


class DicomwebHoldings:
    """A PACS that is asked by QIDO-RS (PS3.18 10.6)."""

    def __init__(self, peer: DicomwebPeer) -> None:
        self._peer = peer

    def look(self, studies: Sequence[AskedStudy]) -> Iterator[Holding | None]:
        """Yield what it holds of each study, None of one that it does not know.

        Raises Transient as `DicomwebDestination.deliver`.
        """
        for study in studies:
            yield self._one(study)

    def _one(self, study: AskedStudy) -> Holding | None:
        uid = study.study_instance_uid
        client = client_of(self._peer)
        only = {"StudyInstanceUID": uid}
        found = search(
            self._peer,
            lambda _: client.search_for_studies(fields=["PatientID"], search_filters=only),
            pages=1,
        )
        if not found:
            return None
        series = search(
            self._peer,
            lambda offset: client.search_for_series(uid, fields=["Manufacturer"], offset=offset),
        )
        objects: set[str] = set()
        for one in _ours(series, study):
            objects |= self._objects(uid, one)
        return Holding(patient_id=_patient(found), objects=frozenset(objects))

    def _objects(self, study: str, series: str) -> set[str]:
        client = client_of(self._peer)
        images = search(
            self._peer,
            lambda offset: client.search_for_instances(
                study, series, fields=["SOPInstanceUID"], offset=offset
            ),
        )
        return {text(image, "SOPInstanceUID") for image in images}


def _ours(series: list[Dataset], study: AskedStudy) -> list[str]:
    """Return the series that are ours: by what the ledger knows, or by what they say of themselves."""
    return [
        uid
        for one in series
        if (uid := text(one, "SeriesInstanceUID")) in study.series
        or text(one, "Manufacturer").strip().casefold() == MAKER
    ]


def _patient(found: list[Dataset]) -> str | None:
    return text(found[0], "PatientID").strip() if "PatientID" in found[0] else None
