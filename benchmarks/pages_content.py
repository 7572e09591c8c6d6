"""What both pages show: charts by name and values, and rows of a table; the standard library only."""

from __future__ import annotations

import random

_CHANCE = random.Random(6)  # noqa: S311 - the same numbers each time, no secret
FIRST = "2026-05-01"
CHARTS = [(f"chart {n}", [round(_CHANCE.gauss(0, 1), 3) for _ in range(180)]) for n in range(12)]
ROWS = [(f"case-{n:04d}", "delivered", f"{_CHANCE.uniform(3, 60):.1f}") for n in range(500)]
