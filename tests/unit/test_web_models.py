"""The pages of the models and their API, by a viewer and by a physicist."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from half_years import DIGEST, HalfYear, fill
from ledgers import make_tables
from starlette.testclient import TestClient
from visitors import LoggedIn

from clic_edge.board.references import ReferenceBook
from clic_edge.deid.keys import DeidKey
from clic_edge.deid.page_key import PageKey
from clic_edge.domain.account import Account, Role
from clic_edge.drift.plan import Policy
from clic_edge.ledger.database import open_engine
from clic_edge.pipeline.moving import Mover
from clic_edge.web import api, model, model_period, model_readers, models
from clic_edge.web.rendering import Pages

if TYPE_CHECKING:
    from clic_edge.web.models import Watch

pytestmark = pytest.mark.slow
BASE = f"/models/organs/{DIGEST}"
PAGES = [
    "/models",
    BASE,
    f"{BASE}?days=365&channel=image&page=2",
    f"{BASE}/window?days=90",
    f"{BASE}/window?others=true&by=input.software_versions",
    f"{BASE}/readers",
    f"{BASE}/latency",
]
TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def watch() -> Watch:
    engine = open_engine("sqlite://")
    make_tables(engine)
    ledger = fill(engine, HalfYear(days=60, reference_days=40, shift_day=45, upgrade_day=55))
    mover = Mover(standing=ledger.standing, key=lambda: PageKey.of(DeidKey(b"k" * 32)))
    return models.Watch(ledger=ledger, book=ReferenceBook(ledger, Policy()), mover=mover)


def client(watch: Watch, role: Role = Role.PHYSICIST) -> TestClient:
    """Return a browser, and a program, of an account."""
    app, pages = FastAPI(), Pages()
    modules = (models, model, model_period, model_readers)
    for one in modules:
        app.include_router(one.router(watch, pages))
    app.mount(api.PATH, api.create_api(one.api(watch) for one in modules))
    account = Account(name="Ida", role=role)
    return TestClient(LoggedIn(app=app, account=account), follow_redirects=False)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "da"])
def test_a_page_is_made_for_every_reader(watch: Watch, path: str, language: str) -> None:
    browser = client(watch, Role.VIEWER)
    browser.cookies.set("language", language)
    answer = browser.get(path)
    assert answer.status_code == 200
    assert f'<html lang="{language}"' in answer.text
    assert '<form method="post" action="/models' not in answer.text, "a viewer acts on nothing"


def test_no_chart_is_without_its_numbers_as_a_table(watch: Watch) -> None:
    for path in (BASE, f"{BASE}/readers", f"{BASE}/latency"):
        text = client(watch).get(path).text
        assert text.count("<svg") == text.count("<details><summary>The numbers") > 0
    text = client(watch).get(BASE).text
    assert text.count("false alarms a year by design") >= text.count("<svg") > 0


def test_each_point_leads_to_its_cases(watch: Watch) -> None:
    text = client(watch).get(BASE).text
    day = TODAY - timedelta(days=12)
    assert f"/cases?model=organs&amp;since={day}&amp;until={day}&amp;manufacturer=SIEMENS" in text


def test_what_a_person_writes_is_text_and_not_html(watch: Watch) -> None:
    told = {"day": str(TODAY), "kind": "other", "text": "<script>alert(1)</script>", "scanner": ""}
    assert client(watch).post(f"{BASE}/notes", data=told).status_code == 303
    text = client(watch).get(BASE).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_note_of_a_day_that_has_not_come_is_not_kept(watch: Watch) -> None:
    told = {"day": str(TODAY + timedelta(days=2)), "kind": "other", "text": "Later."}
    answer = client(watch).post(f"{BASE}/notes", data=told)
    assert answer.status_code == 409
    assert "That day has not come yet" in answer.text


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/models/move", {"pipeline": "organs", "digest": DIGEST, "to": "retired", "reason": "x"}),
        (f"{BASE}/notes", {"day": str(TODAY), "kind": "other", "text": "x"}),
        (f"{BASE}/references", {"since": str(TODAY), "name": "x"}),
    ],
)
def test_a_viewer_acts_on_nothing(watch: Watch, path: str, form: dict[str, str]) -> None:
    assert client(watch, Role.VIEWER).post(path, data=form).status_code == 403
    assert client(watch, Role.VIEWER).post(f"/api/v1{path}", json=form).status_code in {403, 404}


def test_a_model_is_moved_by_who_is_logged_in_and_not_to_active_without_a_report(
    watch: Watch,
) -> None:
    browser = client(watch)
    wish = {"pipeline": "organs", "digest": DIGEST, "to": "suspended", "reason": "It errs."}
    assert browser.post("/models/move", data=wish).status_code == 303
    event = watch.ledger.standing.history()[-1]
    assert (event.now, event.person, event.reason) == ("suspended", "Ida", "It errs.")
    refused = browser.post("/models/move", data=wish | {"to": "active"})
    assert refused.status_code == 409
    assert "acceptance report" in refused.text
    unreadable = browser.post("/api/v1/models/move", json=wish | {"to": "active", "report": "{}"})
    assert unreadable.json()["code"] == "acceptance-unreadable"


def test_a_reference_is_frozen_from_the_page(watch: Watch) -> None:
    before = len(watch.book.heads(DIGEST))
    form = {"since": str(TODAY - timedelta(days=30)), "name": "after service"}
    assert client(watch).post(f"{BASE}/references", data=form).status_code == 303
    heads = watch.book.heads(DIGEST)
    assert len(heads) > before
    newest = [one for one in heads if one.newest and one.name == "after service"]
    assert newest
    assert {one.frozen_by for one in newest} == {"Ida"}
    small = client(watch).post(f"{BASE}/references", data=form | {"since": str(TODAY)})
    assert small.status_code == 409


def test_programs_get_what_pages_show(watch: Watch) -> None:
    program = client(watch, Role.VIEWER)
    (one,) = program.get("/api/v1/models").json()["models"]
    assert one["digest"] == DIGEST
    charts = program.get(f"/api/v1{BASE}/charts", params={"days": 30}).json()
    assert charts["charts"][0]["sides"][0]["design"]["delays"]
    assert program.get(f"/api/v1{BASE}/references").status_code == 200
    assert program.get("/api/v1/annotations", params={"since": str(TODAY)}).status_code == 200
    for part in ("window", "readers", "latency"):
        assert program.get(f"/api/v1{BASE}/{part}").status_code == 200
    unknown = program.get("/api/v1/models/organs/x")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "no-such-model")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/annotations", {"day": "0001-01-01", "kind": "other", "text": "x"}),
        ("/annotations", {"day": str(TODAY), "kind": "other", "text": "a\x00b"}),
        ("/annotations", {"day": str(TODAY), "kind": "other", "text": "x" * 1001}),
        (
            "/annotations",
            {"day": str(TODAY), "kind": "other", "text": "x", "stratum": {"model_name": "x" * 257}},
        ),
        (f"{BASE}/references", {"since": "0001-01-01", "name": "x"}),
        ("/models/move", {"pipeline": "\x00", "digest": DIGEST, "to": "retired", "reason": "x"}),
    ],
)
def test_what_no_database_takes_is_not_taken(
    watch: Watch, path: str, body: dict[str, object]
) -> None:
    assert client(watch).post(f"/api/v1{path}", json=body).status_code == 422


def test_a_program_notes_what_happened_to_a_scanner(watch: Watch) -> None:
    note = {"day": str(TODAY), "kind": "software", "text": "E13 is in.", "stratum": {}}
    answer = client(watch).post("/api/v1/annotations", json=note)
    assert answer.status_code == 201
    assert answer.json()[-1]["text"] == "E13 is in."
