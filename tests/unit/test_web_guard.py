"""Nothing answers without log-in, and nothing is done that a page of ours did not ask for."""

from __future__ import annotations

import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from inspect import getclosurevars
from typing import TYPE_CHECKING

import pytest
from fastapi.routing import APIRoute
from logins import ADMINISTRATOR, CHEAP, PASSWORD, add_account, csrf_in, submit_login
from pages import appliance_in
from sqlalchemy.pool import QueuePool
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from clic_edge.accounts.door import Door, TokenUse
from clic_edge.accounts.tokens import digest
from clic_edge.cli.web import application
from clic_edge.domain.account import Role
from clic_edge.ledger.access_tables import accounts
from clic_edge.ledger.schema import audit_events
from clic_edge.web.guard import LARGEST_BODY, OPEN
from clic_edge.web.problems import not_logged_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI
    from fastapi.dependencies.models import Dependant
    from starlette.routing import BaseRoute

    from clic_edge.app import Appliance
    from clic_edge.ledger import Ledger

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
METHODS = ("GET", "HEAD", *sorted(CHANGING))
OTHER = "Åse"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    made = appliance_in(tmp_path_factory.mktemp("site"), web="")
    add_account(made.ledger, OTHER)
    return made


@pytest.fixture(scope="module")
def ledger(appliance: Appliance) -> Ledger:
    return appliance.ledger


@pytest.fixture(scope="module")
def app(appliance: Appliance) -> FastAPI:
    return application(appliance, CHEAP)


def anybody(app: FastAPI, scheme: str = "http") -> TestClient:
    return TestClient(app, base_url=f"{scheme}://localhost", follow_redirects=False)


@pytest.fixture
def stranger(app: FastAPI) -> TestClient:
    return anybody(app)


@pytest.fixture
def browser(app: FastAPI) -> TestClient:
    """Return a browser in which the administrator is logged in."""
    client = anybody(app)
    assert submit_login(client, ADMINISTRATOR).status_code == 303
    return client


# --- every route


def routes(found: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, BaseRoute]]:
    """Yield every route of an application with its path, and those of what is mounted in it."""
    for route in found:
        path = prefix + getattr(route, "path", "")
        if isinstance(route, Mount):
            yield f"{path}/x", route
            yield from routes(list(route.routes), path)
        elif nested := getattr(getattr(route, "original_router", None), "routes", None):
            yield from routes(list(nested), path)
        else:
            yield path, route


@pytest.mark.slow
def test_no_route_of_any_page_answers_without_log_in_but_those_that_must(
    app: FastAPI, stranger: TestClient
) -> None:
    found = {path for path, _ in routes(app.routes)} | {
        "/",
        "/no/such/page",
        "/assess/x",
        "/docs",
        "/metrics",
    }
    assert found >= {
        "/models",
        "/open/{case_id}",
        "/dicom-web/{path:path}",
        "/account/password",
        "/api/v1/overview",
    }
    answered = set()
    for path in found:
        for method in METHODS:
            asked = re.sub(r"{\w+(:\w+)?}", "x", path)
            answer = stranger.request(method, asked)
            if answer.status_code != 401 and "/login" not in answer.headers.get("Location", ""):
                answered.add(path)
            if path not in OPEN and method != "GET" and not path.startswith("/static"):
                assert answer.text in ("", not_logged_in().body.decode())
    assert answered == {"/health", "/login", "/login/language", "/static/x"}


@pytest.mark.parametrize(
    "path",
    ["//models", "/static/../models", "/health/../models", "/models/", "/MODELS", "/login/x"],
)
def test_no_way_of_writing_a_path_goes_around_the_log_in(stranger: TestClient, path: str) -> None:
    answer = stranger.get(f"http://localhost{path}")
    assert answer.status_code in {303, 404}
    assert "History" not in answer.text


def test_a_page_sends_to_the_log_in_and_a_program_is_told(stranger: TestClient) -> None:
    page = stranger.get("/models?pipeline=a&b=c")
    assert page.status_code == 303
    assert page.headers["Location"] == "/login?next=%2Fmodels%3Fpipeline%3Da%26b%3Dc"
    for path in ("/api/v1/overview", "/dicom-web/studies", "/viewer/app.js"):
        answer = stranger.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert stranger.get("/viewer/").status_code == 303


def test_a_socket_is_not_opened(stranger: TestClient) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        stranger.websocket_connect("ws://localhost/"),
    ):
        pytest.fail("it was opened")
    assert caught.value.code == 1008


# --- logging in and out


