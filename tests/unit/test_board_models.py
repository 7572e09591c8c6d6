"""What the pages of the models show: states, charts with their designs, notes, references."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from half_years import DIGEST, NEW, OLD, PERSON, PLACE, HalfYear, fill
from ledgers import make_tables

from clic_edge.board.models import models
from clic_edge.board.references import ReferenceBook
from clic_edge.board.wall import AT_ONCE, Asked, wall
from clic_edge.domain.annotation import Annotation, AnnotationKind
from clic_edge.domain.monitoring import EVERY, Channel, Severity
from clic_edge.domain.standing import ModelState
from clic_edge.drift.plan import Policy
from clic_edge.errors import ConfigError
from clic_edge.ledger.database import open_engine

if TYPE_CHECKING:
    from clic_edge.ledger import Ledger

NOW = datetime.now(UTC)
TODAY = NOW.date()


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    engine = open_engine("sqlite://")
    make_tables(engine)
    return fill(engine, HalfYear(), now=NOW)


@pytest.fixture(scope="module")
def book(ledger: Ledger) -> ReferenceBook:
    return ReferenceBook(ledger, Policy())


@pytest.mark.slow
def test_a_model_says_where_it_stands_and_where_it_may_go(ledger: Ledger) -> None:
    (one,) = models(ledger, NOW).models
    assert (one.pipeline, one.state, one.digest) == ("organs", ModelState.ACTIVE, DIGEST)
    assert one.may_become == (ModelState.SHADOW, ModelState.SUSPENDED, ModelState.RETIRED)
    assert (one.open_alarms, one.severity) == (2, Severity.ACTION)
    assert one.shadow is None


def test_a_day_in_numbers_counts_studies_and_not_series(ledger: Ledger) -> None:
    later = models(ledger, NOW - timedelta(days=3)).models[0]
    assert later.studies == 1, "all predictions of the half year are of one case"
    assert (later.refused, later.failed) == (0, 0)
    assert later.p95_seconds == 0


def test_the_history_is_told_with_its_chain(ledger: Ledger) -> None:
    seen = models(ledger, NOW)
    assert (seen.links, seen.broken) == (1, "")
    assert [(one.was, one.now) for one in seen.moves] == [(None, ModelState.ACTIVE)]


def test_the_chart_that_came_nearest_to_its_limit_stands_first(
    ledger: Ledger, book: ReferenceBook
) -> None:
    seen = wall(ledger, book, DIGEST, asked=Asked(), today=TODAY)
    heights = [max(side.highest for side in one.sides) for one in seen.charts]
    assert seen.charts[0].chart == "input.noise"
    assert heights == sorted(heights, reverse=True)
    assert any(side.alarming for side in seen.charts[0].sides)
    (alarm,) = seen.charts[0].alarms
    assert alarm.severity is Severity.ACTION


def test_every_chart_states_its_false_alarms_and_its_delays(
    ledger: Ledger, book: ReferenceBook
) -> None:
    seen = wall(ledger, book, DIGEST, asked=Asked(), today=TODAY)
    designs = [side.design for one in seen.charts for side in one.sides]
    assert designs
    assert all(0 < one.false_alarms_per_year <= 1.1 for one in designs)
    assert all(one.delays and all(it.points >= 1 for it in one.delays) for one in designs)
    assert seen.false_alarms_per_year == Policy().false_alarms_per_year


def test_a_part_of_the_wall_is_chosen_by_channel_scanner_and_period(
    ledger: Ledger, book: ReferenceBook
) -> None:
    images = wall(ledger, book, DIGEST, asked=Asked(channel=Channel.IMAGE), today=TODAY)
    assert {one.channel for one in images.charts} == {Channel.IMAGE}
    assert images.total == len(images.charts) <= AT_ONCE
    every = next(one for one in images.references if one.stratum == EVERY)
    rates = wall(ledger, book, DIGEST, asked=Asked(reference_id=every.reference_id), today=TODAY)
    assert all(one.chart.startswith(("rate.", "truth.")) for one in rates.charts)
    brief = wall(ledger, book, DIGEST, asked=Asked(days=30), today=TODAY)
    assert brief.first == TODAY - timedelta(days=29)
    assert all(day.day >= brief.first for one in brief.charts for s in one.sides for day in s.days)


def test_a_page_beyond_the_last_is_the_last(ledger: Ledger, book: ReferenceBook) -> None:
    seen = wall(ledger, book, DIGEST, asked=Asked(page=99), today=TODAY)
    assert seen.page == seen.pages


def test_new_software_is_a_note_by_itself_and_a_scanner_without_reference(
    ledger: Ledger, book: ReferenceBook
) -> None:
    seen = wall(ledger, book, DIGEST, asked=Asked(), today=TODAY)
    assert seen.others == (NEW,)
    assert [(one.stratum, one.kind, one.person) for one in seen.notes if not one.person] == [
        (NEW, AnnotationKind.SOFTWARE, "")
    ]


def test_a_reference_of_six_hundred_studies_is_not_provisional(book: ReferenceBook) -> None:
    heads = book.heads(DIGEST)
    assert {one.stratum for one in heads} == {OLD, EVERY}
    assert [one.provisional for one in heads] == [False, False]
    assert all(one.newest and one.frozen_by == PERSON for one in heads)


def test_a_model_without_reference_has_no_charts(ledger: Ledger, book: ReferenceBook) -> None:
    seen = wall(ledger, book, "e" * 64, asked=Asked(), today=TODAY)
    assert (seen.reference, seen.charts, seen.total) == (None, (), 0)


def _note(**changes: object) -> Annotation:
    given = Annotation(
        at=NOW,
        day=TODAY - timedelta(days=2),
        stratum=OLD,
        kind=AnnotationKind.RECALIBRATION,
        text="New head coil.",
        person=PERSON,
    )
    return replace(given, **changes)  # type: ignore[arg-type]  # fields of the value


def test_a_note_is_kept_once_told_on_the_charts_and_in_the_audit_trail(
    ledger: Ledger, book: ReferenceBook
) -> None:
    assert ledger.annotations.add(_note())
    assert not ledger.annotations.add(_note())
    elsewhere = replace(OLD, model_name="Vida")
    ledger.annotations.add(_note(stratum=elsewhere, text="Somewhere else."))
    told = [one.text for one in wall(ledger, book, DIGEST, asked=Asked(), today=TODAY).notes]
    assert "New head coil." in told
    assert "Somewhere else." not in told
    (event,) = [one for one in ledger.records.audit("") if "coil" in one.detail]
    assert (event.action, event.detail) == (
        "annotated",
        f"recalibration of {TODAY - timedelta(days=2)}, by {PERSON}: New head coil.",
    )


@pytest.mark.parametrize("changes", [{"text": " "}, {"person": ""}, {"text": "x" * 401}])
def test_a_note_that_says_nothing_is_refused(ledger: Ledger, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as raised:
        ledger.annotations.add(_note(**changes))
    assert raised.value.code == "annotation-empty"


def test_the_place_is_the_one_of_the_half_year() -> None:
    assert PLACE.digest == DIGEST
