"""Pictures of the pages, as Debian's Chromium shows them."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from clic_edge.demo.site import Visitor

CHROMIUM = "chromium"
_SIZE = (1280, 900)
_PATIENCE_MS = 60_000


def can_shoot() -> bool:
    """Whether a browser, and what drives it, is on this machine."""
    return bool(shutil.which(CHROMIUM)) and find_spec("playwright") is not None


def shoot(visitor: Visitor, wanted: Mapping[str, str], folder: Path) -> tuple[Path, ...]:
    """Return a picture of each wanted page, name and path on the site; none without a browser."""
    if not can_shoot():
        return ()
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the extra `demo`

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(CHROMIUM), args=["--no-sandbox"]
        )
        context = browser.new_context(viewport={"width": _SIZE[0], "height": _SIZE[1]})
        context.set_default_timeout(_PATIENCE_MS)
        page = context.new_page()
        page.goto(f"{visitor.url}/login")
        page.fill("input[name=name]", visitor.name)
        page.fill("input[name=password]", visitor.password)
        page.click("main button")
        page.wait_for_url(f"{visitor.url}/")
        pictures = []
        for name, path in wanted.items():
            page.goto(visitor.url + path, wait_until="networkidle")
            picture = folder / f"{name}.png"
            page.screenshot(path=picture, full_page=True)
            pictures.append(picture)
        browser.close()
    return tuple(pictures)