def test_who_logs_in_comes_where_they_wanted_and_logs_out_for_good(app: FastAPI) -> None:
    browser = anybody(app)
    entered = submit_login(browser, ADMINISTRATOR, to="/models?a=b")
    assert (entered.status_code, entered.headers["Location"]) == (303, "/models?a=b")
    assert browser.get("/models").status_code == 200
    kept = browser.cookies["clic-edge-session"]
    left = browser.post("/logout", data={"csrf": csrf_in(browser.get("/account"))})
    assert left.headers["Location"] == "/login"
    assert "clic-edge-session" not in browser.cookies
    browser.cookies.set("clic-edge-session", kept)
    assert browser.get("/models").status_code == 303, "the session has ended, not the cookie alone"


def test_every_log_in_has_a_new_token_and_ends_the_one_before(app: FastAPI) -> None:
    browser = anybody(app)
    browser.cookies.set("clic-edge-session", "chosen-by-somebody-else")
    tokens = []
    for _ in range(2):
        submit_login(browser, ADMINISTRATOR)
        tokens.append(browser.cookies.get("clic-edge-session", domain="localhost.local"))
    assert len({*tokens, "chosen-by-somebody-else"}) == 3
    stolen = anybody(app)
    stolen.cookies.set("clic-edge-session", str(tokens[0]))
    assert stolen.get("/models").status_code == 303


def test_a_cookie_goes_to_no_script_and_no_other_site(tmp_path: Path, app: FastAPI) -> None:
    plain = submit_login(anybody(app), ADMINISTRATOR).headers.get_list("Set-Cookie")
    encrypted = application(appliance_in(tmp_path, web="behind_proxy = true"), CHEAP)
    entered = submit_login(anybody(encrypted, "https"), ADMINISTRATOR)
    secure = entered.headers.get_list("Set-Cookie")
    assert plain[0].startswith("clic-edge-session=")
    assert secure[0].startswith("__Host-clic-edge-session=")
    for cookie in (*plain, *secure):
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
    assert all("Secure" in one for one in secure)
    assert not any("Secure" in one for one in plain)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil",
    ],
)
def test_a_log_in_leads_to_this_site_only(app: FastAPI, elsewhere: str) -> None:
    assert submit_login(anybody(app), ADMINISTRATOR, to=elsewhere).headers["Location"] == "/"


def test_a_wrong_password_is_told_without_saying_what_is_wrong(stranger: TestClient) -> None:
    pages = [
        submit_login(stranger, name, "a wrong password")
        for name in (OTHER, "nobody", "<script>alert(1)</script>")
    ]
    assert [page.status_code for page in pages] == [401] * 3
    texts = {page.text.replace(csrf_in(page), "") for page in pages}
    assert len(texts) == 1
    assert "Name or password is wrong." in texts.pop()


def test_a_form_of_the_log_in_page_that_is_not_of_this_browser_is_refused(app: FastAPI) -> None:
    """Else somebody else's page could log a reader in as somebody else."""
    other = csrf_in(anybody(app).get("/login"))
    browser = anybody(app)
    for token in ("", other):
        form = {"name": ADMINISTRATOR, "password": PASSWORD, "csrf": token}
        assert browser.post("/login", data=form).status_code == 403
        browser.get("/login")
    assert browser.get("/models").status_code == 303


def test_too_many_failures_wait_and_the_page_says_how_long(app: FastAPI, ledger: Ledger) -> None:
    add_account(ledger, "guessed")
    browser = anybody(app)
    page = submit_login(browser, "guessed", "wrong")
    failed = 0
    while page.status_code == 401:  # the waits get longer than any machine is slow
        failed += 1
        page = submit_login(browser, "guessed", "wrong")
    assert failed >= 5
    assert page.status_code == 429
    assert int(page.headers["Retry-After"]) >= 1
    assert "Too many attempts" in page.text


def test_before_the_first_account_the_page_says_how_to_make_it(tmp_path: Path) -> None:
    appliance = appliance_in(tmp_path, web="")
    with appliance.engine.begin() as connection:
        connection.execute(audit_events.delete())
        connection.execute(accounts.delete())
    page = anybody(application(appliance, CHEAP)).get("/login")
    assert "clic-edge users add NAME --role administrator" in page.text


def test_the_log_in_page_speaks_both_languages(stranger: TestClient) -> None:
    answer = stranger.get("/login/language", params={"language": "da", "next": "/models"})
    assert answer.headers["Location"] == "/login?next=%2Fmodels"
    assert "Adgangskode" in stranger.get(answer.headers["Location"]).text


# --- forms


