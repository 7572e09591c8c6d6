"""What is asked for each case or page is answered by indices, and counted in the database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ledgers import make_tables
from plans import plan_of

from clic_edge.domain.case import CaseState
from clic_edge.domain.deadline import Kept
from clic_edge.ledger import Ledger
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.schema import cases

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
ASKED: dict[str, Callable[[Ledger], object]] = {
    "admit": lambda ledger: ledger.cases.admit(
        Admission(case_id="c2", study_id="s", pipeline="brain", series_ids=("a",))
    ),
    "replaced": lambda ledger: ledger.deliveries.replaced("c1"),
    "taken back": lambda ledger: ledger.deliveries.taken_back("c1"),
    "receipts": lambda ledger: ledger.deliveries.receipts("c1"),
    "can send again": lambda ledger: ledger.deliveries.can_send_again("c1"),
    "to send again": lambda ledger: ledger.deliveries.to_send_again(),
    "can withdraw": lambda ledger: ledger.withdrawals.can("c1"),
}


@pytest.mark.parametrize("asked", ASKED)
def test_no_table_of_cases_or_results_is_gone_through(asked: str) -> None:
    engine = open_engine("sqlite://")
    make_tables(engine)
    steps = plan_of(engine, lambda: ASKED[asked](Ledger.on(engine)))
    through = {f"SCAN {table}" for table in ("cases", "result_objects", "receipts")}
    assert steps
    assert not [one for one in steps if " ".join(one.split()[:2]) in through], steps
    engine.dispose()


def test_what_is_to_be_sent_again_is_found_by_the_receipts_that_are_not_accepted() -> None:
    engine = open_engine("sqlite://")
    make_tables(engine)
    (first, *_) = plan_of(engine, Ledger.on(engine).deliveries.to_send_again)
    assert "ix_receipts_not_accepted" in first
    engine.dispose()


def test_deadlines_kept_are_counted_as_one_would_by_hand(engine: Engine) -> None:
    draw, rows = np.random.default_rng(7), list[dict[str, object]]()
    ends = (None, timedelta(minutes=-5), timedelta(), INSTANT, timedelta(days=40))
    around = (-INSTANT, timedelta(), INSTANT, timedelta(hours=1), timedelta(hours=-1))
    states = list(CaseState)
    for number in range(400):
        month = NEW_YEAR + timedelta(days=31) * int(draw.integers(-3, 3))
        due = month.replace(day=1) + around[draw.integers(len(around))]
        after = ends[draw.integers(len(ends))]
        row: dict[str, object] = {"case_id": f"c{number}", "study_id": "s", "study_digest": "d"}
        row |= {"pipeline": ("brain", "lung", "")[draw.integers(3)], "series_ids": ["a"]}
        row |= {"state": states[draw.integers(len(states))], "attempt": 0, "expedited": False}
        row |= {"code": "", "reason": "", "received_at": due, "updated_at": due}
        row["due_at"] = None if number % 50 == 0 else due
        row["result_at"] = None if after is None else due + after
        rows.append(row)
    with engine.begin() as connection:
        connection.execute(cases.insert(), rows)
    since, now = NEW_YEAR - timedelta(days=31), NEW_YEAR + timedelta(days=31)
    counted = by_hand(rows, since, now)
    assert len(counted) > 3 * 3
    assert Ledger.on(engine).deadlines.kept(since, now) == counted


def by_hand(rows: list[dict[str, object]], since: datetime, now: datetime) -> tuple[Kept, ...]:
    """Return what `kept` says, one row after the other."""
    counts = Counter[tuple[str, str, bool]]()
    for row in rows:
        due, done = row["due_at"], row["result_at"]
        if not isinstance(due, datetime) or due < since:
            continue
        month, pipeline = f"{due:%Y-%m}", str(row["pipeline"])
        if isinstance(done, datetime):
            counts[month, pipeline, done <= due] += 1
        elif row["state"] is not CaseState.SUPERSEDED and due < now:
            counts[month, pipeline, False] += 1
    named = sorted({(month, pipeline) for month, pipeline, _ in counts}, reverse=True)
    return tuple(
        Kept(
            pipeline=pipeline,
            month=month,
            kept=counts[month, pipeline, True],
            missed=counts[month, pipeline, False],
        )
        for month, pipeline in named
    )
