"""Studies out of an archive into the appliance's Orthanc: those there, by C-MOVE, or by WADO-RS."""

from __future__ import annotations

import json
import warnings
from fnmatch import fnmatchcase
from io import BytesIO
from typing import TYPE_CHECKING

import requests
from dicomweb_client import DICOMwebClient
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StudyRootQueryRetrieveInformationModelMove,
)

from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs.association import Contexts, aborted, associated, unanswered
from clic_edge.pacs.dicomweb import client_of, session_of, timeouts, unavailable
from clic_edge.pacs.dimse import FIND, PENDING, find, query_of
from clic_edge.pacs.headers import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clic_edge.pacs.association import DimsePeer
    from clic_edge.pacs.dicomweb import DicomwebPeer
    from clic_edge.pacs.rest import Rest

MOVE: Contexts = frozenset({(StudyRootQueryRetrieveInformationModelMove, ImplicitVRLittleEndian)})


class _Tags(BaseModel):
    study_instance_uid: str = Field(alias="StudyInstanceUID")


class _Found(BaseModel):
    tags: _Tags = Field(alias="MainDicomTags")


class _Resource(BaseModel):
    kind: str = Field(alias="Type")
    handle: str = Field(alias="ID")


class _System(BaseModel):
    ae_title: str = Field(alias="DicomAet")


_PAGE = 1000
_MODALITIES = "ModalitiesInStudy"
_STUDIES = TypeAdapter(list[_Found])
_RESOURCES = TypeAdapter(list[_Resource])


class HereSource:
    """The appliance's own Orthanc: its studies need not be brought."""

    brings = False

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def find(self, query: Mapping[str, str]) -> Iterator[str]:
        """Yield the Study Instance UIDs. Raises ConfigError ``bad-query``, Transient."""
        asked = {"Level": "Study", "Expand": True, "Query": dict(query)}
        answer = self._rest.post("/tools/find", json.dumps(asked).encode())
        if answer is None:
            raise ConfigError("bad-query", "Orthanc does not understand the query.")
        try:
            yield from (one.tags.study_instance_uid for one in _STUDIES.validate_json(answer))
        except ValidationError:
            raise _not_orthanc() from None

    def fetch(self, study_instance_uid: str) -> str | None:
        """Return the handle of a study; None where it is not there any more."""
        answer = self._rest.post("/tools/lookup", study_instance_uid.encode()) or b"[]"
        try:
            found = _RESOURCES.validate_json(answer)
        except ValidationError:
            raise _not_orthanc() from None
        return next((one.handle for one in found if one.kind == "Study"), None)

    here = fetch


class DimseSource:
    """A PACS that is asked by C-FIND and sends by C-MOVE (PS3.4 C.4.2), which knows our AE title."""

    brings = True

    def __init__(self, peer: DimsePeer, rest: Rest) -> None:
        self._peer = peer
        self._rest = rest
        self._here = HereSource(rest)

    def find(self, query: Mapping[str, str]) -> Iterator[str]:
        """Yield the Study Instance UIDs. Raises Transient as `DimseCensus.count_instances`."""
        asked = query_of("STUDY", "StudyInstanceUID")
        for keyword, value in query.items():
            setattr(asked, keyword, value)
        with associated(self._peer, FIND) as association:
            found = find(association, asked, peer=self._peer)
        yield from (text(one, "StudyInstanceUID") for one in found)

    def fetch(self, study_instance_uid: str) -> str | None:
        """Have a study sent to the appliance's Orthanc and return its handle there.

        Raises
        ------
        Transient
            ``retrieve-failed``: the PACS could not send all of it; it may not know our AE title.
            Else as `find`.

        """
        asked = query_of("STUDY")
        asked.StudyInstanceUID = study_instance_uid
        with associated(self._peer, MOVE) as association:
            if not association.accepted_contexts:
                raise unanswered(self._peer)
            answers = association.send_c_move(
                asked, self._ae_title(), StudyRootQueryRetrieveInformationModelMove
            )
            last = Dataset()
            try:
                for status, _ in answers:
                    last = status
            except RuntimeError as error:
                raise aborted(self._peer) from error
        if "Status" not in last:
            raise aborted(self._peer)
        if last.Status in PENDING or last.Status != 0:
            raise Transient(
                "retrieve-failed",
                f"The PACS did not send the study (0x{last.Status:04X}); does it know our AE title?",
            )
        return self._here.fetch(study_instance_uid)

    def here(self, study_instance_uid: str) -> str | None:
        """Return the handle of what is here of a study, None for nothing."""
        return self._here.fetch(study_instance_uid)

    def _ae_title(self) -> str:
        answer = self._rest.get("/system") or b""
        try:
            return _System.model_validate_json(answer).ae_title
        except ValidationError:
            raise _not_orthanc() from None


