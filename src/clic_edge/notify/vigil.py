"""The vigil: the pages' process tells that no worker lives, for no worker could."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clic_edge.beside import beside
from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.notify.postman import ROUND_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from clic_edge.ledger import Ledger
    from clic_edge.notify.postman import Postman

SILENT_AFTER: Final = timedelta(minutes=2)
"""A worker beats every few seconds; a restart takes less than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vigil:
    """Looks whether any worker lives, and sends while none does."""

    ledger: Ledger
    postman: Postman
    also: Callable[[datetime], None] | None = None
    """What a worker would look at, were there one."""

    def look(self, now: datetime) -> None:
        """Say once that no worker lives any more, and send what waits: a worker would."""
        signs = self.ledger.workers.all()
        if not signs:
            return  # none was ever started, which the first page says
        last = max(one.beat_at for one in signs)
        if any(one.left_at is None and now - one.beat_at < SILENT_AFTER for one in signs):
            return
        if now - last < SILENT_AFTER:
            return  # it ended as it should, and may be back in a moment
        self.ledger.notices.put(
            Notice(
                kind=NoticeKind.NO_WORKER,
                key=last.isoformat(),
                at=now,
                urgency=Urgency.ERROR,
                detail=f"{last:%Y-%m-%d %H:%M} UTC",
                path="/",
            )
        )
        if self.also:
            self.also(now)
        self.postman.go_round(now)


def keeping(vigil: Vigil) -> AbstractContextManager[None]:
    """Keep a vigil in a thread of its own beside what runs within."""
    return beside("vigil", vigil.look, every_seconds=ROUND_SECONDS)
