"""What Prometheus reads: right after a restart, and behind every rule and every panel."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from collectors import make_certificate
from ledgers import make_tables
from observed import BEGIN, STEP, Habit, acceptance, log, observations
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from servers import require
from source import ROOT

from clic_edge import __version__, telemetry
from clic_edge.domain.accounting import (
    DayAccount,
    Difference,
    DifferenceCount,
    DifferenceKind,
)
from clic_edge.domain.deadline import LateCause, Risk
from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.domain.standing import ModelState, Placement
from clic_edge.drift.plan import Policy
from clic_edge.ledger import Ledger
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.notices import ChannelRule
from clic_edge.ledger.schema import (
    cases,
    constancy_records,
    constancy_runs,
    receipts,
    result_objects,
)
from clic_edge.metrics import FAMILIES, LedgerCollector
from clic_edge.pipeline.monitoring import freeze_references, watch_models

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy as sa
    from sqlalchemy.engine import Engine

PROMETHEUS = ROOT / "appliance" / "prometheus"
BOARD = ROOT / "appliance" / "grafana" / "clic-edge.json"
PAGE = ROOT / "docs" / "reference" / "metrics.md"
CANARY = "JENSEN^CANARY"
DIGEST = "d" * 64


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return a ledger in which everything has happened once."""
    opened = open_engine(f"sqlite:///{tmp_path_factory.mktemp('metrics') / 'ledger.sqlite'}")
    make_tables(opened)
    ledger = Ledger.on(opened)
    frozen_at = BEGIN + 320 * STEP
    log(opened, observations(320))
    freeze_references(ledger, acceptance(frozen_at=frozen_at))
    odd = Habit(shift={"input.noise": 2.0}, words={"input.sequence_variant": CANARY})
    log(opened, observations(30, begin=frozen_at + STEP, habit=odd, seed=2))
    watch_models(ledger, Policy(), now=frozen_at + 40 * STEP)
    place = Placement(pipeline="organs", model_id="organs", version="1", digest=DIGEST)
    ledger.standing.enrol(place, [], decides=True)
    ledger.standing.move(place, ModelState.SUSPENDED, person="Ida", reason="It missed two.")
    for number in range(3):
        admission = Admission(
            case_id=str(number) * 64, study_id=f"s{number}", pipeline="organs", series_ids=("x",)
        )
        ledger.cases.admit(replace(admission, due_at=datetime.now(UTC) if number else None))
    late = {"cause": LateCause.QUEUE, "cases": 2, "ahead": 1, "is_missed": True}
    ledger.deadlines.see([Risk(pipeline="organs", **late)], datetime.now(UTC))  # type: ignore[arg-type]
    notice = Notice(kind=NoticeKind.TEST, key="1", at=datetime.now(UTC), urgency=Urgency.ERROR)
    ledger.notices.put(notice)
    rule = ChannelRule(name="email", at_least=Urgency.ERROR, pause=timedelta())
    ledger.notices.take(rule, now=datetime.now(UTC))
    ledger.notices.sent("email", [notice.notice_id], at=datetime.now(UTC))
    ledger.accounting.keep(*_an_account())
    with opened.begin() as connection:
        _more(connection)
    return opened


def _an_account() -> tuple[DayAccount, tuple[Difference, ...]]:
    missing = DifferenceKind.RESULT_MISSING
    account = DayAccount(
        day=date(2026, 3, 2),
        made_at=datetime.now(UTC),
        entered=0,
        outcomes=(),
        results=0,
        receipts=0,
        arrivals=None,
        comparisons=(),
        differences=(DifferenceCount(kind=missing, destination="pacs", count=1),),
    )
    return account, (Difference(kind=missing, study_id="s", destination="pacs"),)


def _more(connection: sa.Connection) -> None:
    old = datetime.now(UTC) - timedelta(hours=2)
    first, second = (cases.c.case_id == sign * 64 for sign in "01")
    connection.execute(cases.update().where(first).values(state="quarantined", code="bad-network"))
    connection.execute(cases.update().where(second).values(received_at=old))
    made = {"case_id": "0" * 64, "kind": "SR", "digest": "", "sop_class_uid": "1"}
    made |= {"series_instance_uid": "1", "current": True}
    for number, accepted in enumerate((True, True, False)):
        connection.execute(result_objects.insert().values(sop_instance_uid=str(number), **made))
        answer = {"destination": "pacs", "sop_instance_uid": str(number), "accepted": accepted}
        connection.execute(receipts.insert().values(status="", received_at=old, **answer))
    run = {"protocol": "nightly", "pipeline": "organs", "model_digest": DIGEST}
    sealed = {"record_id": "r", "at": old, "digest": "", "content": b""}
    connection.execute(constancy_records.insert().values(**run | sealed))
    named = {"model_id": "organs", "model_version": "1", "version": 1, "started_by": "schedule"}
    for number, verdict in enumerate(("failed", "passed")):
        at = old + timedelta(minutes=number)
        times = {"started_at": at, "alive_at": at, "ended_at": at, "run_id": str(number)}
        rest = {"record_id": "r", "verdict": verdict, "reason": "", "environment": "[]"}
        connection.execute(constancy_runs.insert().values(**run | named | times | rest))


