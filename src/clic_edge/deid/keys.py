"""Keys: every pseudonym, keyed UID and date shift is HMAC-SHA-256 under one key per project.

The same key and the same source give the same stand-ins, on any worker; another key gives none
of them. The key is a file that its owner alone may read; it is never logged or shown. What else
needs a secret (crosswalk, certificate) has one of its own, derived by HKDF (RFC 5869).
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clic_edge.domain.clean import Pseudonym
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES = 32
LONGEST_SHIFT_DAYS = 3650


@dataclass(frozen=True, slots=True)
class DeidKey:
    """The secret of one project; its `repr` shows nothing of it."""

    secret: bytes = field(repr=False)

    def pseudonym(self, patient_id: str, issuer_of_patient_id: str) -> Pseudonym:
        """Return the stand-in of one subject.

        Leading and trailing spaces do not count (PS3.5 6.2, VR LO). The key of the UIDs does not
        depend on the subject, so that references between files resolve whoever they belong to.
        Instances without a Patient ID share one stand-in: nothing tells them apart.
        """
        subject = _message(patient_id.strip(" \0"), issuer_of_patient_id.strip(" \0"))
        label = base64.b32encode(self._derive(b"subject", subject)[:10]).decode("ascii")
        shift = int.from_bytes(self._derive(b"dates", subject)[:8], "big") % LONGEST_SHIFT_DAYS
        return Pseudonym(
            subject_id=f"CE-{label}",
            date_shift_days=-1 - shift,
            uid_key=self._derive(b"uids", b""),
        )

    def stand_in(self, kind: str, text: str) -> str:
        """Return eight hexadecimal digits: the same text of a kind has the same, and tells no more."""
        return self._derive(b"text", _message(kind, text.strip(" \0")))[:4].hex()

    @property
    def key_id(self) -> str:
        """Sixteen hexadecimal digits that name the key and tell nothing of it."""
        return self.derived("key-id")[:8].hex()

    def derived(self, purpose: str) -> bytes:
        """Return 32 bytes that only the holder of this key can make, others for each purpose."""
        context = b"clic-edge/1/" + purpose.encode("ascii")
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=context).derive(
            self.secret
        )

    def _derive(self, purpose: bytes, message: bytes) -> bytes:
        return hmac.digest(self.secret, b"clic-edge/1/" + purpose + b"\0" + message, "sha256")


def keyed_uid(uid: str, pseudonym: Pseudonym) -> str:
    """Return ``2.25.`` and 128 bits of HMAC (PS3.5 B.2) for a UID of the source."""
    digest = hmac.digest(pseudonym.uid_key, uid.encode("utf-8"), "sha256")
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def create_key(path: Path) -> DeidKey:
    """Write a new random key that its owner alone may read, and return it.

    Raises
    ------
    ConfigError
        ``key-exists``: a file is already there; a key is never overwritten.
        ``key-unwritable``: the file cannot be made.

    """
    secret = secrets.token_bytes(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError("key-exists", f"{path} exists; a key is never overwritten.") from error
    except OSError as error:
        raise ConfigError(
            "key-unwritable", f"The key {path} cannot be written: {error.strerror}."
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return DeidKey(secret)


def load_key(path: Path) -> DeidKey:
    """Return the key in a file.

    Raises
    ------
    ConfigError
        ``key-missing``, ``key-too-open`` (others may read or write it), ``key-too-short``
        (fewer than 32 bytes) or ``key-unreadable``.

    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read()
    except FileNotFoundError as error:
        raise ConfigError(
            "key-missing", f"There is no key at {path}; `clic-edge deid init-key` makes one."
        ) from error
    except OSError as error:
        raise ConfigError(
            "key-unreadable", f"The key {path} cannot be read: {error.strerror}."
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            "key-too-open", f"Others than its owner may use the key {path}; run chmod 600 {path}."
        )
    if len(secret) < KEY_BYTES:
        raise ConfigError(
            "key-too-short", f"The key {path} has {len(secret)} bytes; {KEY_BYTES} are the least."
        )
    return DeidKey(secret)


def _message(*parts: str) -> bytes:
    """Join parts so that no two lists of parts give the same bytes."""
    encoded = [part.encode("utf-8") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
