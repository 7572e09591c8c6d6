"""The report of the last month: made once beside the worker, listed, and handed out."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from ledgers import make_tables
from reported import DIGEST, MADE_AT, POLICY, reported
from signed_in import browser
from sqlalchemy.exc import TimeoutError  # noqa: A004 - the pool's

from clic_edge.domain.notice import NoticeKind, Urgency
from clic_edge.drawing.look import Language
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.notices import ChannelRule
from clic_edge.reporting.monthly import Monthly, reporting
from clic_edge.reporting.shelf import Shelf
from clic_edge.web import api, reports
from clic_edge.web.rendering import Pages

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient

    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.ledger import Ledger


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    engine = open_engine("sqlite://")
    make_tables(engine)
    return reported(engine)


@pytest.fixture
def monthly(ledger: Ledger, tmp_path: Path) -> Monthly:
    return Monthly(
        ledger=ledger,
        shelf=Shelf(tmp_path / "reports"),
        appliance="box",
        language=Language.DANISH,
        policy=POLICY,
        packages=lambda: (),
    )


def test_the_last_month_is_reported_once(monthly: Monthly) -> None:
    assert monthly.make_due(MADE_AT) == 1
    (only,) = monthly.shelf.reports()
    assert (only.digest, only.first, only.last) == (DIGEST, "2026-01-01", "2026-01-31")
    assert monthly.make_due(MADE_AT + timedelta(days=20)) == 0


def test_packages_are_read_only_where_something_is_due(monthly: Monthly) -> None:
    read = []
    counting = replace(monthly, packages=lambda: tuple(read.append(1) or ()))
    assert [counting.make_due(MADE_AT) for _ in range(3)] == [1, 0, 0]
    assert len(read) == 1


def test_a_month_that_has_just_ended_is_given_time(monthly: Monthly) -> None:
    assert monthly.make_due(datetime.fromisoformat("2026-02-01T01:00:00+00:00")) == 0
    assert monthly.shelf.reports() == ()


def test_a_worker_that_was_off_on_the_first_makes_it_when_it_is_back(monthly: Monthly) -> None:
    assert monthly.make_due(MADE_AT + timedelta(days=25)) == 1


def test_what_a_clock_that_ran_ahead_has_made_is_made_again(monthly: Monthly) -> None:
    ahead = replace(monthly)
    assert ahead.make_due(MADE_AT + timedelta(days=5)) == 1
    assert monthly.make_due(MADE_AT) == 1
    (only,) = monthly.shelf.reports()
    assert only.made_at == MADE_AT


def test_a_folder_that_takes_nothing_ends_no_worker(monthly: Monthly, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    full = replace(monthly, shelf=Shelf(tmp_path / "file"))
    assert full.make_due(MADE_AT) == 0
    assert full.make_due(MADE_AT + timedelta(minutes=10)) == 0
    rule = ChannelRule(name="email", at_least=Urgency.INFO, pause=timedelta())
    sent = full.ledger.notices.take(rule, now=MADE_AT + timedelta(hours=1))
    told = [one.notice.detail for one in sent if one.notice.kind is NoticeKind.REPORT_FAILED]
    assert told == ["out-unwritable"]


def test_a_database_that_fails_in_whatever_way_ends_no_thread(monthly: Monthly) -> None:
    asked = threading.Event()

    def busy() -> tuple[ModelIdentity, ...]:
        asked.set()
        raise TimeoutError("every connection is taken")

    with reporting(replace(monthly, packages=busy)):
        assert asked.wait(30)
        (thread,) = (one for one in threading.enumerate() if one.name == "reports")
        thread.join(0.2)
        assert thread.is_alive()


# --- pages


@pytest.fixture
def app(monthly: Monthly) -> FastAPI:
    monthly.make_due(MADE_AT)
    made = FastAPI()
    made.include_router(reports.router(monthly.shelf, Pages()))
    made.mount(api.PATH, api.create_api([reports.api(monthly.shelf)]))
    return made


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return browser(app)


@pytest.mark.parametrize("path", ["/reports", "/reports/x.pdf", "/api/v1/reports"])
def test_nobody_gets_reports_without_logging_in(app: FastAPI, path: str) -> None:
    assert browser(app, None).get(path).status_code == 401


def test_the_page_leads_to_each_file_and_the_api_lists_the_same(client: TestClient) -> None:
    page = client.get("/reports").text
    (listed,) = client.get("/api/v1/reports").json()
    for file in listed["files"]:
        assert f'href="/reports/{file["name"]}"' in page
        answer = client.get(f"/reports/{file['name']}")
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith("attachment")
        assert client.get(f"/api/v1/reports/{file['name']}").content == answer.content


@pytest.mark.parametrize("name", ["index.json", "..%2Fclic-edge.sqlite", "no.pdf", ".hidden"])
def test_what_is_not_on_the_shelf_is_not_handed_out(client: TestClient, name: str) -> None:
    assert client.get(f"/reports/{name}").status_code in {404, 422}