@pytest.fixture(scope="module")
def told(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what a process that has just started answers, its own counters touched once."""
    telemetry.case_moved(case_id="c", pipeline="p", state="delivered")
    telemetry.stage_finished(case_id="c", pipeline="p", stage="write", seconds=1)
    telemetry.prediction_made(case_id="c", pipeline="p", model="m 1", device="cpu")
    telemetry.receipt_came(case_id="c", destination="pacs", accepted=True)
    telemetry.assessed(case_id="c", source="page")
    telemetry.constancy_ended(pipeline="p", state="passed")
    telemetry.look_failed(source="reports", code="disk-full", error="Transient")
    registry = CollectorRegistry()
    folder = tmp_path_factory.mktemp("tls")
    certificate = make_certificate(folder).certificate
    registry.register(LedgerCollector(Ledger.on(engine), folder, certificate))
    return (generate_latest(REGISTRY) + generate_latest(registry)).decode()


def exported(told: str) -> set[str]:
    """Return the name of each series."""
    return set(re.findall(r"(?m)^(clic_edge_\w+)[{ ]", told))


@pytest.mark.parametrize(
    "line",
    [
        "clic_edge_ledger_up 1.0",
        f'clic_edge_build_info{{version="{__version__}"}} 1.0',
        'clic_edge_open_cases{state="received"} 2.0',
        'clic_edge_open_cases{state="waiting"} 0.0',
        'clic_edge_ledger_cases{pipeline="organs",state="quarantined"} 1.0',
        'clic_edge_deadline_cases_at_risk{cause="queue",pipeline="organs"} 2.0',
        'clic_edge_intake_pressure{pressure="disk"} 0.0',
        'clic_edge_deadline_results{pipeline="organs",result="missed"} 2.0',
        'clic_edge_ledger_ended_cases{code="bad-network",pipeline="organs",state="quarantined"} 1.0',
        'clic_edge_ledger_receipts{destination="pacs",result="accepted"} 2.0',
        'clic_edge_ledger_receipts{destination="pacs",result="rejected"} 1.0',
        'clic_edge_model_state{model="organs",pipeline="organs",state="suspended",version="1"} 1.0',
        'clic_edge_model_state{model="organs",pipeline="organs",state="active",version="1"} 0.0',
        'clic_edge_references{model="organs"} 2.0',
        'clic_edge_provisional_references{model="organs"} 0.0',
        'clic_edge_open_alarms{model="organs",severity="advisory"} 0.0',
        'clic_edge_constancy_last_run_passed{pipeline="organs",protocol="nightly"} 1.0',
        'clic_edge_notices{channel="email",state="sent"} 1.0',
        'clic_edge_account_differences{destination="pacs",kind="result-missing"} 1.0',
        "clic_edge_account_last_day_end_timestamp_seconds 1.772496e+09",
    ],
)
def test_the_ledger_is_in_numbers_right_after_a_start(told: str, line: str) -> None:
    def in_order(text: str) -> tuple[str, ...]:
        name, _, rest = text.partition("{")
        labels, _, value = rest.partition("} ")
        return (name, *sorted(labels.split(",")), value)

    assert in_order(line) in {in_order(one) for one in told.splitlines()}


def test_ages_moments_and_the_disk_are_plausible(told: str) -> None:
    values = dict(re.findall(r"(?m)^(clic_edge_\w+(?:\{[^}]*\})?) (\S+)$", told))
    age = float(values['clic_edge_oldest_open_case_age_seconds{pipeline="organs"}'])
    assert timedelta(hours=2) <= timedelta(seconds=age) < timedelta(hours=3)
    action = float(values['clic_edge_open_alarms{model="organs",severity="action"}'])
    assert action >= 1
    free, size = (float(values[f"clic_edge_disk_{one}_bytes"]) for one in ("free", "size"))
    assert 0 < free <= size
    expiry = float(values["clic_edge_certificate_expiry_timestamp_seconds"])
    assert timedelta() < datetime.fromtimestamp(expiry, UTC) - datetime.now(UTC) <= timedelta(1)
    (run,) = [float(at) for name, at in values.items() if "constancy_last_run_timestamp" in name]
    assert run == pytest.approx(
        (datetime.now(UTC) - timedelta(hours=2)).timestamp(), abs=timedelta(hours=1).total_seconds()
    )


def test_no_word_of_an_image_becomes_a_label(told: str, engine: Engine) -> None:
    assert any(CANARY in one.sentence for one in Ledger.on(engine).monitoring.alarms())
    assert CANARY not in told
    assert "SIEMENS" not in told


def test_a_ledger_that_is_away_is_said_and_ends_no_scrape(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    empty = open_engine(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    registry.register(LedgerCollector(Ledger.on(empty), tmp_path, tmp_path / "no.pem"))
    text = generate_latest(registry).decode()
    assert "clic_edge_ledger_up 0.0" in text
    assert "clic_edge_open_cases{" not in text


def test_the_page_of_metrics_names_each_with_its_labels(told: str) -> None:
    rows = re.findall(r"(?m)^\| `(clic_edge_\w+)` \| (\w+) \| (.*?) \|", PAGE.read_text("utf-8"))
    types = dict(re.findall(r"(?m)^# TYPE (clic_edge_\w+) (\w+)$", told))
    assert {name: kind for name, kind, _ in rows} == {
        name: kind for name, kind in types.items() if not name.endswith("_created")
    }
    labels = {name: set(re.findall(r"`(\w+)`", cell)) for name, _, cell in rows}
    for one in FAMILIES:
        assert labels[one.name] == set(one.labels), one.name
    for name in labels.keys() - {one.name for one in FAMILIES}:
        series = re.findall(rf"(?m)^{name}\w*\{{([^}}]*)\}}", told)
        found = {label for one in series for label in re.findall(r'(\w+)="', one)} - {"le"}
        assert labels[name] == found, name


# --- rules and board


def queried(expression: str) -> set[str]:
    return set(re.findall(r"\bclic_edge_\w+", expression))


def test_every_rule_asks_for_metrics_that_exist_and_leads_to_a_page(told: str) -> None:
    text = (PROMETHEUS / "clic-edge.rules.yml").read_text("utf-8")
    expressions = re.findall(r"(?m)^ +expr: (.+)$", text)
    assert expressions
    assert {name for one in expressions for name in queried(one)} <= exported(told)
    runbooks = re.findall(r"(?m)^ +runbook: (.+)$", text)
    assert len(runbooks) == len(expressions)
    assert all((ROOT / one).is_file() for one in runbooks)


def test_every_panel_of_the_board_asks_for_metrics_that_exist(told: str) -> None:
    board = json.loads(BOARD.read_text("utf-8"))
    panels = board["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    asked = [target["expr"] for one in panels for target in one["targets"]]
    assert all(one["targets"] for one in panels)
    assert {name for one in asked for name in queried(one)} <= exported(told)
    ours = {one.name for one in FAMILIES} - {
        "clic_edge_build_info",
        "clic_edge_certificate_expiry_timestamp_seconds",
        "clic_edge_ledger_receipts",
        "clic_edge_ledger_up",
        "clic_edge_worker_heartbeat_timestamp_seconds",
    }
    assert ours <= {name for one in asked for name in queried(one)}, "shown to nobody"


# --- as Prometheus sees it


@pytest.fixture(scope="module")
def promtool() -> str:
    return require("promtool", [ROOT / "build" / "prometheus" / "usr" / "bin"])


def test_promtool_finds_nothing_wrong_with_the_metrics(told: str, promtool: str) -> None:
    ours = "".join(f"{one}\n" for one in told.splitlines() if "clic_edge_" in one)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=ours, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "words",
    [("check", "rules", "clic-edge.rules.yml"), ("test", "rules", "clic-edge.test.yml")],
    ids=lambda words: words[0],
)
def test_promtool_finds_nothing_wrong_with_the_rules(promtool: str, words: tuple[str, ...]) -> None:
    checked = subprocess.run(
        [promtool, *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_rule_is_tried() -> None:
    rules = re.findall(r"alert: (\w+)", (PROMETHEUS / "clic-edge.rules.yml").read_text("utf-8"))
    tried = (PROMETHEUS / "clic-edge.test.yml").read_text("utf-8")
    assert [one for one in rules if one not in tried] == []
