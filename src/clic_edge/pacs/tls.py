"""DICOM over TLS (PS3.15 B.12, BCP 195): whom we trust, who we are, and why it failed."""

from __future__ import annotations

import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates

from clic_edge.errors import ConfigError, Transient

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer
    from cryptography.x509 import Certificate

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secret and authenticated, as RFC 9325 (BCP 195) asks for."""
SILENCE_SECONDS: Final = 30.0
"""How long one who connects to us may leave a handshake or a message unfinished."""
_EXPIRED: Final = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED."""
_ANOTHER_NAME: Final = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH."""
_OF_CERTIFICATES: Final = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED")
"""In the alerts by which a peer turns our certificate away, or the want of one."""

_REFUSED: Final = ("tls-refused", "refuses our certificate, or asks for one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM, read whenever a connection opens: a renewed certificate counts at once."""

    ca: Path
    """Who certifies the peer; each certificate in it is trusted, with or without its root."""
    certificate: Path | None = None
    """Ours, its own first; None shows none."""
    key: Path | None = None
    """Of `certificate`, without a password."""
    hostname: str | None
    """What the peer's certificate has to name; None takes only the first certificate of `ca`."""

    @property
    def of_reports(self) -> Tls | None:
        """TLS of a port to which the peer brings reports; None where we have nothing to show there."""
        return replace(self, hostname="") if self.certificate else None


class _Telling(ssl.SSLSocket):
    """Notes in its context what ended the connection; pynetdicom keeps that to itself."""

    context: ClientContext

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as of SSLSocket
        try:
            super().do_handshake(block)
        except OSError as error:
            self.context.failure = _told(error)
            raise
        self.context.stands = True

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        with self._noted():
            return super().send(data, flags)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        with self._noted():
            received = super().recv(buflen, flags)
            if not received and not self.context.heard:
                raise ConnectionResetError
        self.context.heard = True
        return received

    def shutdown(self, how: int) -> None:
        with suppress(OSError):  # pynetdicom closes a socket only where this went well
            super().shutdown(how)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Before the handshake, `ssl` reads once to see whether it is connected.
            if self.context.stands and not (self.context.heard or isinstance(error, TimeoutError)):
                # In TLS 1.3 our part of the handshake is done before the peer looks at our
                # certificate, and what we send meanwhile can push its alert out of reach.
                self.context.failure = _REFUSED
            raise


class ClientContext(ssl.SSLContext):
    """TLS of one association that we open."""

    sslsocket_class = _Telling
    stands = False
    """Whether we hold the handshake to be done."""
    heard = False
    """Whether the peer said something under TLS."""
    failure: tuple[str, str] | None = None
    """Code and words of what ended the connection before it did."""


class _ServerContext(ssl.SSLContext):
    """TLS of a port of ours: each connection has the files as they are when it opens."""

    tls: Tls

    def wrap_socket(self, sock: socket.socket, *_: object, **__: object) -> ssl.SSLSocket:
        # The handshake is left to the association's own thread: one who connects and says nothing
        # would keep all others waiting.
        sock.settimeout(SILENCE_SECONDS)
        try:
            fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            _load(fresh, self.tls)
        except ConfigError as error:
            raise ConnectionAbortedError from error  # this connection alone
        return fresh.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)


def client_context(tls: Tls) -> ClientContext:
    """Return TLS for one association. Raises ConfigError ``tls-unreadable``, ``tls-mismatch``."""
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.hostname is not None
    _load(context, tls)
    return context


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return TLS for a port at which `ca` certifies everybody. Raises as `client_context`."""
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.tls = tls
    _load(context, tls)
    return context


def certificates(path: Path) -> tuple[Certificate, ...]:
    """Return what a PEM file holds, in its order. Raises ConfigError ``tls-unreadable``."""
    try:
        return tuple(load_pem_x509_certificates(read_pem(path)))
    except ValueError as error:
        raise unreadable(path, "it holds no certificate in PEM") from error


def read_pem(path: Path) -> bytes:
    """Return what a file holds. Raises ConfigError ``tls-unreadable``."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error.strerror or "it can't be read") from error


def unreadable(path: Path, why: str) -> ConfigError:
    """Return what is wrong with a file."""
    return ConfigError("tls-unreadable", f"{path}: {why}.")


def trusted(tls: Tls) -> tuple[Certificate, ...]:
    """Return whose word counts for the peer. Raises as `certificates`."""
    return certificates(tls.ca)[: 1 if tls.hostname is None else None]


def tls_failed(where: str, context: ClientContext) -> Transient | None:
    """Return why a connection under TLS did not come about, None where TLS is not the reason.

    The codes are ``tls-absent``, ``tls-peer-expired``, ``tls-peer-name``, ``tls-peer-untrusted``
    and ``tls-refused``.
    """
    if context.failure is None:
        return None
    code, what = context.failure
    return Transient(code, f"The PACS at {where} {what}.")


def _told(failure: OSError) -> tuple[str, str]:
    if isinstance(failure, ssl.SSLCertVerificationError):
        if failure.verify_code in _EXPIRED:
            return "tls-peer-expired", "shows a certificate that does not hold yet, or no more"
        if failure.verify_code in _ANOTHER_NAME:
            return "tls-peer-name", "shows a certificate of another name"
        return "tls-peer-untrusted", "shows a certificate that nobody in `tls.ca` vouches for"
    reason = (failure.reason or "") if isinstance(failure, ssl.SSLError) else ""
    if "ALERT" in reason and any(word in reason for word in _OF_CERTIFICATES):
        return _REFUSED
    return "tls-absent", "does not speak TLS 1.2 or 1.3"


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    authorities = b"".join(one.public_bytes(Encoding.DER) for one in trusted(tls))
    context.load_verify_locations(cadata=authorities)
    if tls.certificate and tls.key:
        certificates(tls.certificate)
        read_pem(tls.key)
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(
                    "tls-mismatch",
                    f"{tls.key} is not the key of {tls.certificate}; ours comes first in the file.",
                ) from error
            why = "it holds no private key in PEM without a password"
            raise unreadable(tls.key, why) from error
