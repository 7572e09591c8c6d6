"""Servers that take notices: mail by SMTP, JSON by HTTP, lines of syslog. Real sockets, in-process."""

from __future__ import annotations

import base64
import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate that signs itself, for localhost, and its key."""

    certificate: Path
    key: Path

    @property
    def context(self) -> ssl.SSLContext:
        """What a server wraps its connections in."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_certificate(folder: Path) -> Certificate:
    """Write a certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(certificate=folder / "localhost.pem", key=folder / "localhost.key")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


@dataclass(kw_only=True)
class Mailbox:
    """What a mail server took, and how it behaves."""

    port: int = 0
    mails: list[bytes] = field(default_factory=list)
    envelopes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    refuses: bool = False
    starttls: ssl.SSLContext | None = None
    tls: ssl.SSLContext | None = None


class _Session(socketserver.StreamRequestHandler):
    """One SMTP session (RFC 5321)."""

    box: Mailbox

    def handle(self) -> None:
        if self.box.tls:
            self._encrypt(self.box.tls)
        self.sender, self.recipients = "", list[str]()
        self._say("220 test")
        while line := self.rfile.readline():
            verb = line.decode().strip()
            if not self._obey(verb):
                break
        self.request.close()

    def _obey(self, verb: str) -> bool:
        match verb.upper().split(" ")[0]:
            case "EHLO":
                extra = [] if isinstance(self.request, ssl.SSLSocket) else ["STARTTLS"]
                extra = extra if self.box.starttls else []
                for one in ("test", *extra):
                    self._say(f"250-{one}")
                self._say("250 AUTH PLAIN")
            case "STARTTLS":
                self._say("220 go on")
                assert self.box.starttls
                self._encrypt(self.box.starttls)
            case "AUTH":
                self.box.logins.append(base64.b64decode(verb.split(" ")[2]).decode())
                self._say("235 welcome")
            case "MAIL":
                self.sender = verb.partition(":")[2].split(" ")[0].strip("<>")
                self._say("250 ok")
            case "RCPT":
                self.recipients.append(verb.partition(":")[2].strip("<>"))
                self._say("550 no" if self.box.refuses else "250 ok")
            case "DATA":
                self._take()
            case "QUIT":
                self._say("221 bye")
                return False
            case _:
                self._say("250 ok")
        return True

    def _take(self) -> None:
        self._say("354 go on")
        lines = list[bytes]()
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        self.box.mails.append(b"".join(lines))
        self.box.envelopes.append((self.sender, tuple(self.recipients)))
        self.box.encrypted.append(isinstance(self.request, ssl.SSLSocket))
        self._say("250 taken")

    def _encrypt(self, context: ssl.SSLContext) -> None:
        self.request = context.wrap_socket(self.request, server_side=True)
        self.rfile = self.request.makefile("rb")
        self.wfile = self.request.makefile("wb", buffering=0)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _Quiet(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """Say nothing where a client does not trust the certificate and hangs up."""


@contextmanager
def mail_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Mailbox]:
    """Start a mail server on localhost."""
    box = Mailbox(starttls=starttls, tls=tls)
    session = type("Session", (_Session,), {"box": box})
    with _serving(_Quiet(("127.0.0.1", 0), session)) as port:
        box.port = port
        yield box


@dataclass(frozen=True, kw_only=True)
class Posted:
    """One POST."""

    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Hooked:
    """What a web server took, and what it answers."""

    url: str = ""
    posts: list[Posted] = field(default_factory=list)
    answers: int = 204


@contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[Hooked]:
    """Start a web server on localhost."""
    hooked = Hooked()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            hooked.posts.append(Posted(headers=headers, body=body))
            self.send_response(hooked.answers)
            self.send_header("Location", hooked.url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # as `_Quiet`
    with _serving(server) as port:
        hooked.url = f"{'https' if tls else 'http'}://localhost:{port}/hook"
        yield hooked


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield cast("tuple[str, int]", server.server_address)[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def stream_collector(tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Start a collector over TCP; yield its port and what each connection brought."""
    brought: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            connection = tls.wrap_socket(self.request, server_side=True) if tls else self.request
            with connection, connection.makefile("rb") as stream:
                brought.append(stream.read())

    with _serving(_Quiet(("127.0.0.1", 0), Handler)) as port:
        yield port, brought


@contextmanager
def datagram_collector(path: Path | None = None) -> Iterator[socket.socket]:
    """Bind a socket for datagrams, on UDP or at a path; reading from it waits for seconds."""
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.settimeout(20)
        collector.bind(str(path) if path else ("127.0.0.1", 0))
        yield collector
