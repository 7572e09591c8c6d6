"""Who vouches for a model package: an Ed25519 signature over its digests, checked without a network.

```
models/hippocampus/
  digests.json     SHA-256 of each file that says or does something
  signature.json   when, by which key, and the signature over both
```

The public keys that a site trusts lie in one folder, a PEM file each; its name is the signer's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.package import DIGESTS, write_digests

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = "signature.json"
CONTEXT = b"clic-edge model package 1\n"
"""Keeps a signature from meaning anything elsewhere."""
PUBLIC_SUFFIX = ".pub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a signature says, once it was checked."""

    signer: str
    """Name of the key's file in the site's folder."""
    key_id: str
    signed_at: datetime


def create_signing_key(path: Path) -> Path:
    """Write a new private key that its owner alone may read, and the public one beside it.

    Returns the path of the public key, which goes to the sites. Raises ConfigError
    ``signing-key``: a file is there already, or can't be written.
    """
    private = Ed25519PrivateKey.generate()
    public_path = path.with_suffix(PUBLIC_SUFFIX)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        with public_path.open("xb") as file:
            file.write(
                private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            )
    except OSError as error:
        raise ConfigError(
            "signing-key", f"The key {error.filename} can't be written: {error.strerror}."
        ) from error
    return public_path


def sign(folder: Path, key_path: Path, *, at: datetime) -> None:
    """Write digests and signature of a package: its last change before it goes out.

    Raises
    ------
    ConfigError
        ``signing-key``: the file holds no Ed25519 private key. As `load_package` for the package.

    """
    private = _private_key(key_path)
    write_digests(folder)
    signed_at = at.isoformat(timespec="seconds")
    message = _message((folder / DIGESTS).read_bytes(), signed_at)
    told = {
        "algorithm": "Ed25519",
        "key": _key_id(private.public_key()),
        "signed_at": signed_at,
        "signature": base64.b64encode(private.sign(message)).decode(),
    }
    (folder / SIGNATURE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def verify_signature(folder: Path, keys: Path) -> Signature:
    """Return who signed a package; its files are held against the digests by `load_package`.

    Raises
    ------
    ConfigError
        ``signing-key``: a file in `keys` is no Ed25519 public key.
    Defect
        ``model-unsigned``; ``model-signer-unknown``: none of the site's keys; ``model-signature``:
        the signature is not over these digests.

    """
    trusted = trusted_keys(keys)
    try:
        told = json.loads((folder / SIGNATURE).read_text(encoding="utf-8"))
        signed_at = datetime.fromisoformat(told["signed_at"])
        signature = base64.b64decode(told["signature"], validate=True)
        digests, key_id = (folder / DIGESTS).read_bytes(), str(told["key"])
    except FileNotFoundError as error:
        raise Defect("model-unsigned", f"The model package in {folder} is not signed.") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Defect("model-signature", f"{folder / SIGNATURE} is no signature.") from error
    if key_id not in trusted:
        raise Defect(
            "model-signer-unknown",
            f"The model package in {folder} is signed by the key {key_id}, "
            f"which is not among the {len(trusted)} in {keys}.",
        )
    signer, public = trusted[key_id]
    try:
        public.verify(signature, _message(digests, told["signed_at"]))
    except InvalidSignature as error:
        raise Defect(
            "model-signature", f"The signature of {folder} is not over what it holds."
        ) from error
    return Signature(signer=signer, key_id=key_id, signed_at=signed_at)


def trusted_keys(folder: Path) -> dict[str, tuple[str, Ed25519PublicKey]]:
    """Return name and key by key id; no folder is no key."""
    found = {}
    for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}")):
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError("signing-key", f"{path} is no public key in PEM.") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError("signing-key", f"{path} is no Ed25519 key.")
        found[_key_id(key)] = (path.stem, key)
    return found


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "signing-key",
            f"{path} is no private key in PEM; `clic-edge models init-key` makes one.",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("signing-key", f"{path} is no Ed25519 key.")
    return key


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _message(digests: bytes, signed_at: str) -> bytes:
    return CONTEXT + signed_at.encode() + b"\n" + digests
