"""Whatever is asked of a page, and whatever the ledger holds, a page is a page and runs nothing."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute
from filled_sites import CASE, MODEL, PATHS, alarm_of, fill_cases, fill_site
from logins import ADMINISTRATOR, CHEAP, PASSWORD, csrf_in, submit_login
from pages import appliance_in
from starlette.testclient import TestClient

from clic_edge.cli.web import application
from clic_edge.ledger.schema import audit_events
from clic_edge.web.alarms import Asked as AskedAlarms
from clic_edge.web.asking import Asked as AskedCases
from clic_edge.web.audit import Asked as AskedAudit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import httpx
    from fastapi import FastAPI
    from fastapi.dependencies.models import Dependant

    from clic_edge.app import Appliance

pytestmark = pytest.mark.slow

EVIL: Final = (
    "\"'><script>alert(1)<img src=x onerror=alert(2)>{{ 7*191 }}' OR 1=1; --\u202e\u2028😀"
)
TEXTS: Final = frozenset(
    [
        "model_id",
        "version",
        "model_version",
        "pipeline",
        "person",
        "reason",
        "detail",
        "text",
        "about",
        "sentence",
        "address",
        "label",
        "manufacturer",
        "model_name",
        "software_versions",
        "protocol",
        "case",
        "quantity",
        "unit",
        "said",
        "finding",
        "reader",
        "started_by",
        "device",
        "action",
    ]
)
"""Columns of what people, sites and makers named: no closed set of ours."""
CLOSED: Final = {"assessments.reason"}
LARGEST_PAGE: Final = 3_000_000
"""Characters of a page."""
VOID: Final = frozenset(["br", "hr", "img", "input", "link", "meta"])
ODD: Final = (*(EVIL, "x" * 9_000, "a\x00b\r\n\ufffe", "9999-12-31", "0001-01-01", "9" * 40),)


# --- a page


@dataclass
class Looked(HTMLParser):
    """Looks whether a page is whole, and whether anything in it would run."""

    opened: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at what begins."""
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes."""
        given = dict(attrs)
        if tag == "script" and not str(given.get("src")).startswith("/static/"):
            self.wrong.append("a script of its own")
        if tag in {"iframe", "object", "embed", "base"}:
            self.wrong.append(tag)
        self.wrong += [name for name in given if name.startswith("on")]
        self.wrong += [
            f"{name}={value}"
            for name, value in attrs
            if name in {"href", "src", "action", "xlink:href"}
            and not str(value).startswith(("/", "#", "?"))
            and value
        ]
        if len(given) < len(attrs):
            self.wrong.append(f"an attribute twice in {tag}")

    def handle_endtag(self, tag: str) -> None:
        """Look at what ends."""
        if not self.opened or self.opened.pop() != tag:
            self.wrong.append(f"</{tag}> ends nothing")


def wrong_in(page: str) -> list[str]:
    """Return what is wrong with a page."""
    looked = Looked()
    looked.feed(page)
    looked.close()
    if looked.opened:
        looked.wrong.append(f"{looked.opened} do not end")
    if re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", page):
        looked.wrong.append("a control character")
    if len(page) > LARGEST_PAGE or "1337" in page:
        looked.wrong.append("too large, or a template that was filled in twice")
    return looked.wrong


def wrong(answer: httpx.Response) -> list[str]:
    """Return what is wrong with an answer."""
    if answer.status_code >= 500 and answer.status_code != 503:
        return [str(answer.status_code)]
    is_page = answer.headers.get("Content-Type", "").startswith("text/html")
    return wrong_in(answer.text) if is_page else []


def test_what_looks_at_pages_sees_what_is_wrong() -> None:
    for bad in (EVIL, "<p>", "</p>", "<a href='javascript:x'>x</a>", "<p onclick=x></p>", "\x00"):
        assert wrong_in(f"<main>{bad}</main>"), bad
    assert not wrong_in('<main><a href="/x">x</a><br></main>')


# --- a site


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    """Return an appliance in whose ledger every name and sentence is an attack."""
    made = appliance_in(tmp_path_factory.mktemp("site"), web="")
    fill_site(made)
    with made.engine.begin() as connection:
        for table in audit_events.metadata.sorted_tables:
            for column in table.columns:
                if column.name in TEXTS and str(column) not in CLOSED:
                    connection.execute(sa.update(table).values({column: column + EVIL}))
    return made


@pytest.fixture(scope="module")
def app(appliance: Appliance) -> FastAPI:
    return application(appliance, CHEAP)


@pytest.fixture(scope="module")
def browser(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        assert submit_login(client, ADMINISTRATOR).status_code == 303
        client.headers["X-CSRF-Token"] = csrf_in(client.get("/account"))
        yield client


def routes(app: FastAPI) -> Iterator[APIRoute]:
    """Yield every route of a page."""
    for route in app.routes:
        for one in getattr(getattr(route, "original_router", None), "routes", ()):
            if isinstance(one, APIRoute):
                yield one


def known(appliance: Appliance) -> dict[str, str]:
    """Return what stands in a path so that something is there."""
    return PATHS | {"model_id": f"{MODEL}{EVIL}", "alarm_id": alarm_of(appliance)}


def at(path: str, values: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda it: quote(values.get(it[1], "x"), safe=""), path)


@pytest.mark.parametrize("language", ["en", "da"])
def test_what_the_ledger_holds_is_shown_as_it_is_and_runs_nothing(
    app: FastAPI, appliance: Appliance, browser: TestClient, language: str
) -> None:
    values, shown = known(appliance), set()
    looked = [at(one.path, values) for one in routes(app) if "GET" in one.methods]
    looked += ["/alarms?state=all", "/audit?limit=500"]
    for path in looked:
        browser.cookies.set("language", language)
        answer = browser.get(path)
        assert not wrong(answer), path
        if "&lt;script&gt;alert(1)" in answer.text:
            shown.add(path)
    for path in ("/cases", "/models", "/alarms", "/audit", "/constancy", f"/cases/{CASE}"):
        assert path in shown
    assert at("/models/{model_id}/{digest}", values) in shown
    assert at("/alarms/{alarm_id}", values) in shown


# --- what is asked


def named(dependant: Dependant, kind: str) -> Iterator[str]:
    """Yield the names of what a route reads from a query or a form."""
    yield from (one.alias for one in getattr(dependant, kind))
    for one in dependant.dependencies:
        yield from named(one, kind)


READ_BY_HAND: Final = {"/cases": AskedCases, "/alarms": AskedAlarms, "/audit": AskedAudit}


def test_whatever_is_asked_is_answered_by_a_page_that_runs_nothing(
    app: FastAPI, appliance: Appliance, browser: TestClient
) -> None:
    values = known(appliance)
    found, asked = [], 0
    for route in routes(app):
        if route.path.startswith(("/login", "/logout", "/account/", "/dicom-web")):
            continue
        for odd in ODD:
            for name, answer in answers(browser, route, odd, values):
                found += [(route.path, name, odd[:20], one) for one in wrong(answer)]
                asked += 1
    assert asked > len(ODD) * 50
    assert not found


def answers(
    browser: TestClient, route: APIRoute, odd: str, values: Mapping[str, str]
) -> Iterator[tuple[str, httpx.Response]]:
    """Yield what a route answers where a part of its path, a parameter or a field is odd."""
    path, (method, *_) = at(route.path, values), sorted(route.methods)
    for name in re.findall(r"{(\w+)", route.path):
        yield name, browser.request(method, at(route.path, {**values, name: odd}))
    by_hand = READ_BY_HAND[route.path].model_fields if route.path in READ_BY_HAND else ()
    for name in (*named(route.dependant, "query_params"), *by_hand):
        yield name, browser.request(method, path, params={name: odd})
    fields = list(named(route.dependant, "body_params"))
    for name in fields:
        yield name, browser.request(method, path, data=dict.fromkeys(fields, "x") | {name: odd})


# --- a ledger that is away


def test_a_ledger_that_is_locked_is_said_and_reading_goes_on(tmp_path: Path) -> None:
    appliance, browser = site(tmp_path)
    with appliance.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
    sa.event.listen(appliance.engine, "begin", impatient)
    with sqlite3.connect(str(appliance.engine.url.database), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert browser.get("/cases").status_code == 200
        answer = browser.post("/cases/sample", data={"size": "5"})
        program = browser.post(f"/api/v1/cases/{CASE}/withdraw", json={"reason": "Wrong."})
        other.execute("ROLLBACK")
    assert (answer.status_code, program.status_code) == (503, 503)
    assert not wrong(answer)
    assert "database could not be opened" in answer.text
    assert program.json()["code"] == "database-away"
    assert browser.post("/cases/sample", data={"size": "5"}).status_code == 303


def impatient(connection: sa.Connection) -> None:
    """Let a writer wait for no other."""
    connection.connection.execute("PRAGMA busy_timeout=0")  # type: ignore[attr-defined]  # SQLite's


def test_a_ledger_that_is_gone_is_said_on_every_page(tmp_path: Path) -> None:
    appliance, browser = site(tmp_path)
    appliance.engine.dispose()
    for file in tmp_path.glob("clic-edge.sqlite*"):
        file.unlink()
    for path in ("/", "/cases", "/login", "/api/v1/cases", "/api/v1/overview"):
        answer = browser.get(path)
        assert answer.status_code == 503, path
        assert not wrong(answer)
        assert "database could not be opened" in answer.text
    assert browser.get("/static/clic-edge.css").status_code == 200


def site(
    folder: Path, fill: Callable[[Appliance], None] = fill_cases
) -> tuple[Appliance, TestClient]:
    """Return an appliance that has something, and a browser in which its administrator is."""
    appliance = appliance_in(folder, web="")
    fill(appliance)
    client = TestClient(
        application(appliance, CHEAP), base_url="http://localhost", follow_redirects=False
    )
    submit_login(client, ADMINISTRATOR)
    client.headers["X-CSRF-Token"] = csrf_in(client.get("/account"))
    return appliance, client


# --- what a browser brings along


@pytest.mark.parametrize("cookie", ["x", "", EVIL.encode().hex(), "x" * 3_000, "é\xff", '"\\'])
def test_a_cookie_of_another_time_leads_to_the_log_in(app: FastAPI, cookie: str) -> None:
    names = (
        "clic-edge-session",
        "clic-edge-login",
        "language",
        "theme",
        "__Host-clic-edge-session",
    )
    sent = "; ".join(f"{name}={cookie}" for name in names).encode("latin-1")
    stranger = TestClient(app, base_url="http://localhost", follow_redirects=False)
    assert stranger.get("/models", headers={b"Cookie": sent}).status_code == 303
    page = stranger.get("/login", headers={b"Cookie": sent})
    assert page.status_code == 200
    assert not wrong(page)


def test_letters_that_are_none_are_no_defect(browser: TestClient) -> None:
    """A multipart form names its own encoding, and some encodings make half of a letter."""
    form = (
        b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n\\ud800\r\n'
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\\ud800\r\n--x--\r\n'
    )
    kind = "multipart/form-data; boundary=x; charset=unicode_escape"
    token = browser.headers.pop("X-CSRF-Token")
    try:
        assert (
            browser.post("/accounts", content=form, headers={"Content-Type": kind}).status_code
            == 403
        )
    finally:
        browser.headers["X-CSRF-Token"] = token
    answer = browser.post("/accounts", content=form, headers={"Content-Type": kind})
    assert answer.status_code == 422
    body = b'{"reason": "\\ud800"}'
    headers = {"Content-Type": "application/json"}
    answer = browser.post(f"/api/v1/cases/{CASE}/retry", content=body, headers=headers)
    assert answer.status_code == 422


# --- twice


def test_what_is_sent_twice_happens_once(tmp_path: Path) -> None:
    appliance, browser = site(tmp_path, fill_site)
    alarm, model = alarm_of(appliance), at("/models/{model_id}/{digest}", PATHS)
    today = datetime.now(UTC).date().isoformat()
    for path, form in (
        ("/accounts", {"name": "Ny", "role": "viewer", "password": PASSWORD}),
        (f"/alarms/{alarm}/acknowledge", {"reason": "A coil.", "cause": "acquisition"}),
        (f"/alarms/{alarm}/comment", {"text": "On Monday."}),
        (f"{model}/notes", {"day": today, "kind": "other", "text": "A new coil."}),
    ):
        before = deeds(appliance)
        assert browser.post(path, data=form).status_code == 303, path
        once = deeds(appliance)
        assert browser.post(path, data=form).status_code in {303, 409, 422}, path
        assert deeds(appliance) == once > before, path


def deeds(appliance: Appliance) -> int:
    with appliance.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(audit_events)) or 0
