"""Post-market data as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from clic_edge.board.post_market import PostMarket
from clic_edge.domain.cells import plain_cell
from clic_edge.reporting.making import ReportFile, named

if TYPE_CHECKING:
    from collections.abc import Iterator

POST_MARKET = TypeAdapter(PostMarket)
"""`docs/reference/post-market.schema.json` is its schema."""
COLUMNS = ("part", "name", "group", "n", "value", "lower", "upper")
_COUNTED = ("cases", "series", "refusals", "failures", "verdicts", "constancy")
_WITHHELD = "few"


def post_market_files(data: PostMarket) -> tuple[ReportFile, ...]:
    """Return the data as JSON, and the same as a table with a row for each number."""
    stem = named("post-market", data.model_id, data.version, data.digest[:8], data.first, data.last)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    writer.writerows([plain_cell(it) for it in row] for row in _rows(data))
    return (
        ReportFile(name=f"{stem}.json", content=POST_MARKET.dump_json(data, indent=1)),
        ReportFile(name=f"{stem}.csv", content=table.getvalue().encode()),
    )


def _rows(data: PostMarket) -> Iterator[tuple[str | float | None, ...]]:
    for part in _COUNTED:
        for count in getattr(data, part):
            yield (
                part,
                count.name,
                "",
                "",
                _WITHHELD if count.count is None else count.count,
                "",
                "",
            )
    for one in data.measures:
        yield "measures", one.name, one.group, one.n, one.value, one.lower, one.upper
    for alarm in data.alarms:
        what = f"{alarm.chart} {alarm.direction} {alarm.severity}"
        yield "alarms", what, alarm.scanner, "", str(alarm.opened), "", str(alarm.closed or "")
    for move in data.moves:
        yield "moves", f"{move.was or ''} > {move.now}", move.by, "", str(move.day), "", ""
    yield "suspensions", "suspensions", "", "", data.suspensions, "", ""
