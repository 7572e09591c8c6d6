"""What a DICOMweb service offers, found by asking; no object is sent."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from clic_edge.errors import Transient
from clic_edge.pacs.dicomweb import CONNECT_SECONDS, session_of, timeouts, unavailable

if TYPE_CHECKING:
    from clic_edge.pacs.dicomweb import DicomwebPeer

JSON = {"Accept": "application/dicom+json"}
NOWHERE = "2.25.0"
"""A UID that no object has."""
_EMPTY = b"--nothing--\r\n"
_MULTIPART = 'multipart/related; type="application/dicom"; boundary=nothing'
ABSENT = frozenset({404, 405, 501})
FORBIDDEN = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service of DICOMweb (PS3.18)."""

    name: str
    offered: bool
    answer: str
    """What the server answered, in words."""


def services(peer: DicomwebPeer) -> tuple[Service, ...]:
    """Return TLS, STOW-RS, QIDO-RS for studies and instances, and WADO-RS.

    Raises Transient ``destination-unreachable`` when nothing answers, or its certificate is not
    one that we trust.
    """
    with session_of(peer) as session:
        try:
            return (
                _tls(peer),
                _store(session, peer),
                _search(
                    session,
                    peer,
                    name="QIDO-RS, studies",
                    path=f"studies?StudyInstanceUID={NOWHERE}",
                ),
                _search(
                    session,
                    peer,
                    name="QIDO-RS, instances",
                    path=f"studies/{NOWHERE}/series/{NOWHERE}/instances",
                ),
                _retrieve(session, peer),
            )
        except ssl.SSLError as error:
            raise Transient(
                "destination-unreachable",
                f"The certificate of {urlsplit(peer.url).hostname} is not one that we trust.",
            ) from error
        except (requests.RequestException, OSError) as error:
            raise unavailable(peer, error) from error


def _tls(peer: DicomwebPeer) -> Service:
    parts = urlsplit(peer.url)
    if parts.scheme != "https":
        return Service(name="TLS", offered=False, answer="plain HTTP: names travel readable")
    context = ssl.create_default_context(cafile=peer.ca_bundle or None)
    where = (parts.hostname or "", parts.port or 443)
    with (
        socket.create_connection(where, CONNECT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as secured,
    ):
        return Service(name="TLS", offered=True, answer=str(secured.version()))


def _store(session: requests.Session, peer: DicomwebPeer) -> Service:
    """Send an envelope without an object: only a server that stores reads it."""
    answer = session.post(
        f"{peer.url}/studies",
        data=_EMPTY,
        headers={**JSON, "Content-Type": _MULTIPART},
        timeout=timeouts(peer),
    )
    return _service("STOW-RS", answer.status_code, offered=answer.status_code not in ABSENT)


def _search(session: requests.Session, peer: DicomwebPeer, *, name: str, path: str) -> Service:
    answer = session.get(f"{peer.url}/{path}", headers=JSON, timeout=timeouts(peer))
    # 404 is a known way to say that the study is not there; the path of all studies always is.
    known = answer.ok or (answer.status_code == requests.codes.not_found and "series" in path)
    charset = answer.headers.get("Content-Type", "").partition("charset=")[2]
    return _service(
        name, answer.status_code, offered=known, note=f", character set {charset or 'UTF-8'}"
    )


def _retrieve(session: requests.Session, peer: DicomwebPeer) -> Service:
    answer = session.get(
        f"{peer.url}/studies/{NOWHERE}/metadata", headers=JSON, timeout=timeouts(peer)
    )
    known = answer.ok or answer.status_code == requests.codes.not_found
    return _service(
        "WADO-RS", answer.status_code, offered=known, note=" for a study that does not exist"
    )


def _service(name: str, status: int, *, offered: bool, note: str = "") -> Service:
    if status in FORBIDDEN:
        return Service(name=name, offered=False, answer=f"HTTP {status}: user or password")
    return Service(name=name, offered=offered, answer=f"HTTP {status}{note if offered else ''}")
