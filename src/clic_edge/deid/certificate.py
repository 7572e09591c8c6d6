"""The certificate: a signed, hash-chained line for each object, study and run; no identifier in it.

``certificate.jsonl`` lies in the output folder. Each line holds the SHA-256 of the line before it
and an Ed25519 signature (RFC 8032) under a key that is derived from the site's secret, so that a
line can't be changed, left out or moved without notice. The last line of a finished run is an
``end``: a chain that was cut off has none, and what was written after it has no line.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clic_edge.errors import ConfigError, Defect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clic_edge.deid.keys import DeidKey

NAME = "certificate.jsonl"
GENESIS = "0" * 64
"""What the first line has as the digest of the line before it."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RunRecord(_Record):
    """The beginning of a run: what did it, by which rules, under which key."""

    kind: Literal["run"] = "run"
    started_at: str
    """UTC, to the second."""
    software: str
    profile: str
    policy_digest: str
    table_edition: str
    key_id: str
    public_key: str
    """Ed25519, hexadecimal. It proves nothing of itself: know it from elsewhere."""
    checks: tuple[str, ...] = Field(strict=False)
    """What every object of this run has passed."""


class ObjectRecord(_Record):
    """One clean file."""

    kind: Literal["object"] = "object"
    name: str
    subject: str
    study: str
    series: str
    sop_class: str
    digest_in: str
    """HMAC-SHA-256 of the source under the site's key."""
    digest_out: str
    """SHA-256 of the file."""
    counts: dict[str, int]
    """Attributes by what became of them."""


class StudyRecord(_Record):
    """One study, summed up over its objects at the end of a run."""

    kind: Literal["study"] = "study"
    study: str
    subject: str
    objects: int
    counts: dict[str, int]


class EndRecord(_Record):
    """The end of a run."""

    kind: Literal["end"] = "end"
    objects: int
    """How many lines of objects the certificate has, of all runs."""
    quarantined: dict[str, int]
    """How many files this run held, by reason code."""


Record = RunRecord | ObjectRecord | StudyRecord | EndRecord


class _Line(_Record):
    previous: str
    record: Annotated[Record, Field(discriminator="kind")]
    signature: str


_LINE = TypeAdapter(_Line)


def signing_key(key: DeidKey) -> Ed25519PrivateKey:
    """Return the key that signs; whoever has the site's secret can make it."""
    return Ed25519PrivateKey.from_private_bytes(key.derived("certificate"))


def public_key(key: DeidKey) -> str:
    """Return what others need to check our signatures, hexadecimal."""
    return signing_key(key).public_key().public_bytes_raw().hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One line of the chain, read back."""

    number: int
    """From 1."""
    record: Record
    is_linked: bool
    """Whether it holds the digest of the line before it."""
    signed: bytes
    signature: bytes

    def is_signed_by(self, signer: Ed25519PublicKey) -> bool:
        """Whether the signature is `signer`'s."""
        try:
            signer.verify(self.signature, self.signed)
        except InvalidSignature:
            return False
        return True


def read_chain(path: Path) -> Iterator[Link]:
    """Yield the lines of a certificate, without judging them.

    Raises
    ------
    Defect
        ``unreadable-certificate``: a line is not one of a certificate.

    """
    previous = GENESIS
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = _LINE.validate_json(raw)
                signature = bytes.fromhex(line.signature)
            except (ValidationError, ValueError):
                raise Defect(
                    "unreadable-certificate", f"Line {number} of the certificate is not readable."
                ) from None
            yield Link(
                number=number,
                record=line.record,
                is_linked=line.previous == previous and raw == _line(line),
                signed=_signed(line.previous, line.record),
                signature=signature,
            )
            previous = _digest(raw)


class Certificate:
    """The certificate of an output folder, open for one run; nobody else writes to it meanwhile."""

    def __init__(self, folder: Path, key: DeidKey) -> None:
        """Open or begin the certificate of a folder.

        Raises ConfigError ``out-busy`` while another run writes to the folder.
        """
        self._signer = signing_key(key)
        self._path = folder / NAME
        self._file = self._path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ConfigError("out-busy", f"Another run writes to {folder}.") from error
        self._previous = self._cut_torn_line()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Make the lines durable and let others write."""
        self.sync()
        self._file.close()

    def records(self) -> Iterator[Record]:
        """Yield what earlier runs wrote.

        Raises Defect ``broken-certificate`` where a line is not linked or not signed by this key.
        """
        signer = self._signer.public_key()
        for link in read_chain(self._path):
            if not link.is_linked or not link.is_signed_by(signer):
                raise Defect(
                    "broken-certificate",
                    f"Line {link.number} of {self._path} is not ours or was changed.",
                )
            yield link.record

    def append(self, record: Record) -> None:
        """Sign and write one line."""
        signature = self._signer.sign(_signed(self._previous, record))
        line = _Line(previous=self._previous, record=record, signature=signature.hex())
        raw = _line(line)
        self._file.write(raw)
        self._previous = _digest(raw)

    def sync(self) -> None:
        """Make all lines durable."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def _cut_torn_line(self) -> str:
        """Drop what follows the last line end, as a crash leaves it; return the last line's digest."""
        self._file.seek(0)
        whole, last = 0, b""
        for raw in self._file:
            if not raw.endswith(b"\n"):
                break
            whole, last = whole + len(raw), raw
        self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)
        return _digest(last) if last else GENESIS


def _signed(previous: str, record: Record) -> bytes:
    return canonical({"previous": previous, "record": record.model_dump(mode="json")})


def _line(line: _Line) -> bytes:
    return canonical(line.model_dump(mode="json")) + b"\n"


def canonical(content: object) -> bytes:
    """Return what is signed: JSON in ASCII, keys sorted, without spaces."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def _digest(raw: bytes) -> str:
    return sha256(raw).hexdigest()
