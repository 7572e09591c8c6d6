"""A retrospective run: a few at a time, behind the others, each study once whatever dies."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from ledgers import make_tables
from lines import Shelf, a_ledger, a_pipeline, a_series, a_study
from observed import BEGIN, log, observations

from clic_edge.domain.batch import Batch, BatchState, Progress, StudyState
from clic_edge.domain.case import CaseState, Priority
from clic_edge.domain.standing import ModelState, Placement
from clic_edge.errors import ConfigError, Transient
from clic_edge.ledger import Ledger
from clic_edge.ledger.batch_tables import batch_studies
from clic_edge.ledger.database import open_engine
from clic_edge.pipeline.batch import Run, parse_query, require_shadow
from clic_edge.pipeline.intake import intake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TODAY = date(2026, 5, 4)
PIPELINE = a_pipeline()


@dataclass(kw_only=True)
class Drawer:
    """An archive beside the appliance's: what is fetched out of it lies on the shelf."""

    shelf: Shelf
    uids: list[str]
    brings: bool = True
    fails: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)

    def find(self, _query: Mapping[str, str]) -> Iterator[str]:
        """Yield every study."""
        yield from self.uids

    def fetch(self, uid: str) -> str | None:
        """Put the study on the shelf."""
        if uid in self.fails:
            raise Transient("retrieve-failed", "It could not be fetched.")
        self.fetched.append(uid)
        series = a_series(f"series of {uid}", description="T1")
        self.shelf.studies[uid] = replace(
            a_study(series, silence=0.0, study_id=uid), study_instance_uid=uid
        )
        return uid

    def here(self, uid: str) -> str | None:
        """Return what lies on the shelf."""
        return uid if uid in self.shelf.studies else None


@pytest.fixture
def ledger() -> Ledger:
    return a_ledger()


def a_run(ledger: Ledger, drawer: Drawer, *, room: int = 2, per_hour: int = 0) -> Run:
    batch = Batch(
        batch_id="b1",
        pipeline="brain",
        source="pacs",
        query="StudyDate=20250101-20251231",
        per_hour=per_hour,
        room=room,
        state=BatchState.OPEN,
        created_at=datetime.now(UTC),
    )
    if not ledger.batches.all():
        ledger.batches.begin(batch)
    return Run(
        batch=batch,
        query={},
        limit=0,
        pipeline=PIPELINE,
        source=drawer,
        archive=drawer.shelf,  # type: ignore[arg-type]  # reads are all that is asked
        ledger=ledger,
    )


def end_all(ledger: Ledger) -> int:
    """Let every open case be delivered, as a worker would; return how many there were."""
    found = ledger.cases.under_way()
    for case in found:
        begun = ledger.cases.begin(case.case_id, case.attempt)
        assert begun
        ledger.cases.close(begun, CaseState.DELIVERED)
    return len(found)


def a_drawer(count: int = 5) -> Drawer:
    return Drawer(shelf=Shelf(), uids=[f"1.2.3.{number}" for number in range(count)])