class DicomwebSource:
    """A PACS that is asked by QIDO-RS and gives by WADO-RS (PS3.18 10.4, 10.6)."""

    brings = True

    def __init__(self, peer: DicomwebPeer, rest: Rest) -> None:
        self._peer = peer
        self._rest = rest
        self._here = HereSource(rest)

    def find(self, query: Mapping[str, str]) -> Iterator[str]:
        """Yield the Study Instance UIDs. Raises Transient as `DicomwebDestination.deliver`.

        Modalities are chosen here, by what every answer says of its study (PS3.18 10.6.3.3):
        Orthanc that is asked for some of them has no second page. A study that says nothing is
        found, and the pipeline's rule looks at it.
        """
        asked = {name: value for name, value in query.items() if name != _MODALITIES}
        wanted, known = query.get(_MODALITIES, "*"), set[str]()
        while True:
            page = self._page(asked, offset=len(known))
            if page.keys() <= known:  # some begin again when they are asked for more than there is
                return
            new = sorted(page.keys() - known)
            yield from (uid for uid in new if not page[uid] or _any_is(page[uid], wanted))
            known |= page.keys()

    def _page(self, query: Mapping[str, str], *, offset: int) -> dict[str, str]:
        """Return the modalities of some studies, by Study Instance UID."""
        try:
            answer = client_of(self._peer).search_for_studies(
                limit=_PAGE, offset=offset, search_filters=dict(query), fields=[_MODALITIES]
            )
        except requests.RequestException as error:
            raise unavailable(self._peer, error) from None
        found = [Dataset.from_json(one) for one in answer]
        return {text(one, "StudyInstanceUID"): text(one, _MODALITIES) for one in found}

    def fetch(self, study_instance_uid: str) -> str | None:
        """Fetch a study, store it in the appliance's Orthanc and return its handle there.

        Raises Transient as `find`; ``retrieve-failed`` when Orthanc does not take an image.
        """
        # Of a client of its own: `client_of` takes the boundary off what comes in parts.
        session = session_of(self._peer)
        client = DICOMwebClient(self._peer.url, session=session, timeout=timeouts(self._peer))
        client.set_http_retry_params(retry=False)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom's warnings quote values
                for series, instance in self._instances(study_instance_uid):
                    # One by one: an answer may be as long as an object, and not as a study.
                    self._store(client.retrieve_instance(study_instance_uid, series, instance))
        except requests.RequestException as error:
            raise unavailable(self._peer, error) from None
        return self._here.fetch(study_instance_uid)

    def here(self, study_instance_uid: str) -> str | None:
        """Return the handle of what is here of a study, None for nothing."""
        return self._here.fetch(study_instance_uid)

    def _instances(self, study_instance_uid: str) -> list[tuple[str, str]]:
        """Return series and instance UID of each instance of a study."""
        found = list[tuple[str, str]]()
        client = client_of(self._peer)
        for series in client.search_for_series(study_instance_uid):
            uid = text(Dataset.from_json(series), "SeriesInstanceUID")
            instances = client.search_for_instances(study_instance_uid, uid)
            found += [(uid, text(Dataset.from_json(one), "SOPInstanceUID")) for one in instances]
        return found

    def _store(self, instance: Dataset) -> None:
        content = BytesIO()
        instance.save_as(content, enforce_file_format=True)
        if self._rest.post("/instances", content.getvalue()) is None:
            raise Transient("retrieve-failed", "Orthanc does not take an image of the study.")


def _any_is(modalities: str, wanted: str) -> bool:
    return any(fnmatchcase(one, wanted) for one in modalities.split("\\"))


def _not_orthanc() -> Transient:
    # Not chained: pydantic quotes the answer, and the answer names a patient.
    return Transient("archive-unreachable", "The archive's answer is not Orthanc's.")
