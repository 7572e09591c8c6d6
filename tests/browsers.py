"""Chromium without a screen, and what OHIF draws in it."""

from __future__ import annotations

import base64
import io
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pages import VIEWER
from PIL import Image
from sites import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.sync_api import BrowserContext, Page

    from clic_edge.domain.volume import Geometry

CHROMIUM = "/usr/bin/chromium"
SHOTS = ROOT / "build" / "shots"
"""Pictures for people."""
LOAD_SECONDS = 90.0
"""More than OHIF takes on a busy machine, drawn without a graphics card."""

QUIET_SECONDS = 0.4
"""A picture that has not changed for so long is looked at; it may be drawn on later."""

_ACTIVE = """
    const { cornerstoneViewportService, viewportGridService, segmentationService } = window.services;
    const id = viewportGridService.getActiveViewportId();
    const viewport = cornerstoneViewportService.getCornerstoneViewport(id);
"""
_IS_SHOWN = f"""() => {{
    try {{
        {_ACTIVE}
        if (!(viewport.getCurrentImageIdIndex() >= 0)) return false;
        const [shown] = segmentationService.getSegmentationRepresentations(id);
        const uids = viewportGridService.getState().viewports.get(id).displaySetInstanceUIDs;
        return Boolean(shown) && !uids.includes(shown.segmentationId);
    }} catch {{
        return false; // the services are still being made
    }}
}}"""
IS_DRAWN = f"""() => {{
    try {{
        {_ACTIVE}
        return viewport.getCurrentImageIdIndex() >= 0 && Boolean(viewport.getImageData());
    }} catch {{
        return false;
    }}
}}"""
"""Whether an image is there, with or without a segmentation."""
_LOOK = f"""() => {{
    {_ACTIVE}
    const {{ canvas }} = viewport;
    const {{ clientWidth: width, clientHeight: height }} = canvas;
    const [shown] = segmentationService.getSegmentationRepresentations(id);
    const colors = Object.keys(shown?.segments ?? {{}}).filter(one => one > 0).map(one => [
        Number(one), segmentationService.getSegmentColor(id, shown.segmentationId, Number(one))
    ]);
    return {{
        picture: canvas.toDataURL('image/png'), width, height, colors,
        origin: [...viewport.canvasToWorld([0, 0])],
        right: [...viewport.canvasToWorld([width, 0])],
        down: [...viewport.canvasToWorld([0, height])],
    }};
}}"""
_SLICES = f"() => {{ {_ACTIVE} return viewport.getImageIds().length; }}"
_GO_TO = f"""async index => {{
    {_ACTIVE}
    await viewport.setImageIdIndex(index);
    viewport.render();
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}}"""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One slice as it is drawn: pixels, and where OHIF says that they lie."""

    rgb: NDArray[np.int16]
    """Shape (height, width, 3)."""
    colors: dict[int, NDArray[np.float64]]
    """Of each segment."""
    origin: NDArray[np.float64]
    """Patient coordinates of the corner of the canvas, LPS, millimetres."""
    right: NDArray[np.float64]
    """Step from a pixel to the next in a row."""
    down: NDArray[np.float64]
    """The same in a column."""

    def indices(self, geometry: Geometry) -> NDArray[np.float64]:
        """Return (slice, row, column) of the volume for each pixel; shape (height, width, 3)."""
        height, width, _ = self.rgb.shape
        across = (np.arange(width) + 0.5)[None, :, None] * self.right
        along = (np.arange(height) + 0.5)[:, None, None] * self.down
        world = self.origin + across + along
        inverse = np.linalg.inv(geometry.affine)
        return world @ inverse[:3, :3].T + inverse[:3, 3]

    def expected(self, volume: NDArray[np.generic], geometry: Geometry) -> NDArray[np.generic]:
        """Return the volume's value under each pixel; 0 beside the volume."""
        nearest = np.rint(self.indices(geometry)).astype(int)
        inside = ((nearest >= 0) & (nearest < volume.shape)).all(axis=-1)
        found = np.zeros(nearest.shape[:2], volume.dtype)
        found[inside] = volume[tuple(nearest[inside].T)]
        return found

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Which segment each pixel is coloured as, 0 for none.

        Laid over grey with whatever opacity, a colour keeps the direction in which it differs from
        grey.
        """
        chroma = self.rgb - self.rgb.mean(axis=-1, keepdims=True)
        strength = np.linalg.norm(chroma, axis=-1)
        numbers = sorted(self.colors)
        colors = np.array([self.colors[number] for number in numbers])
        tints = colors - colors.mean(axis=-1, keepdims=True)
        tints /= np.linalg.norm(tints, axis=-1, keepdims=True)
        nearest = np.array(numbers)[(chroma @ tints.T).argmax(axis=-1)]
        return np.where(strength > COLOURED, nearest, 0)

    def likeness(self, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return how like each pixel's colour is to its label's: 1 for the same direction from grey."""
        colors = np.zeros((max(self.colors) + 1, 3))
        for number, color in self.colors.items():
            colors[number] = color
        wanted, found = colors[labels], self.rgb.astype(float)
        wanted, found = (one - one.mean(axis=-1, keepdims=True) for one in (wanted, found))
        scale = np.linalg.norm(wanted, axis=-1) * np.linalg.norm(found, axis=-1)
        return np.asarray((wanted * found).sum(axis=-1) / np.maximum(scale, 1e-9), np.float64)


