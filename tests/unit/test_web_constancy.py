"""The page of constancy, its API, and acceptance reports to download."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from half_years import DIGEST, PLACE, check_nightly
from ledgers import make_tables
from lines import a_ledger
from sites import ROOT
from starlette.testclient import TestClient
from visitors import LoggedIn

from clic_edge.app import Appliance
from clic_edge.board.constancy import Wanted, constancy
from clic_edge.board.models import model
from clic_edge.board.references import ReferenceBook
from clic_edge.constancy.demand import OnDemand
from clic_edge.deid.keys import DeidKey
from clic_edge.deid.page_key import PageKey
from clic_edge.domain.account import Account, Role
from clic_edge.domain.constancy import Verdict
from clic_edge.drift.plan import Policy
from clic_edge.errors import ConfigError, Transient
from clic_edge.pipeline.moving import Mover
from clic_edge.web import api
from clic_edge.web import constancy as page
from clic_edge.web.models import Watch
from clic_edge.web.rendering import Pages

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.ledger import Ledger

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    ledger = a_ledger()
    ledger.standing.enrol(PLACE, [], decides=True)
    check_nightly(ledger, NOW)
    return ledger


class Starter:
    """Remembers what was asked for; says no once one is under way."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, protocol: str, person: str) -> None:
        """Start a run."""
        if self.asked:
            raise Transient("constancy-running", "Another constancy run is under way.")
        self.asked.append((protocol, person))


def client(ledger: Ledger, role: Role = Role.VIEWER, starter: Starter | None = None) -> TestClient:
    mover = Mover(standing=ledger.standing, key=lambda: PageKey.of(DeidKey(b"k" * 32)))
    book = ReferenceBook(ledger, Policy())
    watch = Watch(ledger=ledger, book=book, mover=mover, run=starter)
    app = FastAPI()
    app.include_router(page.router(watch, Pages()))
    app.mount(api.PATH, api.create_api([page.api(watch)]))
    account = Account(name="Ida", role=role)
    return TestClient(LoggedIn(app=app, account=account), follow_redirects=False)


def test_the_newest_run_and_its_trends_are_shown(ledger: Ledger) -> None:
    seen = constancy(ledger, Wanted(), now=NOW)
    assert (seen.protocol, seen.case) == ("organs-nightly", "sphere")
    assert seen.newest is not None
    assert seen.newest.verdict is Verdict.FAILED
    volume, seconds = seen.trends
    assert (volume.mean, volume.sd, volume.by_tolerance) == (1000.0, pytest.approx(10 / 3), True)
    assert not volume.points[-1].passed
    assert not seconds.by_tolerance
    assert seconds.sd > 0
    assert [one.verdict for one in seen.days].count(Verdict.FAILED) == 1
    assert sum(one.commissions for one in seen.runs) == 0, "it is older than what is listed"


def test_the_strip_of_a_model_tells_its_newest_run(ledger: Ledger) -> None:
    status = model(ledger, PLACE.pipeline, DIGEST, now=NOW)
    assert status is not None
    assert status.constancy is Verdict.FAILED


def test_where_nothing_has_run_the_page_says_so() -> None:
    empty = a_ledger()
    text = client(empty).get("/constancy").text
    assert "No protocol has been run yet" in text
    assert "clic-edge acceptance run" in text


@pytest.mark.parametrize("language", ["en", "da"])
@pytest.mark.parametrize("path", ["/constancy?days=30", "/constancy/runs/run-30"])
def test_a_page_is_made_for_every_reader(ledger: Ledger, path: str, language: str) -> None:
    browser = client(ledger)
    browser.cookies.set("language", language)
    answer = browser.get(path)
    assert answer.status_code == 200
    assert '<form method="post" action="/constancy/run"' not in answer.text


def test_what_failed_stands_first_in_a_run(ledger: Ledger) -> None:
    found = client(ledger).get("/api/v1/constancy/runs/run-30").json()
    assert [one["passed"] for one in found["results"]] == [False, True]


