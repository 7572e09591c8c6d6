"""Random tokens, and what is made of them so that nothing has to be kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def new_token() -> str:
    """Return 256 random bits, to be known to one browser or program only."""
    return secrets.token_urlsafe(32)


def new_id() -> str:
    """Return a random name for what must be spoken of without its token."""
    return secrets.token_hex(8)


def digest(token: str) -> str:
    """Return what the ledger keeps of a token. Fast is safe: a random token can't be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()


def derived(token: str, purpose: str) -> str:
    """Return a value for one purpose that only who has the token can make."""
    return hmac.digest(token.encode(), purpose.encode(), "sha256").hex()


def is_derived(value: str, token: str, purpose: str) -> bool:
    """Return whether a value was made so, in a time that does not tell how far it is right."""
    said = value.encode("utf-8", "surrogatepass")  # a form may hold halves of letters
    return hmac.compare_digest(said, derived(token, purpose).encode())
