"""UIDs that are the same each time the same thing is written."""

from __future__ import annotations

import hashlib


def derive_uid(*parts: str) -> str:
    """Return a UID under 2.25 made of the SHA-256 of `parts`, cut to 128 bits (PS3.5 B.2)."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
