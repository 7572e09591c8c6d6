"""The postman: takes notices out of the outbox and sends them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final

from clic_edge import telemetry
from clic_edge.errors import Transient
from clic_edge.ledger.notices import ChannelRule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clic_edge.domain.notice import Sending
    from clic_edge.ledger.notices import NoticeStore
    from clic_edge.notify.channel import Channel

ROUND_SECONDS: Final = 10.0
_FIRST_RETRY: Final = timedelta(seconds=30)
_LONGEST_RETRY: Final = timedelta(hours=1)
_DOUBLINGS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a channel is used, and how long a notice is tried."""

    pause: timedelta
    give_up_after: timedelta


class Postman:
    """Sends what the outbox holds; two boxes on one ledger send each notice once."""

    def __init__(
        self, outbox: NoticeStore, channels: Sequence[Channel], patience: Patience
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._patience = patience

    def go_round(self, now: datetime) -> None:
        """Send through each channel what is due."""
        for channel in self._channels:
            pause = self._patience.pause if channel.gathers else timedelta()
            rule = ChannelRule(name=channel.name, at_least=channel.at_least, pause=pause)
            for letter in _letters(self._outbox.take(rule, now=now), gathers=channel.gathers):
                self._send(channel, letter, now=now)

    def _send(self, channel: Channel, letter: Sequence[Sending], *, now: datetime) -> None:
        ids = [one.notice.notice_id for one in letter]
        try:
            channel.send([one.notice for one in letter])
        except Transient as hindrance:
            telemetry.notice_failed(channel=channel.name, code=hindrance.code)
            tries = max(one.attempts for one in letter)
            wait = min(_FIRST_RETRY * 2 ** min(tries, _DOUBLINGS), _LONGEST_RETRY)
            self._outbox.failed(channel.name, ids, code=hindrance.code, next_at=now + wait)
            before = now - self._patience.give_up_after
            lost = self._outbox.give_up(channel.name, before=before, code=hindrance.code)
            if lost:
                telemetry.notices_given_up(channel=channel.name, count=lost)
        else:
            self._outbox.sent(channel.name, ids, at=now)
            telemetry.notices_sent(channel=channel.name, count=len(ids))


def _letters(taken: Sequence[Sending], *, gathers: bool) -> list[list[Sending]]:
    """Return what is sent together: all of a kind, or each by itself."""
    if not gathers:
        return [[one] for one in taken]
    by_kind = sorted(taken, key=lambda one: (one.notice.kind, one.notice.at))
    return [list(group) for _, group in groupby(by_kind, key=lambda one: one.notice.kind)]
