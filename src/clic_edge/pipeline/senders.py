"""Who may bring instances to the appliance: decided at the door, for each that comes by C-STORE."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from clic_edge.errors import Transient
from clic_edge.ledger.database import DatabaseFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from clic_edge.ledger.senders import SenderStore

_FRESH_SECONDS: Final = 5.0
_STRANGER_SECONDS: Final = 1.0
"""How long a list is believed: of who is on it, and of who is not."""
_WELCOME_SECONDS: Final = 0.2
"""How long a title that was let in is not asked again: images of a study come closer than that, and
asking the kernel who is connected takes longer than storing a small one."""
_LONGEST_TITLE, _LONGEST_ADDRESS = 16, 64
_MOST_NAMES: Final = 1000
"""Of strangers that wait to be written down."""

Caller = tuple[str, str]
"""AE title, and the address of the other end."""


class Answer(IntEnum):
    """Statuses of C-STORE (PS3.4 B.2.3, PS3.7 annex C)."""

    SUCCESS = 0x0000
    NOT_AUTHORIZED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    """A sender that gets this sends again later."""
    NOT_UNDERSTOOD = 0xC000


class Doorkeeper:
    """Knows who may send; remembers who tried and may not. Safe to ask from several threads."""

    def __init__(
        self, store: Callable[[], SenderStore], *, listed: Iterable[Caller], takes_all: bool
    ) -> None:
        self._store = store
        self._listed = frozenset(listed)
        self._takes_all = takes_all
        self._allowed: frozenset[Caller] | None = None
        self._read_at = -_FRESH_SECONDS
        self._lock = threading.Lock()
        self._strangers = Counter[Caller]()
        self._let_in = dict[str, float]()
        """When each title was let in last; only titles that somebody allowed."""

    def has_just_let_in(self, ae_title: str) -> bool:
        """Return whether `answer` need not be asked about an instance of an AE title."""
        return time.monotonic() - self._let_in.get(ae_title, -_FRESH_SECONDS) < _WELCOME_SECONDS

    def answer(self, ae_title: str, *addresses: str) -> Answer:
        """Return the answer to an instance of an AE title, which comes from one of the addresses.

        Orthanc 1.10 tells its plugin no address: those of all who are connected are handed in. One
        that may send under this title is enough; else those that nobody allowed are remembered.
        """
        callers = {(ae_title, address) for address in addresses}
        if self._takes_all:
            self._note(callers)
            return Answer.SUCCESS
        if callers & self._listed:
            self._let_in[ae_title] = time.monotonic()
            return Answer.SUCCESS
        allowed = self._list(callers)
        if allowed is None:
            return Answer.OUT_OF_RESOURCES
        if callers & allowed:
            self._let_in[ae_title] = time.monotonic()
            return Answer.SUCCESS
        trusted = {address for _, address in allowed | self._listed}
        self._note({one for one in callers if one[1] not in trusted} or callers)
        return Answer.NOT_AUTHORIZED

    def write_down(self) -> None:
        """Write who tried into the ledger; what can't be written now is kept for the next time."""
        with self._lock:
            strangers, self._strangers = self._strangers, Counter()
        try:
            for caller in list(strangers):
                store = self._store()
                if not (self._takes_all and caller in (self._list({caller}) or ())):
                    store.saw(*caller, instances=strangers[caller], at=datetime.now(UTC))
                del strangers[caller]
        except (DatabaseFailed, Transient):
            with self._lock:
                self._strangers += strangers

    def _note(self, callers: Iterable[Caller]) -> None:
        with self._lock:
            for ae_title, address in callers:
                one = _printable(ae_title)[:_LONGEST_TITLE], address[:_LONGEST_ADDRESS]
                if one in self._strangers or len(self._strangers) < _MOST_NAMES:
                    self._strangers[one] += 1

    def _list(self, callers: set[Caller]) -> frozenset[Caller] | None:
        """Return who may send; what was read last while the ledger is away, None before that."""
        is_known = self._allowed is not None and bool(callers & self._allowed)
        patience = _FRESH_SECONDS if is_known else _STRANGER_SECONDS
        if time.monotonic() - self._read_at > patience:
            try:
                self._allowed = self._store().allowed()
            except (DatabaseFailed, Transient):
                return self._allowed
            self._read_at = time.monotonic()
        return self._allowed


def _printable(ae_title: str) -> str:
    """Return a title that a terminal can be shown; no sender of that title can be allowed."""
    return "".join(one if one.isprintable() else "?" for one in ae_title)
