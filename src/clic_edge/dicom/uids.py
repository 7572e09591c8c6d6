"""Identifiers that follow from what they identify."""

from __future__ import annotations

import hashlib
import uuid


def derive_uid(*parts: str) -> str:
    """Return the UID of `parts`: the same parts give the same UID, other parts another.

    A UUID-derived UID (PS3.5 B.2) from the first 128 bits of a SHA-256, with the
    version and variant of a name-based UUID. Parts carry their length, so ``("ab", "c")`` and ``("a", "bc")`` differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return f"2.25.{uuid.UUID(bytes=digest.digest()[:16], version=5).int}"
