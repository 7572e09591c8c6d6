"""A PACS over DICOMweb: STOW-RS and QIDO-RS (PS3.18 10.5, 10.6)."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from datetime import timedelta
from json import dumps
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset

from clic_edge.domain.confirmation import Confirmation, Proof, found
from clic_edge.domain.result import Receipt
from clic_edge.errors import Transient
from clic_edge.pacs.encoding import Encoding, compress, transcribe
from clic_edge.pacs.headers import read_result, text
from clic_edge.pacs.transport import STORED
from clic_edge.pacs.web_session import BrokenAnswer, PeerSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clic_edge.domain.result import ResultObject, ResultReference

# Both log URLs, which hold UIDs.
logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL + 1)
logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)
# And this one tells of every error that we tell of ourselves.
logging.getLogger("retrying").setLevel(logging.CRITICAL + 1)

CONNECT_SECONDS = 10.0
# The server looked at the objects and will not have them; sending them again changes nothing.
# 409 says so for each object, the others for all.
REJECTIONS = frozenset({400, 409, 413, 415, 422})
COUNT = "NumberOfStudyRelatedInstances"
NOT_FOUND = 404
TOO_LARGE = 413
LONGEST_WAIT = timedelta(hours=1)
"""What a server may ask us to wait: nobody reads an answer of a year, and the case is not lost."""
MOST_PAGES = 1000
# What the client raises for an answer that is no DICOM JSON, or XML (PS3.18 F.2).
NONSENSE = (AttributeError, LookupError, SyntaxError, TypeError, ValueError)
AS_WRITTEN = Encoding()


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

    def __init__(self, name: str, peer: DicomwebPeer, encoding: Encoding = AS_WRITTEN) -> None:
        self._name = name
        self._peer = peer
        self._encoding = encoding

    def deliver(self, results: Sequence[ResultObject]) -> tuple[Receipt, ...]:
        """Send the objects in one request; the receipt holds ``HTTP 200`` or the reason given.

        An object that the answer does not name was not accepted.
        Raises Transient ``destination-unreachable`` or ``destination-unavailable``.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote values
            prepared = [self._prepared(result) for result in results]
            datasets = [ds for ds in prepared if ds is not None]
            statuses, unnamed = self._send(datasets) if datasets else ({}, "")
        receipts = []
        for result, ds in zip(results, prepared, strict=True):
            refusal = unnamed if ds else f"not writable in {self._encoding.character_set}"
            accepted, status = statuses.get(result.sop_instance_uid, (False, refusal))
            receipts.append(
                Receipt(
                    destination=self._name,
                    sop_instance_uid=result.sop_instance_uid,
                    accepted=accepted,
                    status=status,
                )
            )
        return tuple(receipts)

    def _prepared(self, result: ResultObject) -> Dataset | None:
        """Return the object in the destination's encoding, None where it can't be written so."""
        ds = read_result(result)
        if preferred := self._encoding.preferred(result.kind, ds):
            compress(ds, preferred)
        return ds if transcribe(ds, self._encoding.character_set) else None

    def _send(self, datasets: Sequence[Dataset]) -> tuple[dict[str, tuple[bool, str]], str]:
        """Return the status of each object that is named in the answer, and that of the others."""
        try:
            return _statuses(client_of(self._peer).store_instances(datasets)), "not answered"
        except requests.RequestException as error:
            response = error.response
            if response is None or response.status_code not in REJECTIONS:
                raise unavailable(self._peer, error) from error
            if response.status_code == TOO_LARGE and len(datasets) > 1:
                return self._send_one_by_one(datasets)
            return _store_response(response), f"HTTP {response.status_code}"
        except NONSENSE:
            raise nonsense(self._peer) from None  # its message may quote the answer

    def _send_one_by_one(
        self, datasets: Sequence[Dataset]
    ) -> tuple[dict[str, tuple[bool, str]], str]:
        """Send each object alone: the server takes no request with all of them."""
        statuses: dict[str, tuple[bool, str]] = {}
        for ds in datasets:
            named, unnamed = self._send([ds])
            statuses |= {str(ds.SOPInstanceUID): (False, unnamed)} | named
        return statuses, "not answered"


class DicomwebWitness:
    """A PACS that is asked by QIDO-RS whether it holds what it accepted."""

    def __init__(self, name: str, peer: DicomwebPeer) -> None:
        self._name = name
        self._peer = peer

    def confirm(
        self, results: Sequence[ResultReference], *, study_instance_uid: str
    ) -> tuple[Confirmation, ...]:
        """Ask for the instances of each series that the objects are in.

        Raises Transient as `DicomwebDestination.deliver`.
        """
        series = dict.fromkeys(result.series_instance_uid for result in results)
        held: dict[str, str] = {}
        for one in series:
            held |= self._instances(study_instance_uid, one)
        return tuple(
            found(
                self._name,
                result,
                how=Proof.QIDO,
                sop_class_uid=held.get(result.sop_instance_uid),
            )
            for result in results
        )

    def _instances(self, study_instance_uid: str, series_instance_uid: str) -> dict[str, str]:
        """Return the SOP Class UID, maybe empty, of each instance of a series."""
        instances = search(
            self._peer,
            lambda offset: client_of(self._peer).search_for_instances(
                study_instance_uid,
                series_instance_uid,
                fields=["SOPInstanceUID", "SOPClassUID"],
                offset=offset,
            ),
        )
        return {text(one, "SOPInstanceUID"): text(one, "SOPClassUID") for one in instances}


