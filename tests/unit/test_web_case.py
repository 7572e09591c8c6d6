"""The page of a case: what a physicist may do is done once, with name and reason."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from case_rows import SKYRA, Row, a_certificate, write_rows
from fastapi import FastAPI
from signed_in import PHYSICIST, VIEWER, browser

from clic_edge.board.case import STAGES
from clic_edge.deid.profile import FACE_TREATMENTS, PIXEL_TREATMENTS
from clic_edge.deid.series_certificate import CHECKS
from clic_edge.domain.assessment import Reason, Verdict
from clic_edge.domain.case import CaseState
from clic_edge.domain.result import Receipt
from clic_edge.ledger import Ledger
from clic_edge.ledger.certificates import note_cleaned
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.metadata import metadata
from clic_edge.web import api, case
from clic_edge.web.rendering import Pages
from clic_edge.web.words import words

if TYPE_CHECKING:
    from httpx import Response
    from starlette.testclient import TestClient

CODES = (
    *("case-not-retryable", "case-not-resendable", "case-not-withdrawable"),
    *("reason-missing", "person-unnamed"),
)
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def ledger() -> Ledger:
    engine = open_engine("sqlite://")
    metadata.create_all(engine)
    told = Row(case_id="a1", model=HOSTILE, scanner=SKYRA, numbers={f"output.{HOSTILE}": 1.0})
    early = Row(case_id="b1", model="hippocampus")
    held = Row(case_id="q1", state=CaseState.QUARANTINED, code="result-gone", reason="It is gone.")
    write_rows(engine, [told, early, held])
    with engine.begin() as connection:
        note_cleaned(connection, replace(a_certificate("a1"), pixels="redact-all"))
    ledger = Ledger.on(engine)
    ledger.records.time_stage("a1", "predict", 20.0)
    return ledger


@pytest.fixture
def app(ledger: Ledger) -> FastAPI:
    app = FastAPI()
    app.include_router(case.router(ledger, Pages()))
    app.mount(api.PATH, api.create_api([case.api(ledger)]))
    return app


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return browser(app)


@pytest.mark.parametrize(
    "path",
    [
        "/cases/a1",
        "/cases/a1/certificate.json",
        "/api/v1/cases/a1",
        "/api/v1/cases/a1/certificate.json",
    ],
)
def test_nobody_sees_a_case_without_logging_in(app: FastAPI, path: str) -> None:
    assert browser(app, None).get(path).status_code == 401


@pytest.mark.parametrize("language", ["en", "da"])
@pytest.mark.parametrize("case_id", ["a1", "q1"])
def test_a_case_is_shown_and_nothing_in_it_runs(
    client: TestClient, case_id: str, language: str
) -> None:
    answer = client.get(f"/cases/{case_id}", headers={"cookie": f"language={language}"})
    assert answer.status_code == 200
    assert HOSTILE not in answer.text
    assert f"/open/{case_id}" in answer.text


def test_a_segmentation_is_pictured_with_outlines_that_can_be_turned_off(
    client: TestClient,
) -> None:
    text = client.get("/cases/a1").text
    assert "/cases/a1/pictures/p-a1.png" in text
    assert "/cases/a1/pictures/p-a1-outlines.png" in text
    assert re.search(r'<input type="checkbox" id="outlines"[^>]* checked>', text)
    assert "/pictures/" not in client.get("/cases/q1").text


@pytest.mark.parametrize(
    ("language", "cleaned", "before"),
    [
        ("en", "blanked in every image", "No certificate"),
        ("da", "i alle billeder", "Intet certifi"),
    ],
)
def test_a_case_says_how_its_images_were_cleaned_or_that_it_is_from_before(
    client: TestClient, language: str, cleaned: str, before: str
) -> None:
    spoken = {"cookie": f"language={language}"}
    text = client.get("/cases/a1", headers=spoken).text
    assert cleaned in text
    assert "113100" in text
    assert before not in text
    assert before in client.get("/cases/b1", headers=spoken).text
    assert 'id="cleaned"' not in client.get("/cases/q1", headers=spoken).text  # no model saw it


def test_the_certificate_is_downloaded_and_the_api_tells_the_same(client: TestClient) -> None:
    answer = client.get("/cases/a1/certificate.json")
    assert "attachment" in answer.headers["content-disposition"]
    told = client.get("/api/v1/cases/a1/certificate.json").json()
    assert answer.json() == told
    assert told["series"] == client.get("/api/v1/cases/a1").json()["cleaned"]
    assert [one["methods"][0]["code"] for one in told["series"]] == ["113100"]
    assert client.get("/cases/b1/certificate.json").json() == {"case_id": "b1", "series": []}


def test_a_physicist_runs_a_case_again_and_the_history_says_who_and_why(
    client: TestClient, ledger: Ledger
) -> None:
    answer = client.post("/cases/q1/retry", data={"reason": "The archive\nis back."})
    assert (answer.status_code, answer.headers["location"]) == (303, "/cases/q1")
    assert ledger.cases.case("q1").state is CaseState.RECEIVED
    said = ledger.records.audit("q1")[-1]
    assert (said.person, said.detail) == (PHYSICIST.name, "The archive is back.")
    assert "The archive is back." in client.get("/cases/q1").text


@pytest.mark.parametrize(
    ("case_id", "reason"), [("q1", ""), ("q1", " \n "), ("a1", "It should run again.")]
)
def test_what_can_not_be_done_is_said_and_not_done(
    client: TestClient, ledger: Ledger, case_id: str, reason: str
) -> None:
    before = ledger.cases.case(case_id)
    answer = client.post(f"/cases/{case_id}/retry", data={"reason": reason})
    assert (answer.status_code, "Nothing was done" in answer.text) == (409, True)
    assert ledger.cases.case(case_id) == before


def test_a_physicist_withdraws_results_and_the_page_says_so(
    client: TestClient, ledger: Ledger
) -> None:
    assert 'action="/cases/a1/withdraw"' not in client.get("/cases/a1").text
    none = client.post("/cases/a1/withdraw", data={"reason": "Wrong."})
    assert (none.status_code, "Nothing was done" in none.text) == (409, True)
    sent = Receipt(destination="pacs", sop_instance_uid="2.25.a1", accepted=True, status="0x0000")
    ledger.deliveries.receive((sent,))
    assert 'action="/cases/a1/withdraw"' in client.get("/cases/a1").text
    answer = client.post("/cases/a1/withdraw", data={"reason": f"Wrong side {HOSTILE}."})
    assert (answer.status_code, answer.headers["location"]) == (303, "/cases/a1")
    text = client.get("/cases/a1").text
    assert "Wrong side" in text
    assert HOSTILE not in text
    assert client.get("/api/v1/cases/a1").json()["withdrawal"]["untold"] == ["pacs"]
    twice = client.post("/api/v1/cases/a1/withdraw", json={"reason": "Again."})
    assert (twice.status_code, twice.json()["code"]) == (409, "case-not-withdrawable")


@pytest.mark.parametrize("path", ["/cases", "/api/v1/cases"])
def test_a_physicist_sends_results_again_and_the_history_says_who_and_why(
    client: TestClient, ledger: Ledger, path: str
) -> None:
    def asked(reason: str) -> Response:
        why = {"reason": reason}
        body = {"json": why} if path.startswith("/api") else {"data": why}
        return client.post(f"{path}/a1/send-again", **body)  # type: ignore[arg-type]  # as a form, or JSON

    button = 'action="/cases/a1/send-again"'
    assert button not in client.get("/cases/a1").text
    assert asked("It lost them.").status_code == 409  # nobody was sent any
    sent = Receipt(destination="pacs", sop_instance_uid="2.25.a1", accepted=True, status="0x0000")
    ledger.deliveries.receive((sent,))
    assert button in client.get("/cases/a1").text
    assert asked(f"It lost them {HOSTILE}.").status_code in {200, 303}
    assert ledger.deliveries.to_send_again() == ("a1",)
    said = ledger.records.audit("a1")[-1]
    assert (said.action, said.person) == ("sent-again", PHYSICIST.name)
    text = client.get("/cases/a1").text
    assert "It lost them" in text
    assert "is sent again" in text
    assert HOSTILE not in text
    ledger.withdrawals.withdraw("a1", person="Ida", reason="Wrong side.")
    assert button not in client.get("/cases/a1").text


def test_a_viewer_only_looks(app: FastAPI, ledger: Ledger) -> None:
    viewer = browser(app, VIEWER)
    assert "<form class" not in viewer.get("/cases/q1").text
    for path, given in (("/cases", {}), ("/api/v1/cases", {"json": {"reason": "Why not."}})):
        for act in ("retry", "send-again", "withdraw"):
            assert viewer.post(f"{path}/q1/{act}", **given).status_code == 403  # type: ignore[arg-type] # as a form, or JSON
    assert ledger.cases.case("q1").state is CaseState.QUARANTINED


def test_the_api_retries_with_a_reason_and_says_no_by_a_code(
    client: TestClient, ledger: Ledger
) -> None:
    again = client.post("/api/v1/cases/q1/retry", json={"reason": "Mended."})
    assert (again.status_code, again.json()["line"]["state"]) == (200, "received")
    assert ledger.records.audit("q1")[-1].person == PHYSICIST.name
    twice = client.post("/api/v1/cases/a1/retry", json={"reason": "Mended."})
    assert (twice.status_code, twice.json()["code"]) == (409, "case-not-retryable")
    assert client.post("/api/v1/cases/q1/retry", json={"reason": ""}).status_code == 422
    assert client.get("/api/v1/cases/none").json()["code"] == "no-such-case"


@pytest.mark.parametrize("name", ["none", "%00", "..%2Fa1", "a%201", "x" * 300, "%3Cb%3E"])
def test_a_name_that_is_none_of_a_case_is_not_found(client: TestClient, name: str) -> None:
    assert client.get(f"/api/v1/cases/{name}").status_code == 404


def test_the_api_holds_no_handle_of_the_archive(client: TestClient) -> None:
    assert "study" not in client.get("/api/v1/cases/a1").text


def test_every_word_that_a_case_may_need_is_there() -> None:
    needed = {
        *(f"case.stage_{one}" for one in (*STAGES, "waiting")),
        *(f"case.do_{one}" for one in CaseState),
        *(f"case.verdict_{one}" for one in Verdict),
        *(f"case.because_{one.replace('-', '_')}" for one in Reason),
        *(f"case.problem_{one}" for one in CODES),
        *(f"case.pixels_{one.replace('-', '_')}" for one in PIXEL_TREATMENTS),
        *(f"case.faces_{one}" for one in FACE_TREATMENTS),
        *(f"case.check_{one}" for one in CHECKS),
    }
    assert needed <= set(words()), needed - set(words())
