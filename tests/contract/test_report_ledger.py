"""What a report reads, on SQLite and on PostgreSQL: the same numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from observed import BEGIN
from reported import DIGEST, PERIOD, january, reported

from clic_edge.ledger.periods import Span

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def test_a_month_reads_the_same_on_every_database(engine: Engine) -> None:
    ledger = reported(engine)
    report = january(ledger)
    assert (report.volume.received, report.volume.series_analysed) == (50, 632)
    assert [one.count for one in report.volume.refusals] == [6, 2]
    assert report.agreement.overridden.count == 12
    assert report.agreement.volumes[0].n == 10
    assert {one.n for one in report.groups if one.by == "input.model_name"} == {92, 620}
    assert ledger.periods.versions(PERIOD.span) == (("organs", "1", DIGEST),)
    day = Span(since=BEGIN, until=BEGIN + timedelta(days=1))
    assert ledger.periods.analysed(DIGEST, day) == 48, "the last moment belongs to the next day"
