"""The pages in a real browser: everybody can read and use them, and they ask nothing from elsewhere."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from browsers import CHROMIUM, SHOTS
from case_rows import a_certificate
from logins import ADMINISTRATOR, PASSWORD
from pages import appliance_in, serving

from clic_edge.demo.half_year import MODEL, replay
from clic_edge.demo.site import ROOT, Orthanc, Site
from clic_edge.inference.package import load_package
from clic_edge.ledger.certificates import note_cleaned
from clic_edge.web.navigation import MENU

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

    from clic_edge.app import Appliance

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_playwright = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)
pytestmark = [pytest.mark.servers, pytest.mark.slow]

SERIOUS = {"serious", "critical"}


@dataclass(kw_only=True)
class Visit:
    """A browser that somebody has logged in with, and what it noticed."""

    url: str
    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Open a page of the site, which must be there."""
        answer = self.page.goto(self.url + path)
        assert answer
        assert answer.status == 200, path

    def require_usable(self, name: str) -> None:
        """Fail where a screen reader or a keyboard would; keep a picture."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
        # Of a wall of charts the first is like the others, and each takes a second to look through.
        alike = {"exclude": [["article.chart:nth-of-type(n+3) svg"]]}
        found = axe_playwright.Axe().run(self.page, context=alike).response["violations"]
        assert [
            (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
            for one in found
            if one["impact"] in SERIOUS
        ] == []


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    """Return an appliance half a year old, one of whose scanners has changed."""
    folder = tmp_path_factory.mktemp("half-year")
    appliance = appliance_in(folder, web="")
    nobody = Orthanc(name="", ae_title="", http_port=0, dicom_port=0)
    settings = folder / "clic-edge.toml"
    replay(Site(pacs=nobody, appliance=nobody, web_port=0, settings=settings), datetime.now(UTC))
    return appliance


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def url(appliance: Appliance) -> Iterator[str]:
    with serving(appliance) as url:
        yield url


@pytest.fixture(scope="module")
def visit(browser: BrowserContext, url: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    page = context.new_page()
    visit = Visit(url=url, page=page)
    page.on("request", lambda one: visit.hosts.add(urlsplit(one.url).netloc))
    page.on(
        "console", lambda one: visit.complaints.append(one.text) if one.type == "error" else None
    )
    page.on("pageerror", lambda one: visit.complaints.append(str(one)))
    page.goto(url)
    page.get_by_label("Name").fill(ADMINISTRATOR)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")
    yield visit
    context.close()


def _paths() -> Iterator[tuple[str, str]]:
    for entry in MENU:
        yield entry.name, entry.path
    digest = load_package(ROOT / "models" / MODEL).digest
    for tab in ("", "/window", "/readers", "/latency"):
        yield f"model{tab.replace('/', '-')}", f"/models/{MODEL}/{digest}{tab}"
    yield "account", "/account"


@pytest.mark.parametrize(("name", "path"), list(_paths()), ids=lambda one: one[:20])
def test_a_page_can_be_used_by_everybody_and_asks_nobody_else(
    visit: Visit, name: str, path: str
) -> None:
    visit.open(path)
    visit.require_usable(f"page-{name}")
    if name != "model":  # a wall of charts takes long to look through, and has no other colours
        visit.page.emulate_media(color_scheme="dark")
        visit.require_usable(f"page-{name}-dark")
        visit.page.emulate_media(color_scheme="light")
    assert visit.hosts == {urlsplit(visit.url).netloc}
    assert visit.complaints == []


def test_a_case_is_found_by_its_state_and_opened_by_keyboard(visit: Visit) -> None:
    page = visit.page
    visit.open("/cases")
    page.get_by_label(re.compile("State")).first.select_option("refused")
    page.get_by_role("button", name=re.compile("Search|Show|Find")).first.click()
    link = page.locator("main table tbody a").first
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/cases/[0-9a-f]{8}"))
    assert "contrast" in page.inner_text("main")
    visit.require_usable("page-case")


def test_a_case_shows_its_certificate_on_any_screen_and_gives_it_to_keep(
    visit: Visit, appliance: Appliance, tmp_path: Path
) -> None:
    ledger, page = appliance.ledger, visit.page
    case_id = ledger.predictions.rows(datetime.now(UTC) - timedelta(days=30))[-1].case_id
    with ledger.cases._engine.begin() as connection:
        note_cleaned(connection, a_certificate(case_id))
    visit.open(f"/cases/{case_id}")
    visit.require_usable("case-certificate")
    page.set_viewport_size({"width": 390, "height": 1100})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1
    page.set_viewport_size({"width": 1280, "height": 800})
    with page.expect_download() as began:
        page.get_by_role("link", name="Download the certificate").click()
    began.value.save_as(tmp_path / "certificate.json")
    kept = json.loads((tmp_path / "certificate.json").read_text("utf-8"))
    assert (kept["case_id"], len(kept["series"])) == (case_id, 1)


def test_an_alarm_is_acknowledged_with_a_reason(visit: Visit, appliance: Appliance) -> None:
    page = visit.page
    visit.open("/alarms")
    page.locator("main table tbody a").first.click()
    visit.require_usable("page-alarm")
    form = page.locator("main form", has=page.locator("textarea, input[name=reason]")).first
    form.locator("textarea, input[name=reason]").first.fill("New software since Monday.")
    form.locator("button").first.click()
    page.wait_for_load_state()
    assert "New software since Monday." in page.inner_text("main")
    (said,) = appliance.ledger.monitoring.acknowledgements()
    assert (said.person, said.reason) == (ADMINISTRATOR, "New software since Monday.")


def test_a_months_report_is_downloaded(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    visit.open("/reports")
    for kind, begin in (("PDF", b"%PDF"), ("HTML", b"<!doctype html>"), ("JSON", b"{")):
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile(f"{kind}.*{MODEL}")).first.click()
        path = tmp_path / kind
        download.value.save_as(path)
        assert path.read_bytes().lower().startswith(begin.lower())


def test_the_pages_speak_danish_when_asked_to(visit: Visit) -> None:
    page = visit.page
    visit.open("/")
    page.locator("details.account summary").click()
    page.locator("details.account select[name=language]").select_option("da")
    page.locator("details.account form[action='/preferences'] button").click()
    page.wait_for_selector("html[lang=da]")
    for entry in MENU:
        visit.open(entry.path)
        assert page.get_attribute("html", "lang") == "da"
    visit.open("/")
    page.locator("details.account summary").click()
    page.locator("details.account select[name=language]").select_option("en")
    page.locator("details.account form[action='/preferences'] button").click()
    page.wait_for_selector("html[lang=en]")


@pytest.mark.parametrize("width", [800, 390])
def test_a_page_fits_a_narrow_screen(visit: Visit, width: int) -> None:
    page = visit.page
    page.set_viewport_size({"width": width, "height": 1100})
    for entry in MENU:
        visit.open(entry.path)
        beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert beyond <= 1, (entry.path, beyond)
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_page_is_whole_without_script(browser: BrowserContext, url: str, visit: Visit) -> None:
    state = visit.page.context.storage_state()
    context = browser.new_context(java_script_enabled=False, storage_state=state)
    page = context.new_page()
    for entry in MENU:
        answer = page.goto(url + entry.path)
        assert answer
        assert answer.status == 200
        assert page.locator("main h1").count() == 1, entry.path
    context.close()