@pytest.mark.parametrize("how", ["form", "multipart", "header"])
@pytest.mark.parametrize("token", ["own", "none", "wrong", "foreign", "login"])
def test_a_form_counts_only_with_the_token_of_its_session(
    app: FastAPI, browser: TestClient, how: str, token: str
) -> None:
    other = anybody(app)
    submit_login(other, OTHER)
    tokens = {
        "own": csrf_in(browser.get("/account")),
        "none": "",
        "wrong": "0" * 64,
        "foreign": csrf_in(other.get("/account")),
        "login": csrf_in(browser.get("/login")),
    }
    data = {"theme": "dark", "next": "/models"}
    match how:
        case "form":
            answer = browser.post("/preferences", data=data | {"csrf": tokens[token]})
        case "multipart":
            files = {"file": b"x"}
            answer = browser.post("/preferences", data=data | {"csrf": tokens[token]}, files=files)
        case _:
            answer = browser.post(
                "/preferences", data=data, headers={"X-CSRF-Token": tokens[token]}
            )
    if token == "own":  # noqa: S105 - a row of the table
        assert (answer.status_code, answer.headers["Location"]) == (303, "/models")
    else:
        assert answer.status_code == 403
        assert "theme" not in answer.cookies


def test_a_body_that_is_no_form_or_too_large_or_broken_is_refused(
    browser: TestClient, stranger: TestClient
) -> None:
    assert browser.post("/preferences", json={"csrf": "x"}).status_code == 403
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert browser.post("/preferences", content=b"--y\r\n", headers=broken).status_code == 403
    large = {"csrf": "x" * (LARGEST_BODY + 1)}
    assert browser.post("/preferences", data=large).status_code == 413
    assert stranger.post("/login", data=large).status_code == 413


# --- programs


def test_a_program_comes_with_its_token_and_needs_no_other(
    ledger: Ledger, stranger: TestClient
) -> None:
    now = datetime.now(UTC)
    use = TokenUse(label="board", role=Role.VIEWER, expires_at=now + timedelta(days=1))
    token = Door(ledger).new_token(ledger.accounts.named(OTHER), use, by="Ida", now=now)
    bearer = {"Authorization": f"Bearer {token}"}
    assert stranger.get("/models", headers=bearer).status_code == 200
    assert stranger.post("/preferences", headers=bearer).status_code == 303, (
        "no form, no token of one"
    )
    large = "x" * (LARGEST_BODY + 1)
    assert stranger.post("/api/v1/annotations", headers=bearer, content=large).status_code == 413
    for wrong in ("Bearer x", "Bearer ", f"Basic {token}", token):
        assert stranger.get("/models", headers={"Authorization": wrong}).status_code == 401


# --- one's own account


def test_an_account_that_is_disabled_is_out_at_its_next_request(
    app: FastAPI, ledger: Ledger
) -> None:
    add_account(ledger, "leaver")
    browser = anybody(app)
    submit_login(browser, "leaver")
    assert browser.get("/models").status_code == 200
    ledger.accounts.disable("leaver", by=ADMINISTRATOR)
    assert browser.get("/models").status_code == 303


def test_a_person_changes_the_password_and_ends_other_sessions(
    app: FastAPI, ledger: Ledger
) -> None:
    add_account(ledger, "changer")
    browser, elsewhere, third = (anybody(app) for _ in range(3))
    for one in (browser, elsewhere, third):
        submit_login(one, "changer")
    page = browser.get("/account")
    token = csrf_in(page)
    (other, *_) = [part.split('"')[0] for part in page.text.split('name="session" value="')[1:]]
    browser.post("/account/sessions/end", data={"csrf": token, "session": other})
    assert [one.get("/account").status_code for one in (browser, elsewhere, third)].count(200) == 2
    for old, new, again, said in (
        ("wrong", "four other words here", "four other words here", "is another"),
        (PASSWORD, "four other words here", "and others", "not the same"),
        (PASSWORD, "x" * 20, "x" * 20, "too short"),
    ):
        form = {"csrf": token, "old": old, "new": new, "again": again}
        answer = browser.post("/account/password", data=form)
        assert answer.status_code == 422
        assert said in answer.text
        assert new not in answer.text
    form = {
        "csrf": token,
        "old": PASSWORD,
        "new": "four other words here",
        "again": "four other words here",
    }
    assert browser.post("/account/password", data=form).status_code == 303
    assert [one.get("/account").status_code for one in (browser, elsewhere, third)] == [
        200,
        303,
        303,
    ]


