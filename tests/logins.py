"""Accounts for tests, and how a browser logs in by them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from clic_edge.accounts.passwords import Hasher
from clic_edge.domain.account import Role
from clic_edge.ledger.accounts import AccountRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import BrowserContext

    from clic_edge.ledger import Ledger

PASSWORD = "four words of canary"  # noqa: S105 - a password of tests
"""Of every account of a test; nothing may ever show it."""
CHEAP = Hasher(passes=1, memory_kib=8, lanes=1)
"""Argon2id with the least that it can do."""
ADMINISTRATOR = "Ida Fysiker"
"""Whom the appliances of tests know."""
_HASH = CHEAP.hashed(PASSWORD)


def add_account(ledger: Ledger, name: str, role: Role = Role.VIEWER) -> AccountRecord:
    """Add a local account with the password of tests."""
    record = AccountRecord(name=name, role=role, created_at=datetime.now(UTC), password_hash=_HASH)
    return ledger.accounts.add(record, by="the test")


@contextmanager
def signed_in(url: str, name: str = ADMINISTRATOR) -> Iterator[httpx.Client]:
    """Yield a browser that has logged in as a person does: by the form of the log-in page.

    What it sends bears the token of its session, as the script of the pages does it.
    """
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as browser:
        answer = submit_login(browser, name)
        assert answer.status_code == httpx.codes.SEE_OTHER, answer.text
        browser.headers["X-CSRF-Token"] = csrf_in(browser.get("/account"))
        yield browser


def submit_login(
    browser: httpx.Client, name: str, password: str = PASSWORD, *, to: str = "/"
) -> httpx.Response:
    """Open the log-in page and send its form."""
    page = browser.get("/login", params={"next": to})
    form = {"name": name, "password": password, "next": to, "csrf": csrf_in(page)}
    return browser.post("/login", data=form)


def csrf_in(page: httpx.Response) -> str:
    """Return what the forms of a page have to bring back."""
    (token, *_) = re.findall(r'name="csrf" value="(\w+)"', page.text)
    return str(token)


def sign_in(context: BrowserContext, url: str) -> None:
    """Let the pages of a real browser be those of the administrator, at this address."""
    with signed_in(url) as browser:
        kept = [{"name": one.name, "value": one.value, "url": url} for one in browser.cookies.jar]
    context.add_cookies(kept)  # type: ignore[arg-type]  # as playwright takes them
