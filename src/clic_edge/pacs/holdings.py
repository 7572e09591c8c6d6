"""What a PACS holds of studies that we sent results to, by C-FIND or QIDO-RS."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import requests
from pydicom.dataset import Dataset

from clic_edge.pacs.association import associated
from clic_edge.pacs.dicomweb import NOT_FOUND, client_of, unavailable
from clic_edge.pacs.dimse import FIND, find, query_of
from clic_edge.pacs.headers import text
from clic_edge.pacs.transport import Holding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
        found = self._answers(
            lambda: client.search_for_studies(fields=["PatientID"], search_filters=only)
        )
        if not found:
            return None
        series = self._answers(
            lambda: client.search_for_series(uid, fields=["Manufacturer"], get_remaining=True)
        )
        objects: set[str] = set()
        for one in _ours(series, study):
            ask = partial(
                client.search_for_instances, uid, one, fields=["SOPInstanceUID"], get_remaining=True
            )
            objects |= {text(image, "SOPInstanceUID") for image in self._answers(ask)}
        return Holding(patient_id=_patient(found), objects=frozenset(objects))

    def _answers(self, ask: Callable[[], Sequence[Mapping[str, object]]]) -> list[Dataset]:
        """Return what a search finds; nothing where it is answered that there is no such thing."""
        try:
            found = ask()
        except requests.RequestException as error:
            if error.response is not None and error.response.status_code == NOT_FOUND:
                return []
            # Not chained: the message quotes the URL, and that holds UIDs.
            raise unavailable(self._peer, error.response) from None
        return [Dataset.from_json(dict(match)) for match in found]


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
