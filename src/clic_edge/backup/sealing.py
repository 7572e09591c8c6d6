"""Keys under a passphrase: AES-256-GCM with a key by scrypt (RFC 7914), in a file of our own.

The file's first line is JSON: format, the name of the site's key, salt and nonce. The sealed bytes
follow, and are bound to that line, so that no other file's can be put in its place.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, ValidationError

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SHORTEST: Final = 12
"""Characters of a passphrase; a file with secrets may be tried for years."""
_COST: Final = 1 << 16
"""64 MiB and a fifth of a second for each try."""


class _Head(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="hex", val_json_bytes="hex"
    )

    format: Literal["clic-edge keys 1"] = "clic-edge keys 1"
    key_id: str
    salt: bytes
    nonce: bytes


def seal(content: bytes, passphrase: str, *, key_id: str) -> bytes:
    """Return the content sealed. Raises ConfigError ``passphrase-short``."""
    if len(passphrase) < SHORTEST:
        raise ConfigError(
            "passphrase-short", f"The passphrase should have at least {SHORTEST} characters."
        )
    head = _Head(key_id=key_id, salt=os.urandom(16), nonce=os.urandom(12))
    line = head.model_dump_json().encode() + b"\n"
    return line + AESGCM(_derived(passphrase, head.salt)).encrypt(head.nonce, content, line)


def unseal(path: Path, passphrase: str) -> tuple[str, bytes]:
    """Return the name of the site's key, and the content of a sealed file.

    Raises
    ------
    ConfigError
        ``no-keys``: there is no such file, or it is another; ``passphrase-wrong``: it opens with
        another passphrase, or was changed.

    """
    try:
        line, newline, sealed = path.read_bytes().partition(b"\n")
        head = _Head.model_validate_json(line)
    except (OSError, ValidationError) as error:
        raise ConfigError("no-keys", f"{path} holds no keys of `clic-edge backup`.") from error
    try:
        cipher = AESGCM(_derived(passphrase, head.salt))
        return head.key_id, cipher.decrypt(head.nonce, sealed, line + newline)
    except (InvalidTag, ValueError) as error:
        raise ConfigError(
            "passphrase-wrong", f"{path} does not open with this passphrase, or was changed."
        ) from error


def _derived(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_COST, r=8, p=1).derive(passphrase.encode())
