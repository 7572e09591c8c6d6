"""Constancy studies in the appliance's own Orthanc: where they are sent, and how they go again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

import httpx
from pydantic import BaseModel, Field, ValidationError

from clic_edge.domain.constancy import PHANTOM_AE_TITLE, RESERVED_PATIENT
from clic_edge.errors import Defect, Transient
from clic_edge.pacs.association import DimsePeer
from clic_edge.pacs.storing import store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.pacs.rest import OrthancPeer
    from clic_edge.pacs.tls import Tls

_GROUP = 8


class _System(BaseModel):
    ae_title: str = Field(alias="DicomAet")
    port: int = Field(alias="DicomPort")


class _Patient(BaseModel):
    patient_id: str = Field("", alias="PatientID")


class _Study(BaseModel):
    patient: _Patient = Field(alias="PatientMainDicomTags")


_Answer = TypeVar("_Answer", bound=BaseModel)


class PhantomShelf:
    """Orthanc as constancy sees it: nothing here can touch the study of a patient."""

    def __init__(self, peer: OrthancPeer, tls: Tls | None = None) -> None:
        self._host = httpx.URL(peer.url).host
        self._peer = peer
        self._tls = tls

    def send(self, files: Sequence[bytes]) -> None:
        """Send a study by C-STORE, as a modality does. Raises Transient as `store`."""
        system = self._read("/system", _System)
        if system is None:
            raise _unreachable()
        peer = DimsePeer(
            host=self._host,
            port=system.port,
            called_ae_title=system.ae_title,
            calling_ae_title=PHANTOM_AE_TITLE,
            timeout_s=self._peer.timeout_s,
            tls=self._tls,
        )
        store(files, peer)

    def remove(self, study_id: str) -> None:
        """Delete a constancy study with all that was made of it; nothing where it is not there.

        Raises
        ------
        Defect
            ``not-a-phantom``: the study is a patient's, and stays.
        Transient
            ``archive-unreachable``.

        """
        study = self._read(f"/studies/{study_id}", _Study)
        if study is None:
            return
        if not study.patient.patient_id.startswith(RESERVED_PATIENT):
            raise Defect(
                "not-a-phantom", "The study that constancy was to remove is a patient's; it stays."
            )
        self._ask("DELETE", f"/studies/{study_id}")

    def _read(self, path: str, answer: type[_Answer]) -> _Answer | None:
        found = self._ask("GET", path)
        if found.status_code == httpx.codes.NOT_FOUND:
            return None
        try:
            return answer.model_validate_json(found.content)
        except ValidationError:
            # Not chained: pydantic quotes the answer.
            raise _unreachable() from None

    def _ask(self, method: str, path: str) -> httpx.Response:
        peer = self._peer
        try:
            answer = httpx.request(
                method,
                peer.url + path,
                auth=(peer.user, peer.password) if peer.user else None,
                timeout=peer.timeout_s,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            raise _unreachable() from error
        if not answer.is_success and answer.status_code != httpx.codes.NOT_FOUND:
            raise _unreachable()
        return answer


def handle_of(patient_id: str, study_instance_uid: str) -> str:
    """Return the handle that Orthanc gives a study: it is known before the study is sent."""
    text = f"{patient_id}|{study_instance_uid}"
    digest = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - so does Orthanc
    return "-".join(digest[start : start + _GROUP] for start in range(0, len(digest), _GROUP))


def _unreachable() -> Transient:
    return Transient("archive-unreachable", "The appliance's Orthanc does not answer.")
