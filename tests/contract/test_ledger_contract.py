"""One contract for the ledger on SQLite, on PostgreSQL and in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from case_rows import NOON, Row, a_certificate, write_rows
from factories import NOW
from ledgers import make_tables

from clic_edge.board.cases import case_page, case_sample
from clic_edge.domain.assessment import Assessment, Reason, Source, Verdict
from clic_edge.domain.case import CaseState
from clic_edge.domain.feature import Feature
from clic_edge.domain.prediction import (
    CategoryFinding,
    Code,
    Detection,
    Measurement,
    ModelIdentity,
    OperatingPoint,
    ParametricMap,
    Prediction,
    SegmentDefinition,
    SegmentFinding,
)
from clic_edge.domain.result import Receipt, ResultKind, ResultObject, SeriesRefusal
from clic_edge.domain.volume import Geometry, SliceSource
from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.ledger import Ledger, search
from clic_edge.ledger.assessments import standing
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.database import migrate, open_engine, require_ledger
from clic_edge.ledger.metadata import metadata
from clic_edge.ledger.predictions import LoggedPrediction
from clic_edge.ledger.search import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from clic_edge.domain.case import Case, Priority


class RecordingQueue:
    """A queue that remembers what was put into it, in the caller's transaction or not at all."""

    def __init__(self) -> None:
        self.put_in: list[tuple[str, int]] = []
        self.fails = False

    def put(
        self,
        connection: sa.Connection,
        case_id: str,
        attempt: int,
        *,
        priority: Priority,
        delay: timedelta | None,
    ) -> None:
        """Remember the attempt, or fail as a queue may."""
        del connection, priority, delay
        if self.fails:
            message = "the queue is broken"
            raise RuntimeError(message)
        self.put_in.append((case_id, attempt))


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "postgresql":
        opened = request.getfixturevalue("empty_postgres")()
    else:
        database = f"/{tmp_path / 'ledger.sqlite'}" if request.param == "sqlite" else ""
        opened = open_engine(f"sqlite://{database}")
        make_tables(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def queue() -> RecordingQueue:
    return RecordingQueue()


@pytest.fixture
def ledger(engine: Engine, queue: RecordingQueue) -> Ledger:
    return Ledger.on(engine, queue)


def admission(case_id: str = "c1", **changes: object) -> Admission:
    values = {"study_id": "study", "pipeline": "hippocampus", "series_ids": ("s1", "s2")}
    return Admission(case_id=case_id, **(values | changes))


def begun(ledger: Ledger, case_id: str = "c1", attempt: int = 0) -> Case:
    case = ledger.cases.begin(case_id, attempt)
    assert case is not None
    return case


def test_the_migrations_make_the_tables_of_the_schema(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        differences = compare_metadata(context, metadata)
    assert differences == []


def test_migrating_again_changes_nothing(engine: Engine, ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    migrate(engine)
    assert ledger.cases.case("c1").series_ids == ("s1", "s2")


def test_a_database_of_a_newer_version_is_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError) as caught:
        migrate(engine)
    assert caught.value.code == "database-newer"


def test_a_migration_that_ends_in_the_middle_has_done_nothing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.sqlite")

    def die(*told: object) -> None:
        if "CREATE TABLE truths" in str(told[2]):
            raise KeyboardInterrupt

    sa.event.listen(engine, "before_cursor_execute", die)
    with pytest.raises(KeyboardInterrupt):
        migrate(engine)
    assert sa.inspect(engine).get_table_names() == []
    sa.event.remove(engine, "before_cursor_execute", die)
    migrate(engine)
    require_ledger(engine)


@pytest.mark.parametrize(
    ("revision", "code"), [("0001", "ledger-older"), ("9999", "database-newer")]
)
def test_a_ledger_of_another_version_is_not_read(tmp_path: Path, revision: str, code: str) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.sqlite")
    migrate(engine)
    require_ledger(engine)
    with engine.begin() as connection:
        moved = sa.text("UPDATE alembic_version SET version_num = :revision")
        connection.execute(moved, {"revision": revision})
    with pytest.raises(ConfigError) as caught:
        require_ledger(engine)
    assert caught.value.code == code


def test_a_database_that_cannot_be_opened_is_tried_again_later(tmp_path: Path) -> None:
    with pytest.raises(Transient) as caught:
        migrate(open_engine(f"sqlite:///{tmp_path}/no/such/folder/ledger.sqlite"))
    assert caught.value.code == "database-away"


@pytest.mark.parametrize("url", ["nonsense", "oracle+nope://x/y"])
def test_a_url_that_means_nothing_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_engine(url)
    assert caught.value.code == "database-url"


def test_a_case_is_admitted_and_queued_once(ledger: Ledger, queue: RecordingQueue) -> None:
    first = ledger.cases.admit(admission())
    again = ledger.cases.admit(admission())
    assert first.state is CaseState.RECEIVED
    assert again == first
    assert queue.put_in == [("c1", 0)]


def test_many_who_admit_the_same_case_at_once_admit_one(
    engine: Engine, ledger: Ledger, queue: RecordingQueue
) -> None:
    in_memory = engine.url.database is None  # one connection, so one thread
    with ThreadPoolExecutor(1 if in_memory else 8) as threads:
        list(threads.map(lambda _: ledger.cases.admit(admission()), range(16)))
    assert queue.put_in == [("c1", 0)]
    assert len(ledger.cases.of_study("study")) == 1


def test_a_case_that_cannot_be_queued_is_not_admitted(
    ledger: Ledger, queue: RecordingQueue
) -> None:
    queue.fails = True
    with pytest.raises(RuntimeError):
        ledger.cases.admit(admission())
    assert ledger.cases.of_study("study") == ()


def test_a_study_without_pipeline_ends_as_refused_with_its_reason(
    ledger: Ledger, queue: RecordingQueue
) -> None:
    case = ledger.cases.admit(
        admission(pipeline="-", series_ids=(), code="no-pipeline", reason="modality is CT")
    )
    assert (case.state, case.code, case.reason) == (
        CaseState.REFUSED,
        "no-pipeline",
        "modality is CT",
    )
    assert queue.put_in == []


def test_an_attempt_begins_only_while_it_is_the_current_one(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    case = begun(ledger)
    ledger.cases.wait(case, delay=timedelta(minutes=1), code="pacs-down", reason="down")
    assert ledger.cases.begin("c1", 0) is None
    assert begun(ledger, attempt=1).state is CaseState.RUNNING


def test_the_start_of_a_case_is_kept_through_every_retry(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    first = begun(ledger)
    ledger.cases.wait(first, delay=timedelta(0), code="pacs-down", reason="down")
    assert first.started_at is not None
    assert begun(ledger, attempt=1).started_at == first.started_at


def test_waiting_twice_for_one_attempt_queues_one_retry(
    ledger: Ledger, queue: RecordingQueue
) -> None:
    ledger.cases.admit(admission())
    case = begun(ledger)
    for _ in range(2):
        ledger.cases.wait(case, delay=timedelta(hours=1), code="pacs-down", reason="down")
    waiting = ledger.cases.case("c1")
    assert queue.put_in == [("c1", 0), ("c1", 1)]
    assert waiting.state is CaseState.WAITING
    assert waiting.next_attempt_at is not None
    assert waiting.next_attempt_at > datetime.now(UTC) + timedelta(minutes=50)


def test_a_case_ends_once(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    case = begun(ledger)
    assert ledger.cases.close(case, CaseState.REFUSED, code="gap", reason="a gap") == "refused"
    assert ledger.cases.close(case, CaseState.DELIVERED) is CaseState.REFUSED
    assert ledger.cases.case("c1").code == "gap"


def test_a_new_case_of_a_study_supersedes_the_delivered_one(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.cases.close(begun(ledger), CaseState.DELIVERED)
    ledger.cases.admit(admission("c2"))
    assert ledger.cases.case("c1").state is CaseState.SUPERSEDED
    assert ledger.cases.case("c2").state is CaseState.RECEIVED


def test_a_study_that_is_again_what_it_was_is_a_new_case_once(
    ledger: Ledger, queue: RecordingQueue
) -> None:
    """A patient that was merged by mistake, and parted again: what was said first was taken back."""
    for name in ("c1", "c2", "c1", "c1", "c2", "c1"):
        ledger.cases.admit(admission(name))
    cases = ledger.cases.of_study("study")
    assert {case.case_id: case.state for case in cases} == {
        "c1": "superseded",
        "c2": "superseded",
        "c1.2": "superseded",
        "c2.2": "superseded",
        "c1.3": "received",
    }
    assert [case.content_id for case in cases] == ["c1", "c2", "c1", "c2", "c1"]
    assert queue.put_in == [(case.case_id, 0) for case in cases]


def test_a_new_case_leaves_refused_ones_and_other_pipelines_alone(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.cases.close(begun(ledger), CaseState.REFUSED, code="gap", reason="a gap")
    ledger.cases.admit(admission("c2", pipeline="other"))
    ledger.cases.close(begun(ledger, "c2"), CaseState.DELIVERED)
    ledger.cases.admit(admission("c3"))
    states = {case.case_id: case.state for case in ledger.cases.of_study("study")}
    assert states == {"c1": "refused", "c2": "delivered", "c3": "received"}


def test_a_study_that_a_pipeline_takes_at_last_is_refused_no_more(ledger: Ledger) -> None:
    ledger.cases.admit(admission(pipeline="-", series_ids=(), code="no-pipeline", reason="CT"))
    ledger.cases.admit(admission("c2"))
    states = {case.case_id: case.state for case in ledger.cases.of_study("study")}
    assert states == {"c1": "superseded", "c2": "received"}


def test_a_ledger_is_required_before_it_is_read(engine: Engine, tmp_path: Path) -> None:
    missing = tmp_path / "none.sqlite"
    with pytest.raises(ConfigError) as caught:
        require_ledger(open_engine(f"sqlite:///{missing}"))
    assert caught.value.code == "no-ledger"
    assert not missing.exists()
    if engine.url.database is not None:  # in memory there is no file to look for
        require_ledger(engine)
    with pytest.raises(Transient) as away:
        require_ledger(open_engine("postgresql+psycopg://nobody@127.0.0.1:1/none"))
    assert away.value.code == "database-away"


def test_a_running_case_that_became_stale_ends_as_superseded(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    running = begun(ledger)
    ledger.cases.admit(admission("c2"))
    assert ledger.cases.close(running, CaseState.DELIVERED) is CaseState.SUPERSEDED


def test_a_person_can_retry_what_waits_was_refused_or_quarantined(
    ledger: Ledger, queue: RecordingQueue
) -> None:
    ledger.cases.admit(admission())
    ledger.cases.close(begun(ledger), CaseState.QUARANTINED, code="defect", reason="broken")
    again = ledger.cases.retry("c1")
    assert (again.state, again.attempt, again.expedited) == (CaseState.RECEIVED, 1, True)
    assert queue.put_in[-1] == ("c1", 1)


def test_a_case_whose_study_had_gone_runs_when_the_study_is_back_and_no_other_refused_one(
    ledger: Ledger, queue: RecordingQueue
) -> None:
    ledger.cases.admit(admission())
    ledger.cases.close(begun(ledger), CaseState.REFUSED, code="study-gone", reason="gone")
    back = ledger.cases.admit(admission())
    assert (back.state, back.attempt, back.code) == (CaseState.RECEIVED, 1, "")
    assert queue.put_in[-1] == ("c1", 1)
    ledger.cases.close(begun(ledger, attempt=1), CaseState.REFUSED, code="tilt", reason="no")
    assert ledger.cases.admit(admission()).state is CaseState.REFUSED


@pytest.mark.parametrize("end", [CaseState.DELIVERED, CaseState.SUPERSEDED])
def test_what_is_delivered_cannot_be_run_again(ledger: Ledger, end: CaseState) -> None:
    ledger.cases.admit(admission())
    ledger.cases.close(begun(ledger), end)
    with pytest.raises(ConfigError) as caught:
        ledger.cases.retry("c1")
    assert caught.value.code == "case-not-retryable"


def test_a_case_that_does_not_exist_is_named(ledger: Ledger) -> None:
    with pytest.raises(ConfigError) as caught:
        ledger.cases.case("nothing")
    assert caught.value.code == "no-such-case"


def test_asking_for_it_now_expedites_a_case_that_waits(
    ledger: Ledger, queue: RecordingQueue
) -> None:
    ledger.cases.admit(admission())
    ledger.cases.wait(begun(ledger), delay=timedelta(days=1), code="x", reason="y")
    case = ledger.cases.admit(admission(expedited=True))
    assert (case.state, case.attempt, case.expedited) == (CaseState.RECEIVED, 2, True)
    assert queue.put_in[-1] == ("c1", 2)


def test_a_case_outside_the_queue_is_rescued_unless_it_moved_on(
    ledger: Ledger, queue: RecordingQueue
) -> None:
    seen = ledger.cases.admit(admission())
    ledger.cases.rescue(seen)
    ledger.cases.rescue(seen)
    assert queue.put_in == [("c1", 0), ("c1", 1)]


def test_the_newest_cases_are_listed_oldest_first(ledger: Ledger) -> None:
    for number in range(5):
        ledger.cases.admit(admission(f"c{number}", study_id=f"study{number}"))
    ledger.cases.close(begun(ledger, "c4"), CaseState.DELIVERED)
    assert [case.case_id for case in ledger.cases.all(limit=2)] == ["c3", "c4"]
    assert [case.case_id for case in ledger.cases.all([CaseState.DELIVERED])] == ["c4"]


def test_every_move_of_a_case_is_in_the_audit(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.cases.wait(begun(ledger), delay=timedelta(0), code="x", reason="the PACS is down")
    ledger.cases.close(begun(ledger, attempt=1), CaseState.DELIVERED)
    audit = ledger.records.audit("c1")
    assert [event.action for event in audit] == ["received", "waiting", "delivered"]
    assert audit[1].detail == "the PACS is down"


def test_a_naive_datetime_is_not_stored(engine: Engine) -> None:
    update = metadata.tables["cases"].update().values(updated_at=datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    with pytest.raises(sa.exc.StatementError), engine.begin() as connection:
        connection.execute(update)


def logged(case_id: str = "c1") -> LoggedPrediction:
    label_map = np.zeros((3, 4, 5), np.uint8)
    label_map[1, 2, 3] = 1
    affine = np.diag([2.0, 1.0, 1.0, 1.0])
    affine.flags.writeable = label_map.flags.writeable = False
    code = Code(value="123037004", scheme="SCT", meaning="Anatomical Structure")
    definition = SegmentDefinition(
        number=1,
        name="anterior",
        label="Anterior",
        category=code,
        property_type=code,
        modifier=Code(value="255549009", scheme="SCT", meaning="Anterior"),
    )
    largest = Measurement(name=code, value=4.5, unit=code, derivation=code)
    finding = SegmentFinding(
        definition=definition,
        voxel_count=1,
        volume_mm3=2.0,
        mean_probability=0.9,
        measurements=(largest,),
    )
    model = ModelIdentity(
        model_id="m",
        version="1",
        title="M",
        manufacturer="clic-edge",
        digest="d" * 64,
        operating_point=OperatingPoint(name="balanced", threshold=0.5),
    )
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5)
    values.flags.writeable = False
    return LoggedPrediction(
        prediction_id="p1",
        case_id=case_id,
        series_id="s1",
        subject_id="CE-1",
        series_uid="2.25.1",
        prediction=Prediction(
            model=model,
            geometry=Geometry(affine=affine, shape=(3, 4, 5)),
            label_map=label_map,
            segments=(finding,),
            device="cpu",
            forward_seconds=0.5,
            categories=(
                CategoryFinding(
                    name="old", label="Old", concept=code, value=code, probability=0.25, chosen=True
                ),
            ),
            detections=(
                Detection(
                    name="nodule 1",
                    label="Nodule",
                    finding=code,
                    site=None,
                    probability=0.75,
                    corners_mm=((0.0, 0.5, 1.0), (2.0, 3.0, 4.0)),
                ),
            ),
            maps=(
                ParametricMap(
                    name="heat", label="Heat", quantity=code, unit=code, values=values, segment=1
                ),
            ),
        ),
        slices=tuple(SliceSource(instance_index=k, frame_number=1) for k in (2, 1, 0)),
    )


FEATURES = (
    Feature(name="input.manufacturer", text="Phantom Works"),
    Feature(name="output.anterior.volume_mm3", number=2.0),
)


def test_a_logged_prediction_comes_back_as_it_was(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.predictions.log(logged(), FEATURES)
    (back,) = ledger.predictions.of_case("c1", "d" * 64)
    given = logged()
    assert np.array_equal(back.prediction.label_map, given.prediction.label_map)
    assert np.array_equal(back.prediction.geometry.affine, given.prediction.geometry.affine)
    assert back.prediction.segments == given.prediction.segments
    assert back.prediction.model == given.prediction.model
    assert back.prediction.categories == given.prediction.categories
    assert back.prediction.detections == given.prediction.detections
    ((heat,), (given_heat,)) = (back.prediction.maps, given.prediction.maps)
    assert replace(heat, values=given_heat.values) == given_heat
    assert np.array_equal(heat.values, given_heat.values)
    assert (back.slices, back.subject_id) == (given.slices, given.subject_id)
    assert not back.prediction.label_map.flags.writeable
    assert not heat.values.flags.writeable
    assert ledger.predictions.of_case("c1", "another model") == ()


def test_a_prediction_is_logged_once(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    for _ in range(2):
        ledger.predictions.log(logged(), FEATURES)
    (row,) = ledger.predictions.rows(datetime.now(UTC) - timedelta(minutes=1))
    assert row.features == FEATURES
    assert ledger.predictions.has("p1")
    assert not ledger.predictions.has("p2")


def test_how_a_series_was_cleaned_is_kept_once_whatever_models_saw_it(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    given = a_certificate("c1")
    later = replace(given, made_at="2026-03-02T13:00:00+00:00", signature="3" * 128)
    shadow = replace(logged(), prediction_id="p2")
    ledger.predictions.log(logged(), FEATURES, cleaned=given)
    ledger.predictions.log(shadow, FEATURES, with_mask=False, cleaned=later)
    assert ledger.certificates.of_case("c1") == (given,)
    other = replace(later, profile="research")
    ledger.predictions.log(replace(logged(), prediction_id="p3"), FEATURES, cleaned=other)
    assert ledger.certificates.of_case("c1") == (given, other)
    assert ledger.certificates.of_case("c2") == ()


def test_no_prediction_is_written_without_how_its_series_was_cleaned(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    with pytest.raises(sa.exc.IntegrityError):
        ledger.predictions.log(logged(), FEATURES, cleaned=a_certificate("none"))
    assert ledger.predictions.of_one_case("c1") == ()


def test_predictions_before_the_moment_asked_for_are_left_out(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.predictions.log(logged(), FEATURES)
    assert ledger.predictions.rows(datetime.now(UTC) + timedelta(minutes=1)) == ()


def test_a_delivered_case_keeps_its_row_and_drops_its_mask(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    case = begun(ledger)
    ledger.predictions.log(logged(), FEATURES)
    ledger.cases.close(case, CaseState.DELIVERED)
    assert ledger.predictions.of_case("c1", "d" * 64) == ()
    assert len(ledger.predictions.rows(datetime.now(UTC) - timedelta(minutes=1))) == 1


def result(content: bytes = b"object", number: int = 7) -> ResultObject:
    return ResultObject(
        kind=ResultKind.SEG,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
        series_instance_uid="2.25.6",
        sop_instance_uid=f"2.25.{number}",
        content=content,
    )


def test_the_same_result_is_recorded_once_and_another_under_its_name_is_a_defect(
    ledger: Ledger,
) -> None:
    ledger.cases.admit(admission())
    for _ in range(2):
        ledger.deliveries.record("c1", (result(),))
    assert len(ledger.deliveries.results("c1")) == 1
    with pytest.raises(Defect) as caught:
        ledger.deliveries.record("c1", (result(b"other"),))
    assert caught.value.code == "result-not-repeatable"


def accepted(number: int, destination: str = "pacs") -> Receipt:
    return Receipt(
        destination=destination, sop_instance_uid=f"2.25.{number}", accepted=True, status="0x0000"
    )


def test_a_new_case_replaces_what_destinations_took_of_all_cases_before_it(ledger: Ledger) -> None:
    for number, name in enumerate(("c1", "c2", "c3"), start=1):
        ledger.cases.admit(admission(name))
        ledger.deliveries.record(name, (result(number=number),))
    ledger.deliveries.receive((accepted(1), accepted(1, "archive"), accepted(3)))
    (replaced,) = ledger.deliveries.replaced("c3")  # 2 never reached anyone, 3 is what holds now
    assert replaced.sop_instance_uid == "2.25.1"
    assert replaced.series_instance_uid == "2.25.6"


def test_what_a_quarantined_case_delivered_is_replaced_too(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.deliveries.record("c1", (result(number=1),))
    ledger.deliveries.receive((accepted(1),))
    ledger.cases.close(begun(ledger), CaseState.QUARANTINED, code="broken", reason="Broken.")
    ledger.cases.admit(admission("c2"))
    assert len(ledger.deliveries.replaced("c2")) == 1
    assert ledger.cases.case("c1").state is CaseState.QUARANTINED, "a person still looks"


def test_a_refusal_is_forgotten_when_another_model_analyses_the_series(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    for series_id in ("s1", "s2"):
        refusal = SeriesRefusal(series_id=series_id, code="broken", reason="Broken.", withheld=True)
        ledger.deliveries.refuse("c1", refusal, model_digest="old")
    ledger.deliveries.forgive("c1", "s1")
    (left,) = ledger.deliveries.refusals("c1")
    assert (left.series_id, left.withheld) == ("s2", True)


def test_ours_is_ours_whatever_became_of_it(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.deliveries.record("c1", (result(number=1),))
    ledger.cases.admit(admission("c2"))
    assert ledger.deliveries.is_ours("2.25.1")
    assert not ledger.deliveries.is_ours("2.25.2")


def test_a_refused_case_that_runs_again_says_everything_anew(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    refusal = SeriesRefusal(series_id="s1", code="gap", reason="A slice is missing.")
    ledger.deliveries.refuse("c1", refusal, model_digest="d")
    assert ledger.deliveries.refusals("c1", "d") == (refusal,)
    assert ledger.deliveries.refusals("c1", "another model") == ()
    ledger.deliveries.record("c1", (result(),))
    ledger.deliveries.receive((accepted(7),))
    ledger.cases.close(begun(ledger), CaseState.REFUSED, code="gap", reason="A slice is missing.")
    ledger.cases.retry("c1")
    assert ledger.deliveries.refusals("c1", "d") == ()
    assert ledger.deliveries.results("c1") == ()
    assert len(ledger.deliveries.replaced("c1")) == 1
    ledger.deliveries.record("c1", (result(),))
    assert len(ledger.deliveries.results("c1")) == 1
    assert ledger.deliveries.replaced("c1") == ()


def test_a_rejection_note_of_an_earlier_run_counts_once_it_was_accepted(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    notes = [replace(result(number=n), kind=ResultKind.REJECTION) for n in (1, 2)]
    ledger.deliveries.record("c1", (result(), *notes))
    ledger.deliveries.receive((accepted(7), accepted(1)))
    assert ledger.deliveries.taken_back("c1") == 0, "it is what the case says now"
    ledger.deliveries.set_aside("c1")
    assert ledger.deliveries.taken_back("c1") == 1, "the other reached nobody"
    assert ledger.deliveries.taken_back("c2") == 0


def test_a_case_that_is_withdrawn_while_another_person_asks_for_it_stays_withdrawn(
    ledger: Ledger, engine: Engine
) -> None:
    ledger.cases.admit(admission())
    ledger.deliveries.record("c1", (result(),))
    ledger.deliveries.receive((accepted(7),))
    ledger.cases.close(begun(ledger), CaseState.QUARANTINED, code="broken", reason="Broken.")
    first = [True]

    def withdraw(_c: object, _k: object, statement: str, *_: object) -> None:
        if first and statement.startswith("UPDATE"):
            first.clear()
            ledger.withdrawals.withdraw("c1", person="Ida", reason="The wrong side.")

    sa.event.listen(engine, "before_cursor_execute", withdraw)
    with pytest.raises(ConfigError, match="case-not-retryable"):
        ledger.cases.retry("c1")
    assert ledger.cases.case("c1").state is CaseState.WITHDRAWN


def test_a_waiting_case_that_runs_again_keeps_its_results(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.deliveries.record("c1", (result(),))
    ledger.cases.wait(begun(ledger), delay=timedelta(hours=1), code="away", reason="It is away.")
    ledger.cases.retry("c1")
    assert len(ledger.deliveries.results("c1")) == 1


def said(verdict: Verdict, *, minute: int = 0, reader: str = "reader-1") -> Assessment:
    return Assessment(
        case_id="c1",
        prediction_id="p1",
        finding="anterior",
        verdict=verdict,
        reason=None if verdict is Verdict.ACCEPTED else Reason.BOUNDARY,
        reader=reader,
        source=Source.PAGE,
        at=NOW + timedelta(minutes=minute),
    )


def test_an_assessment_is_remembered_once_and_a_later_one_stands_beside_it(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.predictions.log(logged(), FEATURES)
    first, again = said(Verdict.ACCEPTED), said(Verdict.ACCEPTED, minute=1)
    changed = replace(said(Verdict.MODIFIED, minute=2), dice=0.8, volume_mm3=12.5)
    other = said(Verdict.REJECTED, minute=3, reader="reader-2")
    assert ledger.assessments.record([first]) == 1
    assert ledger.assessments.record([again]) == 0
    assert ledger.assessments.record([changed, other]) == 2
    assert ledger.assessments.of_case("c1") == (first, changed, other)
    assert ledger.assessments.since(changed.at) == (changed, other)
    assert standing(ledger.assessments.of_case("c1")) == (changed, other)
    details = [e.detail for e in ledger.records.audit("c1") if e.action == "assessed"]
    assert details == [
        "anterior: accepted",
        "anterior: modified, boundary",
        "anterior: rejected, boundary",
    ]


def test_the_newest_answer_of_a_destination_counts(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    ledger.deliveries.record("c1", (result(),))
    for accepted, status in ((False, "0xA700"), (True, "0x0000")):
        receipt = Receipt(
            destination="pacs", sop_instance_uid="2.25.7", accepted=accepted, status=status
        )
        ledger.deliveries.receive((receipt,))
    (newest,) = ledger.deliveries.receipts("c1")
    assert (newest.accepted, newest.status) == (True, "0x0000")


def test_cursors_and_stage_times_are_overwritten(ledger: Ledger) -> None:
    ledger.cases.admit(admission())
    assert ledger.records.cursor("changes") == 0
    for value in (10, 20):
        ledger.records.advance("changes", value)
        ledger.records.time_stage("c1", "predict", float(value))
    assert ledger.records.cursor("changes") == 20
    assert ledger.records.stages("c1") == (("predict", 20.0),)


# --- looking for cases, and taking results back


@pytest.mark.parametrize("rare", [0, 5000])
def test_cases_are_found_alike_on_every_database(
    engine: Engine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, rare: int
) -> None:
    monkeypatch.setattr(search, "_RARE", rare)
    scanner = {"input.manufacturer": "SIEMENS", "input.model_name": "Skyra"}
    rows = [Row(case_id=f"c{number}", model="organs", scanner=scanner) for number in range(3)]
    write_rows(engine, [*rows, Row(case_id="other", received_at=NOON.replace(year=2025))])
    wanted = Wanted(
        states=(CaseState.DELIVERED,),
        model="organs",
        manufacturer="SIEMENS",
        since=NOON,
        text="c",
    )
    first = case_page(ledger, wanted, limit=2)
    second = case_page(ledger, wanted, limit=2, after=first.after)
    assert [one.case_id for page in (first, second) for one in page.cases] == ["c2", "c1", "c0"]
    assert (first.count, second.after) == (3, None)
    assert {one.models for one in first.cases} == {("organs 1.0",)}
    assert len(case_sample(ledger, wanted, size=2, seed=1).cases) == 2


def test_results_are_taken_back_once_and_who_did_it_stays(engine: Engine, ledger: Ledger) -> None:
    write_rows(engine, [Row(case_id="c1", model="organs"), Row(case_id="c2", model="organs")])
    sent = Receipt(destination="pacs", sop_instance_uid="2.25.c1", accepted=True, status="0x0000")
    ledger.deliveries.receive((sent,))
    assert [ledger.withdrawals.can(one) for one in ("c1", "c2")] == [True, False]
    ledger.withdrawals.withdraw("c1", person="Ida", reason="The wrong side.")
    for case_id in ("c1", "c2"):
        with pytest.raises(ConfigError, match="case-not-withdrawable"):
            ledger.withdrawals.withdraw(case_id, person="Ida", reason="Again.")
    assert ledger.cases.case("c1").state is CaseState.WITHDRAWN
    assert [one.person for one in ledger.withdrawals.untold()] == ["Ida"]
    ledger.withdrawals.tried("c1", hindrance="archive-unreachable")
    ledger.withdrawals.tried("c1")
    assert ledger.withdrawals.untold() == ()
    assert [one.action for one in ledger.records.audit("c1")] == ["withdrawn", "withdrawal-told"]
