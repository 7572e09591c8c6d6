"""The unit of work, retry and audit: one study on one pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class CaseState(StrEnum):
    """Where a case is. The last five are ends; a case ends in exactly one of them."""

    RECEIVED = "received"
    RUNNING = "running"
    WAITING = "waiting"
    DELIVERED = "delivered"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    """Delivered, and taken back by a person."""

    @property
    def is_end(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in {
            CaseState.DELIVERED,
            CaseState.REFUSED,
            CaseState.QUARANTINED,
            CaseState.SUPERSEDED,
            CaseState.WITHDRAWN,
        }


class Priority(StrEnum):
    """Which cases go before which; the least urgent last."""

    URGENT = "urgent"
    ROUTINE = "routine"
    BACKGROUND = "background"
    """Screening, and batches: nobody sits and waits."""

    @property
    def rank(self) -> int:
        """1 for the most urgent."""
        return list(Priority).index(self) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One study on one pipeline. Holds handles and digests, never an identity."""

    case_id: str
    """Digest of study handle, pipeline and content: the same input has the same case. Where the
    study is again what it was before a later case, ``.2`` and so on follow."""
    study_id: str
    """The archive's handle of the study."""
    pipeline: str
    """The pipeline's name; ``-`` for a study that no pipeline takes."""
    series_ids: tuple[str, ...]
    """The archive's handles of the series that the rule takes."""
    state: CaseState
    attempt: int
    """0 at first; one more for each retry."""
    expedited: bool
    """Somebody asked for it now: it does not wait for completeness."""
    code: str
    """Why it waits, was refused or quarantined; empty otherwise."""
    reason: str
    """The same in a sentence."""
    received_at: datetime
    started_at: datetime | None
    """Start of the first analysis: the Content Date and Time of every result."""
    updated_at: datetime
    next_attempt_at: datetime | None
    priority: Priority = Priority.ROUTINE
    due_at: datetime | None = None
    """When the reader should have its result; None where the pipeline promises none."""
    result_at: datetime | None = None
    """When it first was delivered, or refused."""

    @property
    def content_id(self) -> str:
        """The digest alone: whether a case is what its study asks for now."""
        return self.case_id.partition(".")[0]
