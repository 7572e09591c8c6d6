"""What every page is made of: words in two languages, escaped values, preferences."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, get_args

import pytest
from fastapi import FastAPI, HTTPException, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from clic_edge.domain.account import Account, Role
from clic_edge.web import api, preferences
from clic_edge.web.access import account_of, at_least
from clic_edge.web.navigation import MENU
from clic_edge.web.preferences import local_path
from clic_edge.web.rendering import Pages, moment, number, prose, span
from clic_edge.web.words import LANGUAGES, Language, say, words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

TEMPLATES = sorted((files("clic_edge.web") / "templates").iterdir(), key=lambda one: one.name)


def request_of(account: Account | None = None, cookies: Mapping[str, str] | None = None) -> Request:
    cookie = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
    state = {"account": account} if account else {}
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(b"cookie", cookie.encode())],
            "state": state,
        }
    )


def test_every_sentence_is_said_in_both_languages_with_the_same_values() -> None:
    for key, said in words().items():
        assert set(said) == set(LANGUAGES), key
        fields = {language: sorted(re.findall(r"{(\w*)", text)) for language, text in said.items()}
        assert fields["en"] == fields["da"], key


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one.name)
def test_a_template_says_nothing_by_itself_and_only_what_is_known(template: Traversable) -> None:
    text = template.read_text("utf-8")
    for key in re.findall(r"\bt\(\s*['\"]([\w.]+)['\"]\s*[,)]", text):
        assert key in words(), key
    assert "|safe" not in text.replace(" ", "")
    assert not re.search(r"\son\w+=|style=|<script>|javascript:", text)


def test_every_line_of_the_menu_has_its_word() -> None:
    assert {f"base.{entry.name}" for entry in MENU} <= set(words())


def test_a_value_is_escaped_and_the_page_is_in_the_readers_language() -> None:
    account = Account(name="<script>alert(1)</script>", role=Role.VIEWER)
    page = Pages().page(request_of(account, {"language": "da"}), "base.html")
    text = bytes(page.body).decode()
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    assert '<html lang="da"' in text
    assert say("da", "base.skip") in text


@pytest.mark.parametrize("asked", ["", "fr", "../../etc"])
def test_an_unknown_language_or_colour_is_the_sites_own(asked: str) -> None:
    page = Pages("da").page(request_of(cookies={"language": asked, "theme": asked}), "base.html")
    assert b'<html lang="da" data-theme="auto">' in bytes(page.body)


def test_who_has_not_logged_in_gets_nothing() -> None:
    with pytest.raises(HTTPException) as raised:
        account_of(request_of())
    assert raised.value.status_code == 401


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("needed", Role)
def test_a_role_may_do_what_those_before_it_may(role: Role, needed: Role) -> None:
    account = Account(name="Ida", role=role)
    order = list(Role)
    if order.index(role) >= order.index(needed):
        assert at_least(needed)(request_of(account)) is account
    else:
        with pytest.raises(HTTPException) as raised:
            at_least(needed)(request_of(account))
        assert raised.value.status_code == 403


@given(st.text())
def test_a_form_leads_back_to_this_site_only(asked: str) -> None:
    path = local_path(asked)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    assert path.isprintable()


@pytest.mark.parametrize("asked", ["https://evil", "//evil", "/\\evil", "evil", "/a\nb", ""])
def test_what_would_lead_elsewhere_leads_to_the_first_page(asked: str) -> None:
    assert local_path(asked) == "/"


def test_a_preference_is_kept_in_a_cookie_that_no_script_reads() -> None:
    app = FastAPI()
    app.include_router(preferences.router())
    app.dependency_overrides[account_of] = lambda: Account(name="Ida", role=Role.VIEWER)
    client = TestClient(app, follow_redirects=False)
    answer = client.post(
        "/preferences", data={"language": "da", "theme": "sepia", "next": "/models"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/models")
    assert answer.headers["set-cookie"].startswith("language=da; HttpOnly;")
    assert "theme" not in answer.cookies


def test_the_api_answers_nobody_who_has_not_logged_in() -> None:
    client = TestClient(api.create_api([preferences.router()]))
    assert client.post("/preferences").status_code == 401


@pytest.mark.parametrize(
    ("value", "digits", "language", "expected"),
    [
        (1234.5, 1, "en", "1,234.5"),
        (1234.5, 1, "da", "1.234,5"),
        (None, 0, "en", "–"),
        (float("nan"), 2, "da", "–"),
    ],
)
def test_a_number_is_written_as_the_language_does(
    value: float | None, digits: int, language: Language, expected: str
) -> None:
    assert number(value, digits, language=language) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 hours")]
)
def test_a_length_of_time_is_said_in_its_largest_unit(seconds: int, expected: str) -> None:
    assert span(timedelta(seconds=seconds)) == expected
    assert span(None) == "–"
    assert span(timedelta(days=3), language="da") == "3 dage"


def test_a_moment_is_in_utc_for_people_and_programs() -> None:
    at = datetime(2026, 11, 21, 12, 3, 4, tzinfo=UTC)
    assert moment(at) == '<time datetime="2026-11-21T12:03:04+00:00">2026-11-21 12:03</time>'


def test_the_languages_are_those_of_the_type() -> None:
    assert get_args(Language) == LANGUAGES


def test_a_command_in_a_sentence_is_code_and_the_rest_is_escaped() -> None:
    assert prose("Start `serve`, <b>.") == "Start <code>serve</code>, &lt;b&gt;."
    assert prose("<b>") == "<b>"
