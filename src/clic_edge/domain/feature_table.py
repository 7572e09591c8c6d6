"""Features of many predictions, column by column: what charts and tables are computed from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from clic_edge.domain.monitoring import Stratum


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """Some features of one model's predictions, one entry for each prediction, oldest first."""

    prediction_ids: tuple[str, ...] = field(repr=False)
    at: tuple[datetime, ...] = field(repr=False)
    strata: tuple[Stratum, ...] = field(repr=False)
    """The scanner of each."""
    numbers: tuple[tuple[str, NDArray[np.float64]], ...] = field(repr=False)
    """By name, sorted; read-only; NaN where a prediction has no such number."""
    words: tuple[tuple[str, tuple[str, ...]], ...] = field(repr=False)
    """By name, sorted; empty where a prediction has no such word."""

    def __len__(self) -> int:
        """Return the number of predictions."""
        return len(self.at)

    def number(self, name: str) -> NDArray[np.float64]:
        """Return a feature's numbers; NaN for each where nobody has it."""
        found = (values for one, values in self.numbers if one == name)
        return next(found, np.full(len(self), np.nan))

    def word(self, name: str) -> tuple[str, ...]:
        """Return a feature's words; empty for each where nobody has it."""
        found = (values for one, values in self.words if one == name)
        return next(found, ("",) * len(self))
