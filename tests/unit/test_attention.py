"""Cases that did not come through are worked through by reason, by name, on page and command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from case_rows import Row, write_rows, write_settings
from fastapi import FastAPI
from lines import Shelf, a_line, a_pipeline, a_study
from signed_in import PHYSICIST, VIEWER, browser
from typer.testing import CliRunner

from clic_edge.cli import app as command_line
from clic_edge.cli import console
from clic_edge.domain.case import CaseState
from clic_edge.domain.result import Receipt
from clic_edge.errors import ConfigError
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import migrate, open_engine
from clic_edge.ledger.deliveries import AGAIN
from clic_edge.pipeline.intake import intake
from clic_edge.pipeline.intervening import send_again, withdraw
from clic_edge.pipeline.queue import DurableQueue
from clic_edge.web import api, attention
from clic_edge.web.rendering import Pages

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

NOW = datetime.now(UTC)
BROKEN = {"state": CaseState.QUARANTINED, "code": "network-failed", "reason": "It failed."}
REFUSED = {"state": CaseState.REFUSED, "code": "missing-slices", "reason": "A gap of 3 mm."}
ROWS = (
    *(Row(case_id=f"b{n}", received_at=NOW - timedelta(hours=n), **BROKEN) for n in range(3)),  # type: ignore[arg-type]
    Row(case_id="r1", received_at=NOW, **REFUSED),  # type: ignore[arg-type]
    Row(case_id="r2", received_at=NOW - timedelta(days=90), **REFUSED),  # type: ignore[arg-type]
    Row(case_id="w1", received_at=NOW, state=CaseState.WAITING, code="study-growing"),
    Row(case_id="n1", received_at=NOW, pipeline="-", state=CaseState.REFUSED, code="no-pipeline"),
    Row(case_id="q1", received_at=NOW, pipeline="qa:1:brain", state=CaseState.QUARANTINED),
    Row(case_id="d1", received_at=NOW, model="organs"),
)


def filled(url: str) -> Ledger:
    """Return a ledger with the rows; the PACS has the result of the delivered one."""
    engine = open_engine(url)
    migrate(engine)
    write_rows(engine, ROWS)
    ledger = Ledger.on(engine, DurableQueue(engine))
    (result,) = ledger.deliveries.results("d1")
    uid = result.sop_instance_uid
    receipt = Receipt(destination="pacs", sop_instance_uid=uid, accepted=True, status="0x0000")
    ledger.deliveries.receive((receipt,))
    return ledger


@pytest.fixture
def ledger() -> Ledger:
    return filled("sqlite://")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ledger]:
    """Return the folder of a site's settings, for the command line, and its ledger."""
    folder = tmp_path_factory.mktemp("site")
    write_settings(folder)
    return folder, filled(f"sqlite:///{folder / 'clic-edge.sqlite'}")


def ask(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(command_line, ["-c", str(folder / "clic-edge.toml"), *words])


def of_case(ledger: Ledger, case_id: str) -> tuple[str, str]:
    event = ledger.records.audit(case_id)[-1]
    return event.person, event.detail


def served(ledger: Ledger) -> FastAPI:
    app = FastAPI()
    app.include_router(attention.router(ledger, Pages()))
    app.mount(api.PATH, api.create_api([attention.api(ledger)]))
    return app


def test_the_page_tells_each_reason_once_and_what_to_do(ledger: Ledger) -> None:
    page = browser(served(ledger), VIEWER).get("/attention").text
    places = [page.index(f"<code>{one}</code></h2>") for one in ("network-failed", "study-growing")]
    assert places == sorted(places)
    assert page.count("<h2") == 4
    assert "Memory of the machine; restore the package." in page
    assert 'href="/cases/r1"' in page
    assert 'href="/cases/r2"' not in page
    assert 'action="/attention' not in page
    danish = browser(served(ledger)).get("/attention", headers={"cookie": "language=da"}).text
    assert "Maskinens hukommelse; genskab pakken." in danish
    assert "Der mangler snit (A gap of 3 mm.)" in danish
    assert danish.count('action="/attention/retry"') == 3  # what no rule took can't be run


def test_a_physicist_runs_all_of_a_kind_again_by_name(ledger: Ledger) -> None:
    form = {"state": "quarantined", "code": "network-failed", "reason": "a new driver"}
    app = served(ledger)
    assert browser(app, VIEWER).post("/attention/retry", data=form).status_code == 403
    assert browser(app).post("/attention/retry", data=form | {"reason": " "}).status_code == 409
    answer = browser(app).post("/attention/retry", data=form)
    assert answer.headers["location"] == "/attention?begun=3"
    assert {ledger.cases.case(f"b{n}").state for n in range(3)} == {CaseState.RECEIVED}
    assert of_case(ledger, "b1") == (PHYSICIST.name, "a new driver")
    assert ledger.cases.case("r1").state is CaseState.REFUSED


def test_a_program_sees_and_does_the_same(ledger: Ledger) -> None:
    client = browser(served(ledger))
    codes = [one["code"] for one in client.get("/api/v1/attention").json()]
    assert codes == ["network-failed", "study-growing", "missing-slices", "no-pipeline"]
    kind = {"state": "refused", "code": "missing-slices", "reason": "the rule was mended"}
    assert client.post("/api/v1/attention/retry", json=kind).json() == {"begun": 1, "more": False}
    assert ledger.cases.case("r2").state is CaseState.REFUSED  # its reader was told long ago


def test_the_command_line_says_the_same_and_acts_by_name(
    site: tuple[Path, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.stdout, "width", 300)
    folder, ledger = site
    for words in (("held",), ("show", "b1")):
        assert "Memory of the machine; restore the package." in ask(folder, "cases", *words).output
    signed = ("--by", "Ida", "--reason", "looked at it")
    assert "3 cases" in ask(folder, "cases", "retry", "--code", "network-failed", *signed).output
    assert of_case(ledger, "b0") == ("Ida", "looked at it")
    assert ask(folder, "cases", "send-again", "d1", *signed).exit_code == 0
    assert ledger.deliveries.to_send_again() == ("d1",)
    assert [one.status for one in ledger.deliveries.receipts("d1")] == [AGAIN]
    assert of_case(ledger, "d1") == ("Ida", "looked at it")
    assert isinstance(ask(folder, "cases", "retry").exception, ConfigError)
    assert isinstance(ask(folder, "cases", "withdraw", "w1", *signed).exception, ConfigError)


def test_what_was_withdrawn_is_not_sent_again(ledger: Ledger) -> None:
    withdraw(ledger, "d1", person="Ida", reason="wrong side")
    with pytest.raises(ConfigError, match="case-not-resendable"):
        send_again(ledger, "d1", person="Ida", reason="again")


def test_a_case_is_run_again_though_no_worker_has_made_the_queue(ledger: Ledger) -> None:
    assert ledger.cases.retry("w1").state is CaseState.RECEIVED


def test_a_study_is_taken_in_before_a_worker_has_run(ledger: Ledger) -> None:
    shelf = Shelf(studies={"s": a_study(study_id="s")})
    line = a_line(a_pipeline(), shelf=shelf)
    (case,) = intake("s", line.rules, archive=line.archive, ledger=ledger)
    assert case.state is CaseState.RECEIVED