@pytest.mark.parametrize(
    "query",
    [
        *("", "StudyDate", "StudyDate=", "PatientID=1,StudyDate=20250101-20250102"),
        *("Modality=MR", "StudyDate=20250101-20260504", "StudyDate=20250101-", "StudyDate=2025*"),
    ],
)
def test_a_query_that_names_a_person_or_reaches_today_is_refused(query: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_query(query, today=TODAY, brings=True)
    assert refused.value.code == "batch-query"


def test_a_query_is_asked_at_the_level_of_studies() -> None:
    asked = parse_query("Modality=MR, StudyDate=20250101-20260503", today=TODAY, brings=True)
    assert asked == {"ModalitiesInStudy": "MR", "StudyDate": "20250101-20260503"}
    assert parse_query("Modality=MR", today=TODAY, brings=False)


def test_every_study_becomes_a_background_case_and_never_more_than_there_is_room_for(
    ledger: Ledger,
) -> None:
    drawer, most = a_drawer(), [0]

    def tell(seen: Progress) -> None:
        most[0] = max(most[0], len(ledger.cases.under_way()))
        assert all(one.priority is Priority.BACKGROUND for one in ledger.cases.under_way())
        assert all(one.due_at is None for one in ledger.cases.under_way())
        assert seen.total == 5
        end_all(ledger)

    assert a_run(ledger, drawer).drive(threading.Event(), tell) is BatchState.DONE
    seen = ledger.batches.progress("b1", datetime.now(UTC))
    assert (most, seen.count(StudyState.ENDED), seen.ends) == ([2], 5, (("delivered", 5),))
    assert seen.lately == 5


def test_a_batch_that_was_killed_goes_on_and_runs_nothing_twice(ledger: Ledger) -> None:
    drawer, stop = a_drawer(), threading.Event()

    def stop_at_once(_seen: Progress) -> None:
        stop.set()

    assert a_run(ledger, drawer).drive(stop, stop_at_once) is BatchState.OPEN
    first = ledger.batches.pending("b1", 9)[0]
    ledger.batches.put("b1", first, StudyState.FETCHING)  # where the kill found it
    again = a_run(ledger, drawer)
    assert again.drive(threading.Event(), lambda _: bool(end_all(ledger))) is BatchState.DONE
    assert sorted(drawer.fetched) == sorted(drawer.uids)
    assert len(ledger.cases.all()) == 5


def test_a_study_that_fails_holds_up_no_other_and_is_tried_again_by_a_resume(
    ledger: Ledger,
) -> None:
    drawer = a_drawer()
    drawer.fails = {"1.2.3.0"}
    a_run(ledger, drawer).drive(threading.Event(), lambda _: bool(end_all(ledger)))
    seen = ledger.batches.progress("b1", datetime.now(UTC))
    assert (seen.count(StudyState.FAILED), seen.count(StudyState.ENDED)) == (1, 4)
    drawer.fails = set()
    ledger.batches.move("b1", BatchState.OPEN)
    a_run(ledger, drawer).drive(threading.Event(), lambda _: bool(end_all(ledger)))
    assert ledger.batches.progress("b1", datetime.now(UTC)).count(StudyState.ENDED) == 5


@pytest.mark.parametrize("state", [BatchState.PAUSED, BatchState.CANCELLED])
def test_a_batch_that_somebody_stops_begins_nothing_more(ledger: Ledger, state: BatchState) -> None:
    drawer = a_drawer()

    def stop(_seen: Progress) -> None:
        ledger.batches.move("b1", state, person="Ida")

    assert a_run(ledger, drawer).drive(threading.Event(), stop) is state
    assert len(drawer.fetched) == 2


def test_so_many_an_hour_and_no_more(ledger: Ledger) -> None:
    drawer, stop = a_drawer(), threading.Event()

    def look(_seen: Progress) -> None:
        end_all(ledger)
        stop.set()

    a_run(ledger, drawer, room=5, per_hour=1).drive(stop, look)
    assert len(drawer.fetched) == 1


def test_what_a_batch_brings_makes_no_other_cases_until_new_images_come(ledger: Ledger) -> None:
    drawer = a_drawer(1)
    other = a_pipeline("other", description="T1")
    run = a_run(ledger, drawer)
    ledger.batches.enlist("b1", run._enlist())
    (digest,) = ledger.batches.pending("b1", 1)
    ledger.batches.put("b1", digest, StudyState.FETCHING)
    drawer.fetch("1.2.3.0")
    both = (PIPELINE, other)

    def taken_in() -> int:
        shelf = drawer.shelf
        return len(intake("1.2.3.0", both, archive=shelf, ledger=ledger))  # type: ignore[arg-type]

    assert taken_in() == 0
    run._admit(digest, "1.2.3.0")
    assert taken_in() == 0
    study = drawer.shelf.studies["1.2.3.0"]
    grown = a_series("series of 1.2.3.0", description="T1", instances=3)
    drawer.shelf.studies["1.2.3.0"] = replace(study, series=(grown,))
    assert taken_in() == 2


def killed_while_fetching(ledger: Ledger, drawer: Drawer) -> None:
    """Leave a batch as a SIGKILL leaves it in the middle of its only study."""
    run = a_run(ledger, drawer)
    ledger.batches.enlist("b1", run._enlist())
    (digest,) = ledger.batches.pending("b1", 1)
    ledger.batches.put("b1", digest, StudyState.FETCHING)
    drawer.fetch("1.2.3.0")


def taken_in(ledger: Ledger, drawer: Drawer) -> int:
    shelf = drawer.shelf
    return len(intake("1.2.3.0", (PIPELINE,), archive=shelf, ledger=ledger))  # type: ignore[arg-type]


def test_a_study_that_was_being_fetched_at_a_kill_is_fetched_again_and_makes_no_cases_meanwhile(
    ledger: Ledger,
) -> None:
    drawer, found = a_drawer(1), list[int]()
    killed_while_fetching(ledger, drawer)
    again, stop = a_run(ledger, drawer), threading.Event()
    stop.set()
    assert again.drive(stop, lambda _: None) is BatchState.OPEN
    assert ledger.batches.pending("b1", 9)
    assert not ledger.batches.fetching("b1")
    found.append(taken_in(ledger, drawer))
    again.drive(threading.Event(), lambda _: bool(end_all(ledger)))
    found.append(taken_in(ledger, drawer))
    assert found == [0, 0]
    assert drawer.fetched == ["1.2.3.0"] * 2
    (case,) = ledger.cases.of_study("1.2.3.0")
    assert (case.state, case.priority) == (CaseState.DELIVERED, Priority.BACKGROUND)


def test_a_study_that_a_killed_batch_was_fetching_is_anybody_s_after_an_hour(
    ledger: Ledger,
) -> None:
    drawer = a_drawer(1)
    killed_while_fetching(ledger, drawer)
    assert taken_in(ledger, drawer) == 0
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    with ledger.batches._engine.begin() as connection:
        connection.execute(batch_studies.update().values(updated_at=long_ago))
    assert taken_in(ledger, drawer) == 1


def test_what_came_of_a_study_that_failed_halfway_makes_no_cases_of_its_own(ledger: Ledger) -> None:
    drawer = a_drawer(1)
    drawer.fetch("1.2.3.0")
    drawer.fails.add("1.2.3.0")
    run = a_run(ledger, drawer)
    assert run.drive(threading.Event(), lambda _: None) is BatchState.DONE
    shelf = drawer.shelf
    assert intake("1.2.3.0", (PIPELINE,), archive=shelf, ledger=ledger) == ()  # type: ignore[arg-type]
    drawer.fails.clear()
    ledger.batches.move("b1", BatchState.OPEN)
    run.drive(threading.Event(), lambda _: bool(end_all(ledger)))
    (case,) = ledger.cases.of_study("1.2.3.0")
    assert case.priority is Priority.BACKGROUND


@pytest.mark.parametrize(("silence", "cases"), [(0.0, 2), (100_000.0, 0)])
def test_a_study_that_came_by_itself_lately_gets_its_own_cases_beside_the_batch(
    ledger: Ledger, silence: float, cases: int
) -> None:
    drawer = a_drawer(1)
    drawer.brings = False
    run = a_run(ledger, drawer)
    ledger.batches.enlist("b1", run._enlist())
    (digest,) = ledger.batches.pending("b1", 1)
    drawer.fetch("1.2.3.0")
    study = drawer.shelf.studies["1.2.3.0"]
    drawer.shelf.studies["1.2.3.0"] = replace(study, seconds_since_last_instance=silence)
    run._admit(digest, "1.2.3.0")
    both, shelf = (PIPELINE, a_pipeline("other", description="T1")), drawer.shelf
    taken = intake("1.2.3.0", both, archive=shelf, ledger=ledger)  # type: ignore[arg-type]
    assert len(taken) == cases


def test_a_study_that_the_rule_does_not_take_and_one_that_was_done_are_no_new_cases(
    ledger: Ledger,
) -> None:
    drawer = a_drawer(2)
    first = drawer.fetch("1.2.3.0")
    assert first
    intake(first, (PIPELINE,), archive=drawer.shelf, ledger=ledger)  # type: ignore[arg-type]
    assert end_all(ledger) == 1
    drawer.brings = False
    run = replace(a_run(ledger, drawer), pipeline=PIPELINE)
    run.drive(threading.Event(), lambda _: bool(end_all(ledger)))
    seen = ledger.batches.progress("b1", datetime.now(UTC))
    assert (seen.count(StudyState.KNOWN), seen.count(StudyState.ENDED)) == (1, 1)
    assert not run.ledger.batches.pending("b1", 1)


def test_a_batch_in_the_shadow_does_not_begin_where_a_model_is_active(ledger: Ledger) -> None:
    place = Placement(pipeline="brain", model_id="m", version="1", digest="d" * 64)
    require_shadow(ledger, "brain")
    ledger.standing.enrol(place, [], decides=True)
    with pytest.raises(ConfigError) as refused:
        require_shadow(ledger, "brain")
    assert refused.value.code == "batch-not-shadow"
    ledger.standing.move(place, ModelState.SUSPENDED, person="Ida", reason="It missed two.")
    require_shadow(ledger, "brain")


def test_rows_of_a_batch_hold_no_uid(ledger: Ledger) -> None:
    drawer = a_drawer(1)
    a_run(ledger, drawer).drive(threading.Event(), lambda _: bool(end_all(ledger)))
    with ledger.batches._engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM batch_studies").all()
    assert rows
    assert "1.2.3.0" not in str(rows)
    assert timedelta(0) < datetime.now(UTC) - ledger.batches.all()[0].created_at


def test_the_monitor_leaves_out_what_a_batch_made(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.sqlite")
    make_tables(engine)
    ledger = Ledger.on(engine)
    log(engine, observations(9))
    until = datetime.now(UTC) + timedelta(days=999)

    def watched() -> int:
        return len(ledger.observations.of_model("d" * 64, after=None, until=until))

    assert watched()
    (case_id, *_) = (row.case_id for row in ledger.predictions.rows(BEGIN))
    a_run(ledger, a_drawer(0))
    ledger.batches.enlist("b1", ["e" * 64])
    ledger.batches.put("b1", "e" * 64, StudyState.RUNNING, case_id=case_id)
    assert not watched()
