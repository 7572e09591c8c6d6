"""An Ed25519 key, as `clic-edge models init-key` makes it, signs as OpenPGP does (RFC 4880, RFC 9580).

A bare Debian has no program that knows Ed25519 but gpgv, which apt brings. So the release's key is
the same kind of PEM file as that of model packages, and only what is written has OpenPGP's form.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from pathlib import Path

_PUBLIC_KEY, _USER_ID, _SIGNATURE = 6, 13, 2
_EDDSA, _SHA512 = 22, 10
_OF_A_FILE, _OF_A_NAME = 0x00, 0x13
_CREATED, _ISSUER, _KEY_FLAGS, _FINGERPRINT = 2, 16, 27, 33
_CURVE: Final = bytes.fromhex("092b06010401da470f01")
"""Length and object identifier of Ed25519 (RFC 9580 9.2)."""
_EPOCH: Final = 1_767_225_600
"""When every key was made, as far as OpenPGP is told: so that one key has one fingerprint."""


def read_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file."""
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SystemExit(f"{path} holds no Ed25519 key.")
    return key


def public_key(key: Ed25519PrivateKey, name: str) -> bytes:
    """Return the public key as a keyring for `gpgv --keyring`: key, name, and the key's word for it."""
    body, user = _body(key), name.encode()
    certified = _framed(body) + struct.pack(">BI", 0xB4, len(user)) + user
    may_sign = _subpacket(_KEY_FLAGS, b"\x02")
    own = _signed(key, certified, kind=_OF_A_NAME, at=_EPOCH, more=may_sign)
    return _packet(_PUBLIC_KEY, body) + _packet(_USER_ID, user) + own


def signature(key: Ed25519PrivateKey, content: bytes, *, at: int) -> bytes:
    """Return a detached signature over `content`, made at a second since 1970."""
    return _signed(key, content, kind=_OF_A_FILE, at=at)


def _signed(
    key: Ed25519PrivateKey, content: bytes, *, kind: int, at: int, more: bytes = b""
) -> bytes:
    """Return a signature packet (RFC 9580 5.2.3 and 5.2.4, version 4)."""
    fingerprint = hashlib.sha1(_framed(_body(key))).digest()  # noqa: S324 - RFC 9580 5.5.4.1
    hashed = _subpacket(_CREATED, struct.pack(">I", at)) + more
    hashed += _subpacket(_FINGERPRINT, b"\x04" + fingerprint)
    head = struct.pack(">BBBBH", 4, kind, _EDDSA, _SHA512, len(hashed)) + hashed
    over = hashlib.sha512(content)  # not joined: an archive is most of a gigabyte
    over.update(head + struct.pack(">BBI", 4, 0xFF, len(head)))
    signed, issuer = key.sign(over.digest()), _subpacket(_ISSUER, fingerprint[-8:])
    body = head + struct.pack(">H", len(issuer)) + issuer + over.digest()[:2]
    return _packet(_SIGNATURE, body + _number(signed[:32]) + _number(signed[32:]))


def _body(key: Ed25519PrivateKey) -> bytes:
    point = b"\x40" + key.public_key().public_bytes_raw()
    return struct.pack(">BIB", 4, _EPOCH, _EDDSA) + _CURVE + _number(point)


def _framed(body: bytes) -> bytes:
    return struct.pack(">BH", 0x99, len(body)) + body


def _number(content: bytes) -> bytes:
    """Return a multiprecision integer: its length in bits, then its bytes without leading zeros."""
    value = int.from_bytes(content, "big")
    return struct.pack(">H", value.bit_length()) + value.to_bytes(
        (value.bit_length() + 7) // 8, "big"
    )


def _packet(tag: int, body: bytes) -> bytes:
    return struct.pack(">BBI", 0xC0 | tag, 0xFF, len(body)) + body


def _subpacket(kind: int, content: bytes) -> bytes:
    return bytes((len(content) + 1, kind)) + content
