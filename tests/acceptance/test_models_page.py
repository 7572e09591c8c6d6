"""The page of the models in a real browser: read by eye, by keyboard, and by a screen reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benches import PERSON, Bench, make_bench
from browsers import CHROMIUM, SHOTS
from logins import sign_in
from pages import serving

from clic_edge.domain.standing import ModelState
from clic_edge.pipeline.standing import move

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

pytestmark = pytest.mark.servers
WHY = "It misses <b>the tail</b> on the new scanner."


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Return a site with two cases, one of them of a model that was suspended meanwhile."""
    bench = make_bench(tmp_path_factory.mktemp("bench"))
    for number in (1, 2):
        bench.run(number)
    standing = bench.ledger.standing
    move(standing, bench.placement("first"), ModelState.SUSPENDED, person=PERSON, reason=WHY)
    return bench


@pytest.fixture(scope="module")
def url(bench: Bench) -> Iterator[str]:
    with serving(bench.appliance) as address:
        yield f"{address}/models"


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request: pytest.FixtureRequest, url: str) -> Iterator[Page]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": 1200, "height": 1000}, color_scheme=request.param
        )
        sign_in(page.context, url.removesuffix("/models"))
        page.goto(url)
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"models-{request.param}.png", full_page=True)
        yield page
        browser.close()


def test_the_page_shows_states_agreement_and_history(page: Page, bench: Bench) -> None:
    text = page.inner_text("main")
    for said in (
        "suspended: its cases are refused, and readers are told",
        "shadow: sees every case, tells nobody",
        "it has seen 2 cases. Series that it refused: 0; at which it broke: 0.",
        "new → active",
        "active → suspended",
        PERSON,
        "The chain of moves is whole (3).",
        bench.ledger.cases.all()[0].case_id,
    ):
        assert said in text, said
    assert page.get_by_role("row", name="grey 1.000 2").count() >= 1
    assert WHY in text, "what a person wrote is text, not HTML"


def test_a_screen_reader_finds_its_way_by_headings_and_named_tables(page: Page) -> None:
    headings = [one.inner_text() for one in page.get_by_role("heading").all()]
    assert headings == ["Models", "Pipeline brain", "second 0.1 beside the active model", "History"]
    tables = page.get_by_role("table").all()
    captions = [one.locator("caption").inner_text() for one in tables]
    assert captions == [
        "Models of brain",
        "Agreement of second 0.1 with the active model",
        "Where they agree least",
        "Every move, the newest first",
    ]
    assert all(one.get_by_role("columnheader").count() for one in tables)
    assert page.get_by_role("main").count() == 1


def test_every_table_can_be_reached_and_scrolled_by_keyboard(page: Page) -> None:
    page.set_viewport_size({"width": 420, "height": 800})
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert {"Models of brain", "Every move, the newest first"} <= set(reached)
    overflows = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not overflows, "the page itself never scrolls sideways"


def test_words_stand_out_from_their_ground(page: Page) -> None:
    shades = page.evaluate(
        """() => [getComputedStyle(document.querySelector('td')).color,
                  matchMedia('(prefers-color-scheme: dark)').matches]"""
    )
    assert shades in (["rgb(23, 33, 43)", False], ["rgb(232, 237, 242)", True])
