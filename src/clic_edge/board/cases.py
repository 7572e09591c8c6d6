"""Cases as a list: filtered, page by page, or a sample that somebody audits."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from clic_edge.domain.case import CaseState  # noqa: TC001 - the API reads the annotation
from clic_edge.ledger.search import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.search import Named, Wanted

CURSOR: Final = r"^[0-9]{1,16}-[0-9A-Za-z._-]{1,64}$"
"""Microseconds since 1970, and the case's identifier: as every cursor is, and nothing else."""
MOST_COUNTED: Final = 10_000
LARGEST_PAGE: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLine:
    """One case in a list."""

    case_id: str
    pipeline: str
    """``-`` for a study that no pipeline takes."""
    state: CaseState
    models: tuple[str, ...]
    """Identifier and version of those whose findings it tells of."""
    received_at: datetime
    seconds: float | None
    """From arrival to its end; None of a case that has not ended."""
    code: str
    reason: str
    """Why it waits, was refused or is in quarantine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """A page of a list of cases."""

    cases: tuple[CaseLine, ...]
    """The newest first."""
    count: int
    """Of all pages together."""
    counted_all: bool
    """False where there are more than were counted."""
    after: str | None
    """Cursor of the next page; None at the end."""


def case_page(
    ledger: Ledger, wanted: Wanted, *, limit: int = 50, after: str | None = None
) -> CasePage:
    """Return a page behind a cursor that an earlier page gave (`CURSOR`)."""
    found = ledger.search.page(wanted, limit=limit + 1, after=place_of(after) if after else None)
    shown, counted = found[:limit], ledger.search.count(wanted, most=MOST_COUNTED + 1)
    return CasePage(
        cases=_lines(ledger, shown),
        count=min(counted, MOST_COUNTED),
        counted_all=counted <= MOST_COUNTED,
        after=cursor_of(shown[-1]) if len(found) > limit else None,
    )


def case_sample(ledger: Ledger, wanted: Wanted, *, size: int, seed: int) -> CasePage:
    """Return a random choice of cases; the same seed on the same cases gives the same choice.

    Where more than `MOST_COUNTED` cases are wanted it is drawn from the newest of them.
    """
    names = ledger.search.names(wanted, most=MOST_COUNTED + 1)
    pool = names[:MOST_COUNTED]
    drawn = random.Random(seed).sample(pool, min(size, len(pool)))  # noqa: S311 - to be repeated, not to be secret
    return CasePage(
        cases=_lines(ledger, ledger.search.chosen(drawn)),
        count=len(pool),
        counted_all=len(names) <= MOST_COUNTED,
        after=None,
    )


def case_line(ledger: Ledger, case: Case) -> CaseLine:
    """Return a case as a list has it."""
    (line,) = _lines(ledger, (case,))
    return line


def seconds_of(case: Case) -> float | None:
    """Return how long a case took from arrival to its end, None while it goes on."""
    return (case.updated_at - case.received_at).total_seconds() if case.state.is_end else None


def _lines(ledger: Ledger, cases: tuple[Case, ...]) -> tuple[CaseLine, ...]:
    told_by = ledger.search.told_by([case.case_id for case in cases])
    return tuple(_line(case, told_by) for case in cases)


def _line(case: Case, told_by: Mapping[str, tuple[Named, ...]]) -> CaseLine:
    return CaseLine(
        case_id=case.case_id,
        pipeline=case.pipeline,
        state=case.state,
        models=tuple(f"{one.model_id} {one.version}" for one in told_by.get(case.case_id, ())),
        received_at=case.received_at,
        seconds=seconds_of(case),
        code=case.code,
        reason=case.reason,
    )


def cursor_of(case: Case) -> str:
    """Return where a page that ends with a case ends (`CURSOR`)."""
    return f"{(case.received_at - _EPOCH) // timedelta(microseconds=1)}-{case.case_id}"


def place_of(cursor: str) -> Place:
    """Return what a cursor means. Raises ValueError for none that a page gave."""
    if not re.fullmatch(CURSOR, cursor):
        raise ValueError(cursor)
    moment, _, case_id = cursor.partition("-")
    return Place(received_at=_EPOCH + timedelta(microseconds=int(moment)), case_id=case_id)