class DicomwebCensus:
    """A PACS that is asked by QIDO-RS."""

    def __init__(self, peer: DicomwebPeer) -> None:
        self._peer = peer

    def count_instances(self, study_instance_uid: str) -> int | None:
        """Return Number of Study Related Instances, None for a study that the PACS does not know.

        Raises Transient as `DicomwebDestination.deliver`, and ``query-refused`` when the PACS
        knows the study and leaves the number out.
        """
        studies = search(
            self._peer,
            lambda _: client_of(self._peer).search_for_studies(
                fields=[COUNT], search_filters={"StudyInstanceUID": study_instance_uid}
            ),
            pages=1,
            absent=None,
        )
        if not studies:
            return None
        count = text(studies[0], COUNT)
        if not count.isdecimal():
            raise Transient(
                "query-refused", f"The PACS at {_where(self._peer)} does not count instances."
            )
        return int(count)


def search(
    peer: DicomwebPeer,
    ask: Callable[[int], Sequence[Mapping[str, object]]],
    *,
    pages: int = MOST_PAGES,
    absent: int | None = NOT_FOUND,
) -> list[Dataset]:
    """Return what a search finds; nothing where the PACS answers `absent`: there is no such thing.

    `ask` is given the offset of a page, until one brings nothing new: some servers know no pages
    and give the same again and again.
    Raises Transient as `DicomwebDestination.deliver`.
    """
    found: dict[str, Dataset] = {}
    try:
        for _ in range(pages):
            page = {dumps(one, sort_keys=True): one for one in ask(len(found))}
            new = page.keys() - found.keys()
            if not new:
                break
            found |= {key: Dataset.from_json(dict(page[key])) for key in page if key in new}
    except requests.RequestException as error:
        if error.response is not None and error.response.status_code == absent:
            return list(found.values())
        # Not chained: the message quotes the URL, and that holds UIDs.
        raise unavailable(peer, error) from None
    except NONSENSE:
        raise nonsense(peer) from None
    return list(found.values())


def session_of(peer: DicomwebPeer) -> requests.Session:
    """Return a session that trusts and shows what the peer's settings say, and nothing else."""
    session = PeerSession(peer.timeout_s)
    session.trust_env = False  # what the appliance reaches stands in its settings alone
    session.verify = peer.ca_bundle or True
    session.auth = (peer.user, peer.password) if peer.user else None
    if peer.token:
        session.headers["Authorization"] = f"Bearer {peer.token}"
    return session


def timeouts(peer: DicomwebPeer) -> tuple[float, float]:
    """Return the seconds for a connection and for an answer."""
    return min(CONNECT_SECONDS, peer.timeout_s), peer.timeout_s


def client_of(peer: DicomwebPeer) -> DICOMwebClient:
    """Return a client that asks once, shows who we are, and trusts what the settings name."""
    session = session_of(peer)
    session.hooks["response"].append(_without_parameters)
    session.headers["Accept"] = "application/dicom+json"
    client = DICOMwebClient(peer.url, session=session, timeout=timeouts(peer))
    client.set_http_retry_params(retry=False)  # the case waits; this call does not
    return client


def _without_parameters(response: requests.Response, **_: object) -> None:
    """Drop ``; charset=utf-8`` from Content-Type: the client skips an answer that carries it."""
    kind = response.headers.get("Content-Type", "")
    response.headers["Content-Type"] = kind.partition(";")[0].strip()


def _store_response(response: requests.Response) -> dict[str, tuple[bool, str]]:
    """Return what a Store Instances Response says that came with an error, if it is one."""
    try:
        return _statuses(Dataset.from_json(response.text))
    except NONSENSE:
        return {}


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


def unavailable(peer: DicomwebPeer, error: OSError) -> Transient:
    """Return the error for an answer that is none of the objects' business, or for no answer."""
    response = error.response if isinstance(error, requests.RequestException) else None
    if isinstance(error, requests.exceptions.SSLError):
        return Transient(
            "destination-unreachable",
            f"The certificate of {_where(peer)} is not one that we trust.",
        )
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return nonsense(peer)
    if isinstance(error, BrokenAnswer):
        return Transient("destination-unavailable", f"The PACS at {_where(peer)} {error}.")
    if response is None:
        return Transient("destination-unreachable", f"Nothing answers at {_where(peer)}.")
    seconds = response.headers.get("Retry-After", "")
    return Transient(
        "destination-unavailable",
        f"The PACS at {_where(peer)} answers with HTTP {response.status_code}.",
        min(timedelta(seconds=int(seconds[:9])), LONGEST_WAIT) if seconds.isdecimal() else None,
    )


def nonsense(peer: DicomwebPeer) -> Transient:
    """Return the error for an answer that says nothing of the objects: from a gateway, perhaps."""
    return Transient(
        "destination-unavailable",
        f"The PACS at {_where(peer)} gives an answer that is no DICOM JSON.",
    )


def _where(peer: DicomwebPeer) -> str:
    return urlsplit(peer.url).netloc.rpartition("@")[2]