def test_an_acceptance_report_is_downloaded_by_its_id_and_nothing_else_is(ledger: Ledger) -> None:
    browser = client(ledger)
    report = browser.get("/constancy/reports/report1.pdf")
    assert report.headers["content-type"] == "application/pdf"
    assert report.headers["content-disposition"].startswith("attachment;")
    assert browser.get("/api/v1/constancy/reports/report1.json").json() == {}
    for asked in ("unknown.pdf", "report1.html", "..%2f..%2fclic-edge.pdf", "a%00.pdf"):
        answer = browser.get(f"/api/v1/constancy/reports/{asked}")
        assert answer.status_code in {404, 422}, asked
    assert browser.get("/api/v1/constancy/runs/unknown").status_code == 404


def test_a_physicist_starts_a_run_in_the_accounts_name_and_one_at_a_time(ledger: Ledger) -> None:
    starter = Starter()
    viewer = client(ledger, Role.VIEWER, starter)
    assert viewer.post("/constancy/run", data={"protocol": "organs-nightly"}).status_code == 403
    physicist = client(ledger, Role.PHYSICIST, starter)
    assert "/constancy/run" in physicist.get("/constancy").text
    started = physicist.post("/constancy/run", data={"protocol": "organs-nightly"})
    assert started.status_code == 303
    assert starter.asked == [("organs-nightly", "Ida")]
    again = physicist.post("/constancy/run", data={"protocol": "organs-nightly"})
    assert again.status_code == 409
    assert "under way" in again.text


def test_where_no_run_can_be_started_nobody_is_asked_to(ledger: Ledger) -> None:
    physicist = client(ledger, Role.PHYSICIST)
    assert 'action="/constancy/run"' not in physicist.get("/constancy").text
    answer = physicist.post("/api/v1/constancy/run", params={"protocol": "organs-nightly"})
    assert answer.json()["code"] == "no-constancy"


PROTOCOL = """\
name = "organs-nightly"
version = 1
pipeline = "organs"
responsible = "Medical physics"
series = {}
[[cases]]
name = "body"
phantom = { modality = "MR", shape = [6, 8, 10], background = 1, noise = 1, bodies = [
  { centre = [2, 3, 4], radii = [1, 2, 3], value = 400 },
] }
"""


@pytest.fixture
def appliance(tmp_path: Path) -> Appliance:
    """Return an appliance with a protocol that was commissioned, and whose Orthanc is away."""
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols" / "organs-nightly.toml").write_text(PROTOCOL)
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(
        f'[appliance]\nstate_dir = "."\nmodels = "{ROOT}/models"\n'
        f'pipelines = "{ROOT}/configs/pipelines"\ndeid_profiles = "{ROOT}/configs/deid"\n'
        '[orthanc]\nurl = "http://127.0.0.1:9"\n[constancy]\nprotocols = "protocols"\n'
        '[destinations.pacs]\nkind = "folder"\npath = "out"\n'
    )
    appliance = Appliance.open(settings)
    make_tables(appliance.engine)
    appliance.ledger.standing.enrol(PLACE, [], decides=True)
    return appliance


def test_a_run_is_not_started_of_what_is_not_there_or_not_commissioned(
    appliance: Appliance,
) -> None:
    start = OnDemand(appliance.chain)
    for name, code in (("unknown", "no-such-protocol"), ("organs-nightly", "not-commissioned")):
        with pytest.raises(ConfigError) as raised:
            start(name, "Ida")
        assert raised.value.code == code


def test_a_second_run_is_not_started_while_one_is_under_way(appliance: Appliance) -> None:
    check_nightly(appliance.ledger, NOW)
    done = appliance.ledger.constancy.runs()[-1]
    under_way = replace(done, run_id="now", started_at=NOW, ended_at=None, verdict=Verdict.RUNNING)
    appliance.ledger.constancy.begin(under_way)
    with pytest.raises(Transient) as raised:
        OnDemand(appliance.chain)("organs-nightly", "Ida")
    assert raised.value.code == "constancy-running"
