"""A model's last days: beside its reference, by subgroup, by readers, by stage."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from half_years import DIGEST, NEW, OLD, HalfYear, fill
from ledgers import make_tables
from observed import SKYRA, log

from clic_edge.board import window as module
from clic_edge.board.latency import latency
from clic_edge.board.readers import readers
from clic_edge.board.references import ReferenceBook
from clic_edge.board.window import Beside, window
from clic_edge.domain.assessment import Assessment, Source, Verdict
from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import EVERY, Observation
from clic_edge.domain.truth import Origin, Truth
from clic_edge.drift.plan import Policy
from clic_edge.ledger.database import open_engine

if TYPE_CHECKING:
    from clic_edge.ledger import Ledger

pytestmark = pytest.mark.slow
NOW = datetime.now(UTC)
CLASSIFIER = "c" * 64


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    engine = open_engine("sqlite://")
    make_tables(engine)
    ledger = fill(engine, HalfYear(days=120, reference_days=60, shift_day=80, upgrade_day=100))
    _classify(ledger)
    return ledger


def _classify(ledger: Ledger) -> None:
    """Let a classifier say 0.8 of a hundred images, and readers confirm four in five of it."""
    seen = [
        Observation(
            at=NOW - timedelta(days=5) + timedelta(minutes=index),
            stratum=SKYRA,
            features=(
                Feature(name="output.malignant.probability", number=0.8),
                Feature(name="output.malignant.chosen", number=1.0),
            ),
        )
        for index in range(100)
    ]
    engine = ledger.cases._engine  # rows are written as the half year writes them
    names = log(engine, seen, digest=CLASSIFIER)
    ledger.assessments.record(
        Assessment(
            case_id=f"case of {CLASSIFIER[:8]}",
            prediction_id=name,
            finding="malignant",
            verdict=Verdict.REJECTED if index % 5 == 0 else Verdict.ACCEPTED,
            reason=None,
            reader="one",
            source=Source.PAGE,
            at=NOW - timedelta(days=1),
        )
        for index, name in enumerate(names)
    )


@pytest.fixture(scope="module")
def book(ledger: Ledger) -> ReferenceBook:
    return ReferenceBook(ledger, Policy(smallest_group=30))


def reference_of_old(book: ReferenceBook) -> str:
    return next(one.reference_id for one in book.heads(DIGEST) if one.stratum == OLD)


def test_what_moved_stands_first_with_its_tests(ledger: Ledger, book: ReferenceBook) -> None:
    asked = Beside(days=40, reference_id=reference_of_old(book))
    seen = window(ledger, book, DIGEST, asked=asked, now=NOW)
    first = seen.differences[0]
    assert seen.strata == (OLD,)
    assert (first.feature, first.is_much) == ("input.noise", True)
    assert first.shift is not None
    assert first.shift > 0.5
    assert seen.together is not None
    assert seen.embedding is None, "the model has none"


def test_new_software_is_seen_beside_the_reference_of_the_old(
    ledger: Ledger, book: ReferenceBook
) -> None:
    asked = Beside(days=40, reference_id=reference_of_old(book), others=True)
    seen = window(ledger, book, DIGEST, asked=asked, now=NOW)
    assert seen.strata == (NEW,)
    assert seen.differences


def test_a_subgroup_that_is_too_small_says_so_and_no_number(
    ledger: Ledger, book: ReferenceBook
) -> None:
    for days, is_enough in ((28, False), (80, True)):
        asked = Beside(days=days, reference_id=reference_of_old(book))
        seen = window(ledger, book, DIGEST, asked=asked, now=NOW)
        assert {one.group for one in seen.groups} == {"F", "M"}
        assert {one.is_enough for one in seen.groups} == {is_enough}
        assert {one.mean is not None for one in seen.groups} == {is_enough}
        assert "input.sex" in seen.possible


def test_a_page_looks_at_the_newest_where_there_is_more(
    ledger: Ledger, book: ReferenceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 50)
    asked = Beside(days=90, reference_id=reference_of_old(book), others=True)
    seen = window(ledger, book, DIGEST, asked=asked, now=NOW)
    assert (seen.n, seen.is_cut) == (50, True)


def test_nothing_that_json_has_no_word_for_is_told(ledger: Ledger, book: ReferenceBook) -> None:
    asked = Beside(days=3, reference_id=reference_of_old(book))
    seen = window(ledger, book, DIGEST, asked=asked, now=NOW)
    json.dumps(asdict(seen), default=str, allow_nan=False)
    every = next(one.reference_id for one in book.heads(DIGEST) if one.stratum == EVERY)
    rates = window(ledger, book, DIGEST, asked=Beside(reference_id=every), now=NOW)
    json.dumps(asdict(rates), default=str, allow_nan=False)


def test_readers_are_counted_with_wilsons_interval(ledger: Ledger) -> None:
    seen = readers(ledger, DIGEST, days=90, now=NOW)
    share = seen.agreement.overridden
    assert seen.agreement.assessed == 200
    assert share.count == seen.agreement.modified + seen.agreement.rejected > 0
    assert share.share is not None
    assert share.lower is not None
    assert share.upper is not None
    assert share.lower < share.share < share.upper
    (drawn,) = seen.dice
    assert len(drawn.values) == seen.agreement.modified
    assert seen.calibration == (), "a segment has no probability of its own"


def test_calibration_holds_probabilities_against_readers_words(ledger: Ledger) -> None:
    seen = readers(ledger, CLASSIFIER, days=90, now=NOW)
    (curve,) = seen.calibration
    (one,) = curve.bins
    assert (curve.category, curve.n) == ("malignant", 100)
    assert (one.predicted, one.observed.count) == (pytest.approx(0.8), 80)
    assert curve.error == pytest.approx(0.0, abs=1e-9)


def test_the_truth_that_came_later_makes_a_confusion_table(ledger: Ledger) -> None:
    assert readers(ledger, CLASSIFIER, days=90, now=NOW).truths == ()
    ledger.truths.record(
        [
            Truth(
                case_id=f"case of {CLASSIFIER[:8]}",
                finding="malignant",
                present=False,
                value=None,
                origin=Origin.PATHOLOGY,
                source="registry",
                confidence=None,
                at=NOW,
            )
        ]
    )
    (row,) = readers(ledger, CLASSIFIER, days=90, now=NOW).truths
    assert (row.finding, row.found_absent, row.found_present) == ("malignant", 1, 0)
    assert (row.specificity.share, row.sensitivity.share) == (0.0, None)


def test_each_stage_has_its_half_and_its_tail(ledger: Ledger) -> None:
    seen = latency(ledger, DIGEST, days=365, now=NOW)
    assert [(one.stage, one.p50) for one in seen.stages] == [
        ("infer", 6.0),
        ("fetch", 2.5),
        ("deliver", 1.25),
    ]
    assert latency(ledger, "e" * 64, days=365, now=NOW).stages == ()
