"""Who did what, page by page, and whether the chain of the models' states is whole."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from clic_edge.domain.cells import plain_cell
from clic_edge.errors import Defect
from clic_edge.ledger.audit import Deed  # noqa: TC001 - the API reads the annotation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clic_edge.ledger import Ledger
    from clic_edge.ledger.audit import WantedDeeds

CURSOR: Final = r"^[0-9]{1,16}-(audit|models)-[0-9]{1,15}$"
"""Microseconds since 1970, the trail, and the number in it."""
LARGEST_PAGE: Final = 500
COLUMNS: Final = ("at", "person", "action", "case_id", "about", "detail", "trail", "number")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """A page of the trail, the newest first."""

    deeds: tuple[Deed, ...]
    after: str | None
    """Cursor of the next page; None at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Whether the models' history is as it was written."""

    moves: int
    """That were proved, each linked to the one before."""
    broken: str = ""
    """Where it is not whole; empty where it is."""


def audit_page(
    ledger: Ledger, wanted: WantedDeeds, *, limit: int = 100, after: str | None = None
) -> AuditPage:
    """Return a page behind a cursor that an earlier page gave (`CURSOR`)."""
    found = ledger.audit.page(wanted, limit=limit + 1, after=_place(after) if after else None)
    shown = found[:limit]
    return AuditPage(deeds=shown, after=_cursor(shown[-1]) if len(found) > limit else None)


def chain(ledger: Ledger) -> Chain:
    """Return whether the chain of the models' states is whole."""
    try:
        return Chain(moves=ledger.standing.verify())
    except Defect as defect:
        return Chain(moves=0, broken=defect.sentence)


def audit_lines(ledger: Ledger, wanted: WantedDeeds) -> Iterator[str]:
    """Yield the whole trail as CSV (RFC 4180), line by line, the newest first.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    yield _line(COLUMNS)
    for one in ledger.audit.all(wanted):
        values = [getattr(one, name) for name in COLUMNS]
        yield _line([one.at.isoformat(), *(plain_cell(str(value)) for value in values[1:])])


def _line(values: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(values)
    return buffer.getvalue()


def _cursor(deed: Deed) -> str:
    return f"{(deed.at - _EPOCH) // timedelta(microseconds=1)}-{deed.trail}-{deed.number}"


def _place(cursor: str) -> tuple[datetime, str, int]:
    moment, trail, number = cursor.split("-")
    return _EPOCH + timedelta(microseconds=int(moment)), trail, int(number)
