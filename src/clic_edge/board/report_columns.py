"""Features of a model's patients in a span, column by column: a month of a busy site fits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import compress
from typing import TYPE_CHECKING, Final

import numpy as np

from clic_edge.drift.plan import words_of

if TYPE_CHECKING:
    from clic_edge.domain.feature_table import FeatureTable
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.periods import Span

OUTPUT: Final = "output."
_INSTANT: Final = timedelta(microseconds=1)


def columns(ledger: Ledger, digest: str, span: Span, *begin: str) -> FeatureTable:
    """Return the features whose names begin so, without those of constancy's phantoms."""
    known = ledger.features.names()
    table = ledger.features.table(
        digest,
        after=span.since - _INSTANT,
        until=span.until - _INSTANT,
        names=[one for one in (*known.numbers, *known.words) if one.startswith(begin)],
    )
    phantoms = ledger.periods.phantoms(digest, span)
    if not phantoms:
        return table
    kept = np.array([one not in phantoms for one in table.prediction_ids], dtype=bool)

    return replace(
        table,
        prediction_ids=tuple(compress(table.prediction_ids, kept)),
        at=tuple(compress(table.at, kept)),
        strata=tuple(compress(table.strata, kept)),
        numbers=tuple((name, values[kept]) for name, values in table.numbers),
        words=tuple((name, tuple(compress(values, kept))) for name, values in table.words),
    )


def groups_by(table: FeatureTable, feature: str) -> tuple[str, ...]:
    """Return a feature's value of each prediction as a word; empty where it has none."""
    if any(name == feature for name, _ in table.numbers):
        return words_of(table.number(feature))
    return table.word(feature)
