"""The page of cases, and the API beside it, over a ledger in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from case_rows import NOON, SKYRA, Row, write_rows
from fastapi import FastAPI
from ledgers import make_tables
from signed_in import PHYSICIST, VIEWER, browser

from clic_edge.domain.case import CaseState
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine
from clic_edge.web import api, cases
from clic_edge.web.cases import SIGNS
from clic_edge.web.rendering import Pages
from clic_edge.web.words import words

if TYPE_CHECKING:
    from starlette.testclient import TestClient

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    engine = open_engine("sqlite://")
    make_tables(engine)
    refused = Row(
        case_id="b1",
        state=CaseState.REFUSED,
        code="missing-slices",
        reason="There is a gap of 3 mm.",
    )
    hostile = {**SKYRA, "input.model_name": HOSTILE}
    older = [Row(case_id=f"c{n:02}", received_at=NOON.replace(year=2025)) for n in range(60)]
    write_rows(engine, [Row(case_id="a1", model="hippocampus", scanner=hostile), refused, *older])
    return Ledger.on(engine)


@pytest.fixture(scope="module")
def app(ledger: Ledger) -> FastAPI:
    app = FastAPI()
    app.include_router(cases.router(ledger, Pages()))
    app.mount(api.PATH, api.create_api([cases.api(ledger)]))
    return app


@pytest.fixture(scope="module")
def client(app: FastAPI) -> TestClient:
    return browser(app)


def listed(text: str) -> list[str]:
    return re.findall(r'href="/cases/([^"/?]+)"', text)


@pytest.mark.parametrize("path", ["/cases", "/api/v1/cases"])
def test_nobody_sees_cases_without_logging_in(app: FastAPI, path: str) -> None:
    assert browser(app, None).get(path).status_code == 401


def test_a_page_leads_to_the_next_until_all_are_shown(client: TestClient) -> None:
    first = client.get("/cases")
    assert "62 cases" in first.text
    (following,) = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = client.get(following)
    assert len(listed(first.text)) == 50
    assert len({*listed(first.text), *listed(second.text)}) == 62
    assert 'rel="next"' not in second.text


def test_empty_fields_of_the_form_leave_nothing_out(client: TestClient) -> None:
    answer = client.get("/cases?state=&since=&until=&text=&pipeline=&hour=&code=")
    assert "62 cases" in answer.text
    assert answer.status_code == 200


def test_a_reason_is_told_in_the_readers_language(client: TestClient) -> None:
    english = client.get("/cases?state=refused").text
    danish = client.get("/cases?state=refused", headers={"cookie": "language=da"}).text
    assert "There is a gap of 3 mm." in english
    assert "Der mangler snit (There is a gap of 3 mm.)" in danish


def test_what_a_header_says_is_shown_as_text(client: TestClient) -> None:
    text = client.get("/cases", params={"scanner": HOSTILE}).text
    assert HOSTILE not in text
    assert listed(text) == ["a1"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=1000000",
        "limit=0",
        "sample=101",
        "since=2026-13-45",
        "until=9999-12-31",
        "after=1",
        "after=99999999999999999999-x",
        "state=lost",
        "text=%00",
        f"text={'x' * 257}",
        "hour=0001-01-01T00:00:00",
        "seed=-1",
    ],
)
def test_what_can_not_be_meant_is_refused(client: TestClient, query: str) -> None:
    page = client.get(f"/cases?{query}")
    assert (page.status_code, "could not be understood" in page.text) == (400, True)
    assert client.get(f"/api/v1/cases?{query}").status_code == 422


def test_the_api_gives_what_the_page_shows(client: TestClient) -> None:
    page = client.get("/api/v1/cases?limit=60").json()
    assert (page["count"], len(page["cases"])) == (62, 60)
    rest = client.get("/api/v1/cases", params={"after": page["after"]}).json()
    assert (len(rest["cases"]), rest["after"]) == (2, None)
    newest = {one["case_id"]: one for one in page["cases"]}["a1"]
    assert newest["models"] == ["hippocampus 1.0"]


def test_an_hour_of_the_first_page_leads_to_its_cases(client: TestClient) -> None:
    answer = client.get("/api/v1/cases", params={"hour": NOON.isoformat()}).json()
    assert {one["case_id"] for one in answer["cases"]} == {"a1", "b1"}
    assert "hour that begins" in client.get("/cases", params={"hour": NOON.isoformat()}).text


def test_a_sample_is_drawn_once_noted_and_shown_again_by_its_address(
    client: TestClient, ledger: Ledger
) -> None:
    given = {"size": "20", "since": "2025-01-01", "until": "2026-12-31", "state": "delivered"}
    drawn = client.post("/cases/sample", data=given)
    where = drawn.headers["location"]
    asked = parse_qs(urlsplit(where).query)
    assert (drawn.status_code, asked["sample"], asked["state"]) == (303, ["20"], ["delivered"])
    first, again = client.get(where).text, client.get(where).text
    assert listed(first) == listed(again)
    assert len(listed(first)) == 20
    assert asked["seed"][0] in first
    noted = ledger.records.audit("")
    assert (noted[-1].action, where in noted[-1].detail) == ("sampled", True)
    assert noted[-1].person == PHYSICIST.name


def test_without_a_period_a_sample_is_of_seven_days_that_are_over(client: TestClient) -> None:
    asked = parse_qs(urlsplit(client.post("/cases/sample").headers["location"]).query)
    assert set(asked) == {"sample", "seed", "since", "until"}


def test_a_viewer_draws_no_sample_and_is_not_asked_to(app: FastAPI) -> None:
    viewer = browser(app, VIEWER)
    assert viewer.post("/cases/sample").status_code == 403
    assert "/cases/sample" not in viewer.get("/cases").text
    assert "/cases/sample" in browser(app).get("/cases").text


def test_every_state_has_a_sign_and_a_word() -> None:
    assert set(SIGNS) == set(CaseState)
    assert {f"cases.state_{one}" for one in CaseState} <= set(words())