def test_a_language_is_the_accounts_in_every_browser(app: FastAPI, ledger: Ledger) -> None:
    add_account(ledger, "dansk")
    browser, other = anybody(app), anybody(app)
    submit_login(browser, "dansk")
    token = csrf_in(browser.get("/account"))
    browser.post("/preferences", data={"csrf": token, "language": "da"})
    submit_login(other, "dansk")
    assert "Skift adgangskode" in other.get("/account").text


# --- roles


OWN = {"/account/password", "/account/sessions/end", "/login", "/logout", "/preferences"}
"""What everybody may change: it is their own."""


def test_a_viewer_changes_nothing_but_what_is_their_own(app: FastAPI) -> None:
    """Some pages look for what is to be changed before they look at who asks."""
    changing = {path: route for path, route in routes(app.routes) if methods(route) & CHANGING}
    assert {path for path, route in changing.items() if not demands_more(route)} == OWN
    browser = anybody(app)
    submit_login(browser, OTHER)
    browser.headers["X-CSRF-Token"] = csrf_in(browser.get("/account"))
    for path in sorted(changing.keys() - OWN):
        for method in CHANGING:
            asked = re.sub(r"{\w+(:\w+)?}", "x", path)
            assert browser.request(method, asked).status_code in {403, 404, 405}, path


def demands_more(route: BaseRoute) -> bool:
    """Return whether a route asks for more than the role of a viewer."""
    return demanded(route) is not Role.VIEWER


def demanded(route: BaseRoute) -> Role:
    """Return the highest role that a route asks for."""

    def roles(dependant: Dependant) -> Iterator[Role]:
        for one in dependant.dependencies:
            yield from roles(one)
            if getattr(one.call, "__qualname__", "").startswith("at_least."):
                yield getclosurevars(one.call).nonlocals["role"]  # type: ignore[arg-type]  # a function

    asked = set(roles(route.dependant)) if isinstance(route, APIRoute) else set()
    return max(asked | {Role.VIEWER}, key=list(Role).index)


def test_each_route_that_changes_something_lets_its_role_in_and_no_lesser(
    app: FastAPI, ledger: Ledger
) -> None:
    add_account(ledger, "medical", Role.PHYSICIST)
    changing = {
        path: demanded(route)
        for path, route in routes(app.routes)
        if methods(route) & CHANGING and path not in OWN
    }
    assert {path for path, role in changing.items() if role is Role.ADMINISTRATOR} == {
        *("/accounts", "/accounts/change", "/accounts/revoke", "/support-bundle"),
        *("/senders/allow", "/senders/forget"),
    }
    assert "/api/v1/models/move" in changing
    for name, has in ((OTHER, Role.VIEWER), ("medical", Role.PHYSICIST)):
        browser = anybody(app)
        submit_login(browser, name)
        browser.headers["X-CSRF-Token"] = csrf_in(browser.get("/account"))
        for path, role in changing.items():
            status = browser.post(re.sub(r"{\w+(:\w+)?}", "x", path)).status_code
            if has.includes(role):
                assert status in {303, 404, 409, 422}, path
            else:
                assert status in {403, 404}, path


def methods(route: BaseRoute) -> set[str]:
    return set(getattr(route, "methods", None) or ())


def test_only_administrators_decide_about_accounts(app: FastAPI, ledger: Ledger) -> None:
    add_account(ledger, "physicist", Role.PHYSICIST)
    before = ledger.accounts.all()
    for name in (OTHER, "physicist"):
        browser = anybody(app)
        submit_login(browser, name)
        token = csrf_in(browser.get("/account"))
        assert "/accounts" not in browser.get("/account").text.replace("/account/", "")
        for path in ("/accounts", "/api/v1/accounts"):
            assert browser.get(path).status_code == 403
        change = {"csrf": token, "name": name, "role": "administrator", "do": "enable"}
        for path in ("/accounts", "/accounts/change", "/accounts/revoke"):
            assert browser.post(path, data=change).status_code == 403
    assert ledger.accounts.all() == before


