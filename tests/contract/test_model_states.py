"""The states of models, on SQLite and on PostgreSQL: every move, and no other."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from source import ROOT

from clic_edge.domain.standing import (
    BY_CONFIGURATION,
    CONFIGURATION,
    TRANSITIONS,
    ModelState,
    Placement,
    Serving,
)
from clic_edge.errors import ConfigError, Defect
from clic_edge.ledger import Ledger
from clic_edge.ledger.schema import model_events, serving

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from clic_edge.ledger.standing import StandingStore

S = ModelState
EVIDENCE = "{}"
PERSON = "A. Jensen"


@pytest.fixture
def standing(engine: Engine) -> StandingStore:
    return Ledger.on(engine).standing


def placed(digest: str = "a", pipeline: str = "brain") -> Placement:
    return Placement(pipeline=pipeline, model_id="m", version="1", digest=digest * 64)


def bring(standing: StandingStore, to: ModelState | None, place: Placement) -> None:
    """Bring a model to a state by the shortest way that a person may go."""
    ways: dict[ModelState | None, list[ModelState]] = {
        None: [],
        S.INSTALLED: [S.INSTALLED],
        S.TESTING: [S.INSTALLED, S.TESTING],
        S.SHADOW: [S.INSTALLED, S.TESTING, S.SHADOW],
        S.ACTIVE: [S.INSTALLED, S.TESTING, S.SHADOW, S.ACTIVE],
        S.SUSPENDED: [S.INSTALLED, S.TESTING, S.SHADOW, S.ACTIVE, S.SUSPENDED],
        S.RETIRED: [S.INSTALLED, S.RETIRED],
    }
    for step in ways[to]:
        standing.move(place, step, person=PERSON, reason="way", evidence=EVIDENCE)


def test_every_move_is_allowed_or_refused_as_the_table_says(standing: StandingStore) -> None:
    states = [None, *S]
    for number, (was, to) in enumerate(product(states, S)):
        for table, person in ((TRANSITIONS, PERSON), (BY_CONFIGURATION, CONFIGURATION)):
            place = placed(pipeline=f"{number} {person}")
            bring(standing, was, place)
            if to in table[was]:
                event = standing.move(place, to, person=person, reason="why", evidence=EVIDENCE)
                assert (event.was, event.now) == (was, to)
            else:
                with pytest.raises(ConfigError) as caught:
                    standing.move(place, to, person=person, reason="why", evidence=EVIDENCE)
                assert caught.value.code == "transition-not-allowed"
            newest = standing.standing(place.pipeline).get(place.digest)
            assert (newest.now if newest else None) == (to if to in table[was] else was)
    assert standing.verify() == len(standing.history())


def test_nothing_leaves_retirement_and_only_a_known_model_moves_on() -> None:
    assert TRANSITIONS[S.RETIRED] == BY_CONFIGURATION[S.RETIRED] == frozenset()
    assert TRANSITIONS[None] == {S.INSTALLED}
    assert set(TRANSITIONS) == set(BY_CONFIGURATION) == {None, *S}
    assert all(
        S.RETIRED in ways for was, ways in TRANSITIONS.items() if was not in {None, S.RETIRED}
    )


def test_the_page_says_where_a_person_may_move_a_model() -> None:
    page = (ROOT / "docs" / "how-to" / "model-states.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (\w+) \| .* \| ([\w, ]+) \|$", page)
    told = {S(was): {S(to) for to in ways.split(", ") if to != "nowhere"} for was, ways in rows[1:]}
    assert told == {was: ways for was, ways in TRANSITIONS.items() if was}


def test_who_becomes_active_sends_the_one_before_into_the_shadow(standing: StandingStore) -> None:
    bring(standing, S.ACTIVE, placed("a"))
    bring(standing, S.ACTIVE, placed("a", "other"))
    bring(standing, S.ACTIVE, placed("b"))
    states = {digest[0]: one.now for digest, one in standing.standing("brain").items()}
    assert states == {"a": S.SHADOW, "b": S.ACTIVE}
    assert standing.standing("other")["a" * 64].now is S.ACTIVE
    assert "took its place" in standing.standing("brain")["a" * 64].reason


def test_many_at_once_leave_one_active_model_and_a_whole_chain(standing: StandingStore) -> None:
    letters = "abcdef"
    for one in letters:
        bring(standing, S.SHADOW, placed(one))

    def promote(one: str) -> None:
        standing.move(placed(one), S.ACTIVE, person=PERSON, reason="race", evidence=EVIDENCE)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(promote, letters))
    now = [one.now for one in standing.standing("brain").values()]
    assert sorted(now) == [S.ACTIVE, *[S.SHADOW] * 5]
    assert standing.verify() == 6 * 3 + 6 + 5


def test_no_person_makes_a_model_active_without_evidence(standing: StandingStore) -> None:
    bring(standing, S.SHADOW, placed())
    with pytest.raises(ConfigError) as caught:
        standing.move(placed(), S.ACTIVE, person=PERSON, reason="I like it")
    assert caught.value.code == "acceptance-missing"


def test_an_event_says_who_when_why_from_and_to(standing: StandingStore) -> None:
    before = datetime.now(UTC)
    standing.move(placed(), S.INSTALLED, person=PERSON, reason="New scanner.")
    (event,) = standing.history("brain")
    assert (event.seq, event.person, event.reason) == (1, PERSON, "New scanner.")
    assert (event.was, event.now, event.placement) == (None, S.INSTALLED, placed())
    assert timedelta() <= event.at - before < timedelta(minutes=1)
    assert standing.history("other") == ()


@pytest.mark.parametrize(
    "change",
    [
        sa.update(model_events).where(model_events.c.seq == 2).values(reason="Another."),
        sa.update(model_events).where(model_events.c.seq == 2).values(person="B. Hansen"),
        sa.update(model_events).where(model_events.c.seq == 3).values(evidence="{ }"),
        sa.delete(model_events).where(model_events.c.seq == 2),
        sa.delete(model_events).where(model_events.c.seq == 1),
    ],
    ids=["reason", "person", "evidence", "one-deleted", "first-deleted"],
)
def test_an_event_that_was_changed_or_deleted_is_noticed(
    engine: Engine, standing: StandingStore, change: sa.Update | sa.Delete
) -> None:
    bring(standing, S.ACTIVE, placed())
    assert standing.verify() == 4
    with engine.begin() as connection:
        connection.execute(change)
    with pytest.raises(Defect) as caught:
        standing.verify()
    assert caught.value.code == "audit-broken"


# --- what the pipeline's file says


def states(standing: StandingStore) -> dict[str, str]:
    return {digest[0]: one.now for digest, one in standing.standing("brain").items()}


def test_the_files_model_is_active_and_its_challengers_are_in_the_shadow(
    standing: StandingStore,
) -> None:
    for _ in range(2):
        standing.enrol(placed("a"), [placed("b")], decides=True)
    assert states(standing) == {"a": S.ACTIVE, "b": S.SHADOW}
    assert [one.person for one in standing.history()] == [CONFIGURATION] * 2


def test_where_the_file_does_not_decide_models_are_only_installed(standing: StandingStore) -> None:
    for _ in range(2):
        standing.enrol(placed("a"), [placed("b")], decides=False)
    assert states(standing) == {"a": S.INSTALLED, "b": S.INSTALLED}


def test_another_model_in_the_file_takes_the_place_of_the_one_before(
    standing: StandingStore,
) -> None:
    standing.enrol(placed("a"), [placed("b")], decides=True)
    standing.enrol(placed("b"), [placed("a")], decides=True)
    assert states(standing) == {"a": S.SHADOW, "b": S.ACTIVE}
    standing.enrol(placed("c"), [], decides=True)
    assert states(standing) == {"a": S.SHADOW, "b": S.SHADOW, "c": S.ACTIVE}


@pytest.mark.parametrize("end", [S.SUSPENDED, S.RETIRED])
def test_the_file_does_not_bring_back_what_a_person_ended(
    standing: StandingStore, end: ModelState
) -> None:
    standing.enrol(placed("a"), [], decides=True)
    standing.move(placed("a"), end, person=PERSON, reason="It missed two.")
    standing.enrol(placed("a"), [], decides=True)
    assert states(standing) == {"a": end}


def test_the_file_does_not_undo_a_promotion(standing: StandingStore) -> None:
    standing.enrol(placed("a"), [placed("b")], decides=True)
    standing.move(placed("b"), S.ACTIVE, person=PERSON, reason="Better.", evidence=EVIDENCE)
    standing.enrol(placed("a"), [placed("b")], decides=True)
    assert states(standing) == {"a": S.SHADOW, "b": S.ACTIVE}


def test_another_model_in_the_file_does_not_take_the_place_of_one_that_a_person_promoted(
    standing: StandingStore,
) -> None:
    standing.enrol(placed("a"), [placed("b")], decides=True)
    standing.move(placed("b"), S.ACTIVE, person=PERSON, reason="Better.", evidence=EVIDENCE)
    for _ in range(2):
        standing.enrol(placed("c"), [placed("b")], decides=True)
    assert states(standing) == {"a": S.SHADOW, "b": S.ACTIVE, "c": S.SHADOW}
    standing.move(placed("b"), S.SUSPENDED, person=PERSON, reason="It missed two.")
    standing.enrol(placed("d"), [placed("b")], decides=True)
    assert states(standing) == {"a": S.SHADOW, "b": S.SUSPENDED, "c": S.SHADOW, "d": S.ACTIVE}


def test_a_worker_whose_file_names_another_model_waits_until_the_first_has_gone(
    standing: StandingStore, engine: Engine
) -> None:
    first, second = Serving(instance="1", name="one"), Serving(instance="2", name="two")
    standing.enrol(placed("a"), [placed("b")], decides=True, by=first)
    standing.enrol(placed("a"), [], decides=True, by=second)
    standing.enrol(placed("b"), [], decides=False, by=Serving(instance="3", name="persons decide"))
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            standing.enrol(placed("b"), [], decides=True, by=second)
        assert caught.value.code == "pipeline-differs"
        standing.still_serving("1")
    assert states(standing) == {"a": S.ACTIVE, "b": S.SHADOW}
    with engine.begin() as connection:  # it crashed, while its clock ran ahead
        later = datetime.now(UTC) + timedelta(days=365)
        connection.execute(serving.update().where(serving.c.instance == "1").values(until=later))
    standing.enrol(placed("b"), [], decides=True, by=second)
    assert states(standing) == {"a": S.SHADOW, "b": S.ACTIVE}


def test_two_workers_that_start_together_write_the_same_once(standing: StandingStore) -> None:
    def start(_: int) -> None:
        standing.enrol(placed("a"), [placed("b")], decides=True)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(start, range(4)))
    assert states(standing) == {"a": S.ACTIVE, "b": S.SHADOW}
    assert standing.verify() == 2
