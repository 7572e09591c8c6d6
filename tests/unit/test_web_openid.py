"""Logging in through an OpenID provider, and everything that is no log-in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import openid_providers as providers
import pytest
import sqlalchemy as sa
from logins import CHEAP, add_account
from openid_providers import CLIENT, SECRET, openid_provider
from pages import appliance_in
from starlette.testclient import TestClient

from clic_edge.accounts.openid import Attempt, Person, Provider
from clic_edge.cli.web import application
from clic_edge.config.openid import OpenId
from clic_edge.domain.account import Role
from clic_edge.errors import Refusal
from clic_edge.ledger.access_tables import accounts, login_attempts, sessions
from clic_edge.ledger.schema import audit_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from clic_edge.app import Appliance

pytestmark = pytest.mark.servers
IDA = {"preferred_username": "Ida Fysiker", "groups": ["radiology", "physics"]}


class Hospital:
    """A provider, and the pages of an appliance that trusts it."""

    def __init__(self, provider: providers.Provider, appliance: Appliance, app: FastAPI) -> None:
        self.provider = provider
        self.engine = appliance.engine
        self.ledger = appliance.ledger
        self.app = app

    def browser(self) -> TestClient:
        """Return a browser of somebody who is not known yet."""
        return TestClient(self.app, base_url="http://localhost", follow_redirects=False)

    def go(self, browser: TestClient, to: str = "/models") -> str:
        """Go to the provider, log in there, and return where it sends the browser."""
        left = browser.get("/login/openid", params={"next": to})
        assert left.status_code == 303
        answer = httpx.get(left.headers["Location"], trust_env=False, verify=False)  # noqa: S501 - it is no TLS
        return answer.headers["Location"]

    def log_in(self, browser: TestClient | None = None) -> httpx.Response:
        """Go there and come back."""
        browser = browser or self.browser()
        return browser.get(self.go(browser))

    def audit(self) -> list[str]:
        """Return what failed, and why."""
        query = sa.select(audit_events.c.detail).where(audit_events.c.action == "login-failed")
        with self.engine.connect() as connection:
            return [row.detail for row in connection.execute(query)]


@pytest.fixture(scope="module")
def provider() -> Iterator[providers.Provider]:
    with openid_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def appliance(provider: providers.Provider, tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    folder = tmp_path_factory.mktemp("site")
    (folder / "secret").write_text(SECRET)
    openid = f"""