def test_an_administrator_adds_changes_and_disables_accounts(
    app: FastAPI, ledger: Ledger, browser: TestClient
) -> None:
    token = {"csrf": csrf_in(browser.get("/accounts"))}
    new = token | {"name": "Nye <b>Bo</b>", "role": "viewer", "password": PASSWORD}
    assert browser.post("/accounts", data=new).status_code == 303
    page = browser.get("/accounts").text
    assert "Nye &lt;b&gt;Bo&lt;/b&gt;" in page
    assert "argon2" not in page
    name = {"name": new["name"]}
    session = anybody(app)
    submit_login(session, new["name"])
    assert session.get("/accounts").status_code == 403
    change = token | name
    assert browser.post("/accounts/change", data=change | {"role": "physicist"}).status_code == 303
    assert session.get("/account").status_code == 303, "the role is another"
    other = {"password": "words that are others"}
    assert browser.post("/accounts/change", data=change | other).status_code == 303
    assert submit_login(anybody(app), new["name"], other["password"]).status_code == 303
    assert browser.post("/accounts/change", data=change | {"do": "disable"}).status_code == 303
    assert submit_login(anybody(app), new["name"], other["password"]).status_code == 401
    assert "disabled" in browser.get("/accounts").text
    assert browser.post("/accounts/change", data=change | {"do": "enable"}).status_code == 303
    listed = browser.get("/api/v1/accounts").json()
    assert {"Nye <b>Bo</b>", ADMINISTRATOR} <= {one["name"] for one in listed}
    assert set(listed[0]) == {"name", "role", "is_disabled", "issuer", "created_at"}
    told = [one for one in ledger.records.audit("") if one.about == f"account {new['name']}"]
    acted = [one.action for one in told if one.person == ADMINISTRATOR]
    assert acted == [
        *("account-added", "password-changed", "role-changed", "password-changed"),
        *("account-disabled", "account-enabled"),
    ]


@pytest.mark.parametrize(
    ("path", "form", "said"),
    [
        ("/accounts", {"name": OTHER, "password": PASSWORD}, "already"),
        ("/accounts", {"name": " ", "password": PASSWORD}, "1 to 64"),
        ("/accounts", {"name": "Ny", "password": "short"}, "too short"),
        ("/accounts/change", {"name": "nobody"}, "no account"),
        ("/accounts/change", {"name": ADMINISTRATOR, "do": "disable"}, "No administrator"),
        ("/accounts/change", {"name": ADMINISTRATOR, "role": "viewer"}, "No administrator"),
        ("/accounts/change", {"name": OTHER, "password": OTHER * 6}, "too short"),
        ("/accounts/revoke", {"name": OTHER, "token": "none"}, "no such token"),
    ],
)
def test_what_an_administrator_cannot_do_is_said_and_changes_nothing(
    ledger: Ledger, browser: TestClient, path: str, form: dict[str, str], said: str
) -> None:
    before = ledger.accounts.all()
    token = csrf_in(browser.get("/accounts"))
    answer = browser.post(path, data=form | {"csrf": token})
    assert answer.status_code == 422
    assert said in answer.text.partition("<main")[2]
    assert ledger.accounts.all() == before


# --- what is told


def test_no_password_token_or_hash_is_in_a_log_an_error_or_a_page(
    app: FastAPI, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    browser = anybody(app)
    submit_login(browser, ADMINISTRATOR)
    session = next(one.value for one in browser.cookies.jar if "session" in one.name)
    pages = [
        submit_login(anybody(app), OTHER, "canary-of-a-password"),
        submit_login(anybody(app), "canary-of-a-name", PASSWORD),
        *(browser.get(path) for path in ("/", "/account", "/accounts", "/no", "/login", "/health")),
        browser.post("/accounts", data={"password": "canary-of-a-password"}),
        browser.get("/models", headers={"Authorization": "Bearer canary-of-a-token"}),
    ]
    told = caplog.text + "".join(page.text for page in pages)
    told += repr([ledger.records.audit(""), ledger.accounts.all()])
    hashes = [one.password_hash for one in ledger.accounts.all()]
    for secret in (PASSWORD, "canary-of", str(session), digest(str(session)), *hashes):
        assert secret not in told


# --- what hinders a request


@pytest.mark.parametrize(
    ("language", "title"), [("en", "There is no such page."), ("da", "Den side findes ikke.")]
)
def test_a_page_that_is_not_there_has_the_menu_and_the_readers_language(
    browser: TestClient, language: str, title: str
) -> None:
    browser.cookies.set("language", language)
    answer = browser.get("/no-such-page")
    assert answer.status_code == 404
    assert title in answer.text
    assert f'<html lang="{language}"' in answer.text
    assert 'href="/cases"' in answer.text


def test_a_database_without_a_free_connection_is_a_page_that_says_not_now(
    appliance: Appliance, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = appliance.engine.pool
    assert isinstance(pool, QueuePool)
    monkeypatch.setattr(pool, "_timeout", 0.05)
    with ExitStack() as held:
        for _ in range(pool.size() + pool._max_overflow):
            held.enter_context(appliance.engine.connect())
        page, program = browser.get("/cases"), browser.get("/api/v1/cases")
    assert (page.status_code, program.status_code) == (503, 503)
    assert "Not now" in page.text
    assert browser.get("/cases").status_code == 200
