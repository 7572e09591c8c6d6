"""The ledger is backed up while it is written to, restored, pruned, and full."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa
from case_rows import NOON, Row, write_rows
from ledgers import make_tables
from lines import a_line, a_pipeline
from observed import BEGIN, SKYRA, log, observations
from servers import wait_for

from clic_edge.domain.case import CaseState
from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import Alarm, Channel, Direction, Severity
from clic_edge.domain.prediction import ModelIdentity, Prediction
from clic_edge.domain.volume import Geometry
from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.ledger import Ledger, room
from clic_edge.ledger.backup import back_up, restore
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.database import migrate, open_engine
from clic_edge.ledger.predictions import LoggedPrediction
from clic_edge.ledger.pruning import Retention
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import cases, drift_progress, drift_references
from clic_edge.pipeline.process import settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from clic_edge.domain.case import Case, Priority
    from clic_edge.pipeline.line import Line

DIGEST = "d" * 64
DAYS_40 = 40 * 48
NOW = BEGIN + timedelta(days=40)
TEN_DAYS = Retention(features=timedelta(days=10))


class Queue:
    """A queue in the database, as the real one: written in the transaction of the case."""

    def put(
        self,
        connection: sa.Connection,
        case_id: str,
        attempt: int,
        *,
        priority: Priority,
        delay: timedelta | None,
    ) -> None:
        """Queue the case."""
        del attempt, priority, delay
        connection.execute(sa.text("INSERT INTO queued VALUES (:one)"), {"one": case_id})


def admit_until(stop: threading.Event, ledger: Ledger) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        ledger.cases.admit(
            Admission(case_id=f"c{number}", study_id=f"s{number}", pipeline="p", series_ids=("x",))
        )


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        counted = sa.select(sa.func.count()).select_from(sa.table(table))
        return connection.scalar(counted) or 0


def another(engine: Engine, folder: Path) -> Engine:
    """Return an empty database of the same kind."""
    if engine.dialect.name == "sqlite":
        return open_engine(f"sqlite:///{folder / 'restored' / 'ledger.sqlite'}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS restored"))
        connection.execute(sa.text("CREATE DATABASE restored"))
    return open_engine(engine.url.set(database="restored").render_as_string(hide_password=False))


def test_a_backup_under_writing_load_is_of_one_moment_and_the_restored_case_goes_on(
    engine: Engine, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE queued (case_id VARCHAR(64))"))
    stop = threading.Event()
    writer = threading.Thread(target=admit_until, args=(stop, Ledger.on(engine, Queue())))
    writer.start()
    try:
        wait_for(lambda: count(engine, "cases") >= 5, "cases come")
        done = back_up(engine, tmp_path / "ledger.backup")
        held = count(engine, "cases")
        wait_for(lambda: count(engine, "cases") > held, "cases come after the backup too")
    finally:
        stop.set()
        writer.join()
    restored = another(engine, tmp_path)
    assert restore(restored, done.path) == done.digest
    migrate(restored)
    assert 5 <= count(restored, "cases") == count(restored, "queued") < count(engine, "cases")
    ledger = Ledger.on(restored)
    case = ledger.cases.begin("c1", 0)
    assert case is not None
    assert ledger.cases.close(case, CaseState.DELIVERED) is CaseState.DELIVERED
    with pytest.raises(ConfigError) as caught:
        restore(restored, done.path)
    assert caught.value.code == "ledger-there"
    restored.dispose()


def test_a_backup_that_was_changed_is_not_restored(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    make_tables(engine)
    path = tmp_path / "ledger.backup"
    back_up(engine, path)
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(ConfigError) as there:
        back_up(engine, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Defect) as changed:
        restore(another(engine, tmp_path), path)
    (tmp_path / "ledger.backup.sha256").unlink()
    with pytest.raises(ConfigError) as without:
        restore(another(engine, tmp_path), path)
    found = [one.value.code for one in (there, changed, without)]
    assert found == ["backup-there", "backup-changed", "no-backup"]


def test_a_write_ahead_log_that_is_left_behind_is_not_played_into_a_restored_ledger(
    tmp_path: Path,
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    make_tables(engine)
    done = back_up(engine, tmp_path / "ledger.backup")
    target = tmp_path / "new.sqlite"
    target.with_name("new.sqlite-wal").write_bytes(b"of another file")
    with pytest.raises(ConfigError) as caught:
        restore(open_engine(f"sqlite:///{target}"), done.path)
    assert caught.value.code == "ledger-there"


def test_a_backup_is_for_its_owner_only(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    make_tables(engine)
    done = back_up(engine, tmp_path / "ledger.backup")
    assert done.path.stat().st_mode & 0o777 == 0o600


def test_a_ledger_in_a_folder_that_a_group_shares_is_the_groups_too(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    folder.chmod(0o2770)
    engine = open_engine(f"sqlite:///{folder / 'ledger.sqlite'}")
    migrate(engine)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    done = back_up(engine, tmp_path / "one.backup")
    engine.dispose()
    for path in folder.iterdir():
        path.unlink()
    restore(engine, done.path)
    assert modes == dict.fromkeys(
        ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"), 0o660
    )
    assert (folder / "ledger.sqlite").stat().st_mode & 0o777 == 0o660


def test_the_databases_password_is_in_no_list_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(
        f'#!/bin/sh\necho "$*" > "{tmp_path}/words"\necho "$PGPASSWORD" > "{tmp_path}/password"\n'
        "exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    engine = open_engine("postgresql+psycopg://edge:s3cr%40t@db.example/ledger")
    with pytest.raises(ConfigError) as caught:
        back_up(engine, tmp_path / "ledger.backup")
    assert caught.value.code == "pg-tools-failed"
    assert "s3cr" not in (tmp_path / "words").read_text()
    assert "edge@db.example/ledger" in (tmp_path / "words").read_text()
    assert (tmp_path / "password").read_text() == "s3cr@t\n"


def test_a_backup_without_room_leaves_nothing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    make_tables(engine)
    with pytest.raises(Transient) as caught:
        back_up(engine, tmp_path / "no such folder" / "ledger.backup")
    assert caught.value.code == "backup-failed"


@pytest.mark.slow
def test_old_features_go_and_their_days_stay(engine: Engine) -> None:
    ledger = Ledger.on(engine)
    ours = observations(DAYS_40)
    log(engine, ours)
    with engine.begin() as connection:
        connection.execute(cases.update().values(state="delivered"))
    would = ledger.pruning.prune(TEN_DAYS, now=NOW, dry=True)
    assert would.features == 30 * 48
    assert ledger.pruning.prune(TEN_DAYS, now=NOW, most_days=10).features == 0, "not rolled up yet"
    gone = ledger.pruning.prune(TEN_DAYS, now=NOW)
    assert (gone.features, gone.is_rolled) == (would.features, True)
    left = ledger.features.table(DIGEST, after=None, until=NOW)
    assert left.at == tuple(one.at for one in ours[-10 * 48 :])
    rows = ledger.predictions.rows(BEGIN)
    assert len(rows) == DAYS_40
    assert (rows[0].features, len(rows[-1].features) > 0) == ((), True)
    days = ledger.days.of_feature(DIGEST, "input.noise", since=BEGIN.date())
    assert [one.n for one in days] == [48] * 40
    own = [it.number for one in ours[:48] for it in one.features if it.name == "input.noise"]
    assert days[0].stratum == SKYRA
    assert (days[0].mean, days[0].sd) == pytest.approx((np.mean(own), np.std(own)))
    assert (days[0].low, days[0].median, days[0].high) == pytest.approx(
        tuple(np.percentile(own, (5, 50, 95)))
    )
    (event,) = ledger.records.audit("")
    assert (event.action, "1440 predictions" in event.detail) == ("pruned", True)
    assert ledger.pruning.prune(TEN_DAYS, now=NOW).features == 0
    ledger.pruning.shrink()
    assert len(ledger.predictions.rows(BEGIN)) == DAYS_40


def test_what_an_open_alarm_or_an_unfinished_case_needs_stays(engine: Engine) -> None:
    ledger = Ledger.on(engine)
    log(engine, observations(96))
    now = BEGIN + timedelta(days=400)
    with engine.begin() as connection:
        connection.execute(cases.update().values(state="waiting"))
    assert ledger.pruning.prune(TEN_DAYS, now=now).features == 0
    with engine.begin() as connection:
        connection.execute(cases.update().values(state="delivered"))
    alarm = Alarm(
        alarm_id="a",
        model_id="organs",
        model_digest=DIGEST,
        reference_id=None,
        stratum=SKYRA,
        chart="stratum",
        direction=Direction.UP,
        channel=Channel.ACQUISITION,
        severity=Severity.WARNING,
        opened_at=BEGIN + timedelta(days=91),
        sentence="",
        is_event=True,
    )
    ledger.monitoring.open([alarm])
    assert ledger.pruning.prune(TEN_DAYS, now=now).features == 48, "the day before the 90 days"


def test_the_features_of_a_model_that_was_replaced_long_ago_go_too(engine: Engine) -> None:
    ledger = Ledger.on(engine)
    log(engine, observations(96))
    gone = ledger.pruning.prune(TEN_DAYS, now=BEGIN + timedelta(days=400), most_days=10)
    assert (gone.features, gone.is_rolled) == (96, True)


def test_a_day_that_is_pruned_by_half_keeps_what_was_written_of_it(engine: Engine) -> None:
    ledger = Ledger.on(engine)
    log(engine, observations(96))
    half = BEGIN + timedelta(days=11.5)
    assert ledger.pruning.prune(TEN_DAYS, now=half).features == 72
    assert ledger.pruning.prune(TEN_DAYS, now=half + timedelta(days=1)).features == 24
    days = ledger.days.of_feature(DIGEST, "input.noise", since=BEGIN.date())
    assert [one.n for one in days] == [48, 48]


def test_a_reference_that_is_charted_no_more_keeps_no_features(engine: Engine) -> None:
    ledger = Ledger.on(engine)
    log(engine, observations(96))
    for days, name in ((1, "earlier"), (2, "newest")):
        until = BEGIN + timedelta(days=days)
        kept = {"reference_id": name, "model_digest": DIGEST, "digest": "", "content": b""}
        stands = {"reference_id": name, "charted_until": until, "memory": "[]"}
        with engine.begin() as connection:
            connection.execute(drift_references.insert().values(kept | {"frozen_at": until}))
            connection.execute(drift_progress.insert().values(stands))
    assert ledger.pruning.prune(TEN_DAYS, now=BEGIN + timedelta(days=400)).features == 96


def test_two_boxes_that_prune_at_once_count_each_row_once(engine: Engine) -> None:
    other = open_engine(engine.url.render_as_string(hide_password=False))
    log(engine, observations(96))
    now = BEGIN + timedelta(days=400)
    theirs = list[int]()

    def meanwhile(*told: object) -> None:
        if "DELETE FROM feature_values" in str(told[2]) and not theirs:
            theirs.append(0)
            theirs[0] = Ledger.on(other).pruning.prune(TEN_DAYS, now=now).features

    sa.event.listen(engine, "before_cursor_execute", meanwhile)
    ours = Ledger.on(engine).pruning.prune(TEN_DAYS, now=now).features
    assert (ours, theirs) == (0, [96])
    other.dispose()


def test_the_seal_of_a_commissioning_record_stays_in_the_audit_trail(engine: Engine) -> None:
    with engine.begin() as connection:
        note_event(connection, AuditEvent(at=NOON, action="constancy-commissioned"))
    year = timedelta(days=365)
    gone = Ledger.on(engine).pruning.prune(Retention(audit=year), now=NOON + 2 * year)
    assert gone.audit == 0


def test_masks_and_events_of_ended_cases_go(engine: Engine) -> None:
    ledger = Ledger.on(engine)
    states = {"broken": CaseState.QUARANTINED, "waits": CaseState.WAITING}
    write_rows(engine, [Row(case_id=name, state=state) for name, state in states.items()])
    for name in states:
        ledger.predictions.log(logged(name), (Feature(name="x", number=1.0),))
        with engine.begin() as connection:
            row = {"at": NOON, "case_id": name, "action": "received", "detail": ""}
            connection.execute(sa.insert(sa.table("audit_events", *map(sa.column, row))), row)
    year = timedelta(days=365)
    gone = ledger.pruning.prune(Retention(masks=year, audit=year), now=NOON + 2 * year)
    assert (gone.masks, gone.audit) == (1, 1)
    assert ledger.predictions.has("p-waits")
    assert not ledger.predictions.has("p-broken")
    assert [one.action for one in ledger.records.audit("waits")] == ["received"]


def logged(case_id: str, shape: tuple[int, int, int] = (2, 2, 2)) -> LoggedPrediction:
    rng = np.random.default_rng(1)
    prediction = Prediction(
        model=ModelIdentity(model_id="m", version="1", title="M", manufacturer="us", digest=DIGEST),
        geometry=Geometry(affine=np.eye(4), shape=shape),
        label_map=rng.integers(0, 255, shape, dtype=np.uint8),
        segments=(),
        device="cpu",
        forward_seconds=0.1,
    )
    return LoggedPrediction(
        prediction_id=f"p-{case_id}",
        case_id=case_id,
        series_id="one",
        subject_id="CE-A",
        series_uid="2.25.1",
        prediction=prediction,
        slices=(),
    )


def test_two_boxes_on_one_database_log_each_prediction_once(engine: Engine) -> None:
    other = open_engine(engine.url.render_as_string(hide_password=False))
    boxes = [Ledger.on(engine), Ledger.on(other)]
    write_rows(engine, [Row(case_id=f"c{n}", state=CaseState.RUNNING) for n in range(12)])

    def both(box: Ledger) -> None:
        for number in range(12):
            features = (Feature(name=f"of {number % 3}", number=1.0),)
            box.predictions.log(logged(f"c{number}"), features)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(both, boxes))
    rows = boxes[0].predictions.rows(datetime.min.replace(tzinfo=UTC))
    assert sorted(one.case_id for one in rows) == sorted(f"c{n}" for n in range(12))
    assert {len(one.features) for one in rows} == {1}
    assert boxes[1].features.names().numbers == ("of 0", "of 1", "of 2")
    other.dispose()


def test_a_case_that_finds_the_disk_full_waits_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    make_tables(engine)
    ledger = Ledger.on(engine)
    ledger.cases.admit(Admission(case_id="c", study_id="s", pipeline="p", series_ids=("one",)))
    line = replace(a_line(a_pipeline()), ledger=ledger)

    def stage(line: Line, case: Case) -> None:
        features = (Feature(name="x", number=1.0),)
        line.ledger.predictions.log(logged(case.case_id, (64, 64, 64)), features)

    full = _limit(engine, pages=16)
    assert settle(stage, "c", 0, line=line) == CaseState.WAITING
    case = ledger.cases.case("c")
    assert case.code == "disk-full"
    assert str(tmp_path) in case.reason
    assert "bytes free" in case.reason
    assert ledger.predictions.rows(datetime.min.replace(tzinfo=UTC)) == (), "nothing by half"
    full()
    assert settle(stage, "c", case.attempt, line=line) == CaseState.RUNNING
    assert ledger.predictions.has("p-c")


def _limit(engine: Engine, *, pages: int) -> Callable[[], None]:
    """Let the database grow by so many pages and no more; return what takes that back."""
    with engine.connect() as connection:
        now = connection.exec_driver_sql("PRAGMA page_count").scalar() or 0

    def limit(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
        connection.cursor().execute(f"PRAGMA max_page_count={now + pages}")

    def lift() -> None:
        sa.event.remove(engine, "connect", limit)
        engine.dispose()

    engine.dispose()
    sa.event.listen(engine, "connect", limit)
    return lift


def test_a_prediction_leaves_room_for_the_states_of_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    make_tables(engine)
    ledger = Ledger.on(engine)
    ledger.cases.admit(Admission(case_id="c", study_id="s", pipeline="p", series_ids=("one",)))
    monkeypatch.setattr(room, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(Transient) as caught:
        ledger.predictions.log(logged("c"), ())
    assert caught.value.code == "disk-full"
    assert ledger.cases.begin("c", 0) is not None
