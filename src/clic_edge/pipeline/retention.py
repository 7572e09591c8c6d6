"""Pruning by the site's policy, each night."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.ledger.pruning import Retention

if TYPE_CHECKING:
    from datetime import datetime

    from clic_edge.config import Settings
    from clic_edge.ledger import Ledger

MONTH = timedelta(days=30.4375)
DAYS_AT_A_TIME = 10
"""So that a year that was never rolled up holds no worker's look-around up for minutes."""


def retention_of(settings: Settings) -> Retention:
    """Return what the site's settings say; 0 is for ever."""
    asked = settings.retention
    return Retention(
        features=asked.features_months * MONTH if asked.features_months else None,
        masks=timedelta(days=asked.masks_days) if asked.masks_days else None,
        audit=asked.audit_months * MONTH if asked.audit_months else None,
    )


def tidy(ledger: Ledger, retention: Retention, *, now: datetime) -> bool:
    """Roll up some of the days that have ended, and prune; return whether nothing is left to do."""
    pruned = ledger.pruning.prune(retention, now=now, most_days=DAYS_AT_A_TIME)
    if count := pruned.features + pruned.masks + pruned.audit:
        telemetry.pruned(count=count)
    return pruned.is_rolled