[web.openid]
issuer = "{provider.url}"
client_id = "{CLIENT}"
client_secret_file = "secret"
title = "Hospital account"
viewer = ["radiology"]
physicist = ["physics"]
administrator = ["it"]
"""
    return appliance_in(folder, web=openid)


@pytest.fixture(scope="module")
def app(appliance: Appliance) -> FastAPI:
    return application(appliance, CHEAP)


@pytest.fixture
def hospital(provider: providers.Provider, appliance: Appliance, app: FastAPI) -> Hospital:
    provider.claims, provider.sign, provider.is_broken = dict(IDA), providers.signed, False
    provider.keys, provider.issuer = [providers.KEY], ""
    with appliance.engine.begin() as connection:
        for table in (sessions, accounts, audit_events, login_attempts):
            connection.execute(table.delete())
    return Hospital(provider, appliance, app)


def test_a_person_comes_through_the_provider_and_goes_where_they_wanted(
    hospital: Hospital,
) -> None:
    browser = hospital.browser()
    assert "Hospital account" in browser.get("/login").text
    entered = browser.get(hospital.go(browser, to="/models?a=b"))
    assert (entered.status_code, entered.headers["Location"]) == (303, "/models?a=b")
    page = browser.get("/account")
    assert "Ida Fysiker" in page.text
    assert hospital.provider.url in page.text
    record = hospital.ledger.accounts.named("Ida Fysiker")
    assert (record.role, record.subject, record.password_hash) == (Role.PHYSICIST, "person-1", "")


def test_the_role_is_what_the_provider_says_today(hospital: Hospital) -> None:
    browser = hospital.browser()
    hospital.log_in(browser)
    hospital.provider.claims |= {"groups": "it", "preferred_username": "Ida Married"}
    assert hospital.log_in().status_code == 303
    (record,) = hospital.ledger.accounts.all()
    assert (record.name, record.role) == ("Ida Fysiker", Role.ADMINISTRATOR)
    assert browser.get("/account").status_code == 303, "sessions of the old role have ended"


CLAIMS = {
    "another audience": {"aud": "another"},
    "no audience": {"aud": None},
    "several audiences and no party": {"aud": [CLIENT, "another"]},
    "another party": {"aud": [CLIENT, "another"], "azp": "another"},
    "another issuer": {"iss": "https://evil.example"},
    "another nonce": {"nonce": "0" * 64},
    "no nonce": {"nonce": None},
    "expired": {"exp": int(time.time()) - 3600},
    "no expiry": {"exp": None},
    "of tomorrow": {"iat": int(time.time()) + 86_400},
    "nobody": {"sub": None},
}


@pytest.mark.parametrize("claims", CLAIMS.values(), ids=CLAIMS)
def test_a_token_with_a_wrong_claim_lets_nobody_in(
    hospital: Hospital, claims: dict[str, object]
) -> None:
    hospital.provider.claims |= claims
    refused(hospital, hospital.log_in(), "token-invalid")


@pytest.mark.parametrize(
    "sign",
    [
        providers.signed_by_another,
        providers.signed_by_nobody,
        providers.signed_with_the_public_key,
        providers.signed_by_new,
        lambda _claims: "no.token.atall",
        lambda _claims: "",
    ],
    ids=["another key", "none", "shared", "unpublished key", "no token", "empty"],
)
def test_a_token_that_the_provider_did_not_sign_lets_nobody_in(
    hospital: Hospital, sign: Callable[[dict[str, object]], str]
) -> None:
    hospital.provider.sign = sign
    refused(hospital, hospital.log_in(), "token-invalid")


def refused(hospital: Hospital, answer: httpx.Response, code: str, status: int = 403) -> None:
    """Assert that nobody was let in, that the page says so, and why stands in the audit trail."""
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert "clic-edge-session" not in answer.cookies
    assert hospital.ledger.accounts.all() == ()
    assert [code in detail for detail in hospital.audit()] == [True]


@pytest.mark.parametrize(("patience_s", "times"), [(0.0, 2), (1e9, 1)])
def test_keys_that_are_changed_are_read_again_but_not_for_each_stranger(
    hospital: Hospital, patience_s: float, times: int
) -> None:
    settings = OpenId(issuer=hospital.provider.url, client_id=CLIENT, viewer=("radiology",))
    trusted = Provider(settings, SECRET, patience_s=patience_s)
    attempt = Attempt(secret="of a browser", to="/", back="http://localhost/login/back")  # noqa: S106 - of a test

    def person() -> Person:
        answer = httpx.get(trusted.address(attempt), trust_env=False, verify=False)  # noqa: S501 - as above
        return trusted.person(attempt, dict(parse_qsl(urlsplit(answer.headers["Location"]).query)))

    before = hospital.provider.asked.count("/keys")
    assert person().name == "Ida Fysiker"
    hospital.provider.sign, hospital.provider.keys = providers.signed_by_new, [providers.NEW_KEY]
    if times == 1:
        with pytest.raises(Refusal, match="token-invalid"):
            person()
    else:
        assert person().name == "Ida Fysiker"
    assert hospital.provider.asked.count("/keys") - before == times


def test_only_the_browser_that_began_comes_back(hospital: Hospital) -> None:
    mine, other = hospital.browser(), hospital.browser()
    back = hospital.go(mine)
    hospital.go(other)
    refused(hospital, other.get(back), "login-foreign")
    assert hospital.browser().get(back).status_code == 403
    assert mine.get(back).status_code == 303


@pytest.mark.parametrize("to", ["/", "/accounts", "https://evil.example"])
def test_a_state_is_of_one_path_and_cannot_be_changed(hospital: Hospital, to: str) -> None:
    browser = hospital.browser()
    back = hospital.go(browser, to="/models")
    (state,) = parse_qs(urlsplit(back).query)["state"]
    mark, other = state.split(".")[0], hospital.go(browser, to=to).partition("state=")[2]
    changed = other.partition("&")[0].partition(".")[2]
    answer = browser.get(back.replace(state, f"{mark}.{changed}"))
    refused(hospital, answer, "login-foreign")


def test_a_stranger_fills_neither_the_audit_trail_nor_the_providers_time(
    hospital: Hospital,
) -> None:
    browser = hospital.browser()
    (state,) = parse_qs(urlsplit(hospital.go(browser)).query)["state"]
    before = hospital.provider.asked.count("/token")
    path = f"/login/back?state={state}&code=guessed"
    answer, times = browser.get(path), 0
    while answer.status_code == 403:  # the waits get longer than any machine is slow
        answer, times = browser.get(path), times + 1
    assert answer.status_code == 429
    assert times >= 20
    assert hospital.provider.asked.count("/token") - before == times
    assert len(hospital.audit()) == times


def test_a_code_counts_once(hospital: Hospital) -> None:
    browser = hospital.browser()
    back = hospital.go(browser)
    kept = browser.cookies["clic-edge-login"]
    assert browser.get(back).status_code == 303
    again = hospital.browser()
    again.cookies.set("clic-edge-login", kept)
    assert again.get(back).status_code == 403


@pytest.mark.parametrize("answered", ["error=access_denied", "code=x&iss=https://evil.example"])
def test_what_the_provider_refuses_or_another_answers_is_said(
    hospital: Hospital, answered: str
) -> None:
    browser = hospital.browser()
    (state,) = parse_qs(urlsplit(hospital.go(browser)).query)["state"]
    answer = browser.get(f"/login/back?state={state}&{answered}")
    refused(hospital, answer, "provider-refused")


@pytest.mark.parametrize("groups", [None, [], ["canteen"], "", [{"id": "physics"}], 7])
def test_who_is_in_no_group_of_the_site_is_not_let_in(hospital: Hospital, groups: object) -> None:
    hospital.provider.claims["groups"] = groups
    refused(hospital, hospital.log_in(), "no-role")


def test_a_local_account_is_not_taken_over_by_its_name(hospital: Hospital) -> None:
    add_account(hospital.ledger, "ida fysiker", Role.ADMINISTRATOR)
    assert hospital.log_in().status_code == 403
    (record,) = hospital.ledger.accounts.all()
    assert record.issuer == ""


def test_who_is_disabled_here_is_not_let_in_by_the_provider(hospital: Hospital) -> None:
    hospital.provider.claims |= {"groups": ["physics"]}
    hospital.log_in()
    hospital.ledger.accounts.disable("Ida Fysiker", by="Bo")
    assert hospital.log_in().status_code == 403


def test_a_provider_that_is_away_or_says_it_is_another_is_said(
    hospital: Hospital, appliance: Appliance
) -> None:
    hospital.app = application(appliance, CHEAP)  # one that has not asked it before
    hospital.provider.issuer = "https://evil.example"
    assert hospital.browser().get("/login/openid").status_code == 503
    hospital.provider.issuer = ""
    browser = hospital.browser()
    back = hospital.go(browser)
    hospital.provider.is_broken = True
    refused(hospital, browser.get(back), "provider-away", status=503)
