"""Who may send, and who was seen and is not trusted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the API reads the annotations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clic_edge.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderRow:
    """One AE title at one address."""

    ae_title: str
    address: str
    is_allowed: bool
    is_elsewhere: bool
    """Not allowed, under an AE title that is allowed at another address: moved, swapped, or false."""
    first_at: datetime
    last_at: datetime
    instances: int
    """That came while it was not allowed."""
    name: str
    reason: str
    allowed_by: str
    allowed_at: datetime | None


def senders(ledger: Ledger) -> tuple[SenderRow, ...]:
    """Return all of them, those that are not allowed first, and of each the newest first."""
    found = ledger.senders.all()
    titles = {one.ae_title for one in found if one.is_allowed}
    return tuple(
        SenderRow(
            ae_title=one.ae_title,
            address=one.address,
            is_allowed=one.is_allowed,
            is_elsewhere=not one.is_allowed and one.ae_title in titles,
            first_at=one.first_at,
            last_at=one.last_at,
            instances=one.instances,
            name=one.name,
            reason=one.reason,
            allowed_by=one.allowed_by,
            allowed_at=one.allowed_at,
        )
        for one in found
    )
