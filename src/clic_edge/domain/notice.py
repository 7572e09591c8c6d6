"""What the appliance tells people who do not look at its pages. No identity in any of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class NoticeKind(StrEnum):
    """What happened; each has a sentence in `notify/words.toml`."""

    ALARM_OPENED = "alarm-opened"
    ALARM_CONFIRMED = "alarm-confirmed"
    ALARM_CLOSED = "alarm-closed"
    MODEL_STOPPED = "model-stopped"
    CONSTANCY_FAILED = "constancy-failed"
    CONSTANCY_MISSED = "constancy-missed"
    CASE_QUARANTINED = "case-quarantined"
    CASES_LATE = "cases-late"
    NO_WORKER = "no-worker"
    ACCOUNT_DIFFERS = "account-differs"
    DEADLINE_AT_RISK = "deadline-at-risk"
    DISK_LOW = "disk-low"
    IMAGES_TURNED_AWAY = "images-turned-away"
    QUEUE_FULL = "queue-full"
    CLOCK_JUMPED = "clock-jumped"
    WATCH_FAILED = "watch-failed"
    BACKUP_FAILED = "backup-failed"
    REPORT_FAILED = "report-failed"
    TEST = "test"


class Urgency(StrEnum):
    """How soon somebody should look, from the least."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    def includes(self, other: Urgency) -> bool:
        """Whether `other` is at least so urgent."""
        order = list(Urgency)
        return order.index(other) >= order.index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that happened, told once to each channel."""

    kind: NoticeKind
    key: str
    """Which of its kind: what has the same kind and key is told once, by whichever box."""
    at: datetime
    urgency: Urgency
    about: str = ""
    """A model, a pipeline or a box, by our own name."""
    detail: str = ""
    """A chart, a code or a number; never a value that was read from a file."""
    path: str = ""
    """Of the page that shows it."""

    @property
    def notice_id(self) -> str:
        """The same for the same kind and key."""
        return hashlib.sha256(f"{self.kind}\n{self.key}".encode()).hexdigest()[:32]


class SendingState(StrEnum):
    """What became of a notice on one channel."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCount:
    """How many notices of a channel are in a state."""

    channel: str
    state: SendingState
    count: int
    oldest: datetime
    """When the oldest of them happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A notice on its way through one channel."""

    notice: Notice
    channel: str
    state: SendingState
    attempts: int
    next_at: datetime
    """When it is tried next, where it waits."""
    sent_at: datetime | None
    code: str
    """Of what hindered the last attempt; empty where none did."""
