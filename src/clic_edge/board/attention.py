"""What needs a person: cases that wait, were refused or are held, by reason, with what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from clic_edge.board.cases import CaseLine, case_line
from clic_edge.domain.case import CaseState  # noqa: TC001 - the API reads the annotation

if TYPE_CHECKING:
    from collections.abc import Callable

    from clic_edge.ledger import Ledger

REMEMBERED: Final = timedelta(days=30)
"""For so long a refused case stands here; it stands among the cases for ever."""
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldGroup:
    """Cases that are in one state for one reason."""

    state: CaseState
    code: str
    count: int
    oldest: datetime
    newest: datetime
    reason: str
    """Of the case that has waited longest."""
    remedy: str
    """What to do, as the page of errors says it."""
    can_retry: bool
    """False where no pipeline took the studies: there is nothing to run."""
    cases: tuple[CaseLine, ...]
    """Those that have waited longest, a few."""


def attention(
    ledger: Ledger, now: datetime, *, remedy: Callable[[str], str]
) -> tuple[HeldGroup, ...]:
    """Return every reason for which cases did not come through, the most pressing first."""
    since = now - REMEMBERED
    groups = []
    for one in ledger.attention.held(refused_since=since):
        first = ledger.attention.cases(one.state, one.code, refused_since=since, limit=_SHOWN)
        groups.append(
            HeldGroup(
                state=one.state,
                code=one.code,
                count=one.count,
                oldest=one.oldest,
                newest=one.newest,
                reason=first[0].reason if first else "",
                remedy=remedy(one.code),
                can_retry=one.code != "no-pipeline",
                cases=tuple(case_line(ledger, case) for case in first),
            )
        )
    return tuple(groups)
