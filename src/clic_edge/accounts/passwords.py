"""Passwords: Argon2id, and what makes one strong enough."""

from __future__ import annotations

import unicodedata
from threading import BoundedSemaphore
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from clic_edge.errors import ConfigError

SHORTEST: Final = 12
LONGEST: Final = 1024
"""Letters; more would only keep the box busy."""
_AT_ONCE: Final = 2


class Hasher:
    """Argon2id; by default as RFC 9106 recommends where memory is limited: 64 MiB, three passes.

    Not more than two run at a time, so that nobody fills the box's memory by logging in.
    """

    def __init__(self, *, passes: int = 3, memory_kib: int = 65_536, lanes: int = 4) -> None:
        """Return a hasher of the site's strength; a weaker one is for tests."""
        self._argon2 = PasswordHasher(passes, memory_kib, lanes)
        self._room = BoundedSemaphore(_AT_ONCE)

    def hashed(self, password: str) -> str:
        """Return what is kept of a password: parameters, a salt of its own, and the hash."""
        with self._room:
            return self._argon2.hash(_plain(password))

    def is_right(self, password: str, kept: str) -> bool:
        """Return whether a password is the one; with nothing `kept`, False after as much work."""
        if not kept or len(password) > LONGEST:
            self.hashed(password[:LONGEST])
            return False
        try:
            with self._room:
                return self._argon2.verify(kept, _plain(password))
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, kept: str) -> bool:
        """Return whether a hash was made with other parameters than new ones are."""
        return self._argon2.check_needs_rehash(kept)


def _plain(password: str) -> str:
    """Return the same text for the same letters, however a keyboard composes them."""
    return unicodedata.normalize("NFKC", password)


def require_strong(password: str, name: str) -> None:
    """Return when a password may be an account's.

    Length is all that is asked for, as NIST SP 800-63B advises: rules about signs and digits
    make passwords that are easier to guess, not harder.

    Raises
    ------
    ConfigError
        ``password-weak``.

    """
    plain, own = password.casefold(), name.casefold()
    few = len(set(plain)) < SHORTEST // 3
    if not SHORTEST <= len(password) <= LONGEST or few or plain in (own, own * 2, own[::-1]):
        raise ConfigError(
            "password-weak",
            f"A password has at least {SHORTEST} letters, several different ones, and is not the "
            "account's name. A few words that do not belong together are good.",
        )
