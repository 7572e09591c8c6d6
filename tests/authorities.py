"""Certificates for tests: authorities, and machines that they certify."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Who certifies machines. They all have its own key: making keys is slow."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / name
        self._folder.mkdir()
        self._key = rsa.generate_private_key(65537, 2048)
        self._name = name
        signed = self._signed(name, 365, x509.BasicConstraints(ca=True, path_length=0))
        self.path = self._write("ca.pem", signed.public_bytes(Encoding.PEM))
        self._key_file = self._write(
            "machine.key",
            self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def certify(self, name: str, *, address: str = "127.0.0.1", days: int = 90) -> Machine:
        """Return a machine at an address; its certificate ends in so many days, or has ended."""
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        signed = self._signed(name, days, here).public_bytes(Encoding.PEM)
        return Machine(certificate=self._write(f"{name}.pem", signed), key=self._key_file)

    def _signed(self, name: str, days: int, extension: x509.ExtensionType) -> x509.Certificate:
        subject, issuer = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, self._name)
        )
        serial = x509.random_serial_number()
        return (
            x509.CertificateBuilder(issuer, subject, self._key.public_key(), serial)
            .not_valid_before(NOW - timedelta(days=400))
            .not_valid_after(NOW + timedelta(days=days))
            .add_extension(extension, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path
