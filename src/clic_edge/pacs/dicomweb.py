"""A PACS over DICOMweb: STOW-RS and QIDO-RS (PS3.18 10.5, 10.6)."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset

from clic_edge.domain.result import Receipt
from clic_edge.errors import Transient
from clic_edge.pacs.headers import read_result
from clic_edge.pacs.transport import STORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.domain.result import ResultObject

# Both log URLs, which hold UIDs.
logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL + 1)
logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)

CONNECT_SECONDS = 10.0
# The server looked at the objects and will not have them; sending them again changes nothing.
# 409 says so for each object, the others for all.
REJECTIONS = frozenset({400, 409, 413, 415, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomwebPeer:
    """Where a PACS answers, and how we show who we are: a user, or a bearer token."""

    url: str
    """Base of the DICOMweb service, e.g. ``https://pacs.hospital/dicom-web``."""
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_bundle: str = ""
    """File of the authorities that sign the server's certificate; the system's when empty."""
    timeout_s: float = 60.0
    """For one answer; a connection is given up after at most ten seconds."""


class DicomwebDestination:
    """A PACS that takes results by STOW-RS."""

    def __init__(self, name: str, peer: DicomwebPeer) -> None:
        self._name = name
        self._peer = peer

    def deliver(self, results: Sequence[ResultObject]) -> tuple[Receipt, ...]:
        """Send the objects in one request; the receipt holds ``HTTP 200`` or the reason given.

        An object that the answer does not name was not accepted.
        Raises Transient ``destination-unreachable`` or ``destination-unavailable``.
        """
        if not results:
            return ()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote values
            datasets = [read_result(result) for result in results]
            unnamed = "not answered"
            try:
                answer = _client(self._peer).store_instances(datasets)
            except requests.RequestException as error:
                response = error.response
                if response is None or response.status_code not in REJECTIONS:
                    raise _failure(self._peer, response) from error
                unnamed = f"HTTP {response.status_code}"
                answer = _store_response(response)
        statuses = _statuses(answer)
        receipts = []
        for result in results:
            accepted, status = statuses.get(result.sop_instance_uid, (False, unnamed))
            receipts.append(
                Receipt(
                    destination=self._name,
                    sop_instance_uid=result.sop_instance_uid,
                    accepted=accepted,
                    status=status,
                )
            )
        return tuple(receipts)


class DicomwebCensus:
    """A PACS that is asked by QIDO-RS."""

    def __init__(self, peer: DicomwebPeer) -> None:
        self._peer = peer

    def count_instances(self, study_instance_uid: str) -> int | None:
        """Return Number of Study Related Instances, None for a study that the PACS does not know.

        Raises Transient as `DicomwebDestination.deliver`, and ``query-refused`` when the PACS
        knows the study and leaves the number out.
        """
        try:
            studies = _client(self._peer).search_for_studies(
                fields=["NumberOfStudyRelatedInstances"],
                search_filters={"StudyInstanceUID": study_instance_uid},
            )
        except requests.RequestException as error:
            # Not chained: the message quotes the URL, and that holds the UID.
            raise _failure(self._peer, error.response) from None
        if not studies:
            return None
        number = Dataset.from_json(studies[0]).get("NumberOfStudyRelatedInstances")
        if number is None:
            raise Transient(
                "query-refused", f"The PACS at {_where(self._peer)} does not count instances."
            )
        return int(number)


def _client(peer: DicomwebPeer) -> DICOMwebClient:
    session = requests.Session()
    session.trust_env = False  # what the appliance reaches stands in its settings alone
    session.verify = peer.ca_bundle or True
    session.auth = (peer.user, peer.password) if peer.user else None
    session.hooks["response"].append(_without_parameters)
    session.headers["Accept"] = "application/dicom+json"
    if peer.token:
        session.headers["Authorization"] = f"Bearer {peer.token}"
    timeout = (min(CONNECT_SECONDS, peer.timeout_s), peer.timeout_s)
    client = DICOMwebClient(peer.url, session=session, timeout=timeout)
    client.set_http_retry_params(retry=False)  # the case waits; this call does not
    return client


def _without_parameters(response: requests.Response, **_: object) -> None:
    """Drop ``; charset=utf-8`` from Content-Type: the client skips an answer that carries it."""
    kind = response.headers.get("Content-Type", "")
    response.headers["Content-Type"] = kind.partition(";")[0].strip()


def _store_response(response: requests.Response) -> Dataset:
    """Return the Store Instances Response that came with an error, empty when there is none."""
    try:
        return Dataset.from_json(response.text)
    except (ValueError, TypeError, AttributeError, LookupError):
        return Dataset()


def _statuses(answer: Dataset) -> dict[str, tuple[bool, str]]:
    """Return accepted and status for each SOP Instance UID of the response (PS3.18 I.2)."""
    statuses = {}
    for item in answer.get("ReferencedSOPSequence", []):
        reason = item.get("WarningReason")
        status = "HTTP 200" if reason is None else f"0x{reason:04X}"
        statuses[str(item.ReferencedSOPInstanceUID)] = True, status
    for item in answer.get("FailedSOPSequence", []):
        reason = item.get("FailureReason", 0x0110)  # PS3.7 C.5.16 Processing failure
        statuses[str(item.ReferencedSOPInstanceUID)] = reason in STORED, f"0x{reason:04X}"
    return statuses


def _failure(peer: DicomwebPeer, response: requests.Response | None) -> Transient:
    if response is None:
        return Transient("destination-unreachable", f"Nothing answers at {_where(peer)}.")
    seconds = response.headers.get("Retry-After", "")
    return Transient(
        "destination-unavailable",
        f"The PACS at {_where(peer)} answers with HTTP {response.status_code}.",
        timedelta(seconds=int(seconds)) if seconds.isdecimal() else None,
    )


def _where(peer: DicomwebPeer) -> str:
    return urlsplit(peer.url).netloc.rpartition("@")[2]