COLOURED = 12.0
"""A pixel that differs from grey by more is coloured."""


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """OHIF in a page of its own."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    """Everything that was asked for anything."""

    def open(self, url: str) -> None:
        """Open a case and wait until its segmentation lies over its images."""
        self.page.goto(url)
        self.wait()

    def wait(self) -> None:
        """Return when a segmentation lies over the images."""
        self.page.wait_for_function(_IS_SHOWN, timeout=LOAD_SECONDS * 1000, polling=100)
        self.settle()

    def settle(self) -> None:
        """Return when the picture has not changed for a moment."""
        deadline = time.monotonic() + LOAD_SECONDS
        before, since = self.picture(), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            if time.monotonic() > deadline:
                pytest.fail("the picture changes without end")
            self.page.wait_for_timeout(100)
            now = self.picture()
            if now != before:
                before, since = now, time.monotonic()

    def picture(self) -> str:
        """Return what is drawn, encoded."""
        return str(self.page.evaluate(_LOOK)["picture"])

    @property
    def slices(self) -> int:
        """How many slices the series has."""
        return int(self.page.evaluate(_SLICES))

    def go_to(self, index: int) -> None:
        """Show a slice, counted as OHIF does."""
        self.page.evaluate(_GO_TO, index)
        self.settle()

    def look(self, fits: Callable[[Look], bool] = lambda _: True) -> Look:
        """Return what is drawn once it fits, or else what is drawn in the end."""
        deadline = time.monotonic() + LOAD_SECONDS
        while not fits(look := self._look()) and time.monotonic() < deadline:
            self.page.wait_for_timeout(200)
        return look

    def _look(self) -> Look:
        seen = self.page.evaluate(_LOOK)
        encoded = base64.b64decode(seen["picture"].partition(",")[2])
        picture = Image.open(io.BytesIO(encoded)).convert("RGB")
        size = (seen["width"], seen["height"])
        rgb = np.asarray(picture.resize(size), np.int16)
        origin, right, down = (np.array(seen[name]) for name in ("origin", "right", "down"))
        return Look(
            rgb=rgb,
            colors={number: np.array(color[:3], float) for number, color in seen["colors"]},
            origin=origin,
            right=(right - origin) / size[0],
            down=(down - origin) / size[1],
        )

    def shoot(self, name: str) -> Path:
        """Write a picture of the page for people."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path


@contextmanager
def chromium(*, width: int = 1400, height: int = 900) -> Iterator[BrowserContext]:
    """Start Chromium, which reaches this machine only; skip and say why where it can't be had.

    What OHIF draws costs by the pixel, as there is no graphics card.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not (VIEWER / "index.html").is_file():
        pytest.skip("no viewer: run `make viewer`")
    try:
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=[
                    "--use-angle=swiftshader",
                    "--enable-unsafe-swiftshader",
                    "--ignore-gpu-blocklist",
                    "--no-sandbox",
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                ],
            )
            yield browser.new_context(viewport={"width": width, "height": height})
            browser.close()
    except sync_api.Error as error:
        if "executable doesn't exist" not in str(error):
            raise
        pytest.skip("Chromium is not installed: apt-get install chromium")


@contextmanager
def viewer_in(browser: BrowserContext) -> Iterator[Viewer]:
    """Open a page of its own; what is kept by name is shared with the pages before."""
    viewer = Viewer(page=browser.new_page())
    viewer.page.on("request", lambda request: viewer.hosts.add(_asked(request.url)))
    yield viewer
    viewer.page.close()


def _asked(url: str) -> str:
    """Return host and port, or the scheme of what is no request to anybody."""
    scheme, _, rest = url.partition(":")
    return scheme if scheme in {"blob", "data"} else rest.removeprefix("//").partition("/")[0]


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the overlap of two masks, 0 to 1; 1 where both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0
