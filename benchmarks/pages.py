"""Twelve charts and a table in Chromium: pages made on the server beside NiceGUI, in one run.

    python -m venv build/nicegui && build/nicegui/bin/pip install nicegui==3.18.0
    python benchmarks/pages.py --rounds 9

Writes ``benchmarks/PAGES.md``. Chromium reaches this machine only.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

HERE = Path(__file__).parent
NICEGUI = HERE.parent / "build" / "nicegui" / "bin" / "python"
STRICT = "default-src 'self'; style-src 'self' 'unsafe-inline'"
"""What our own pages tell the browser."""
VISITORS = 20


@dataclass(kw_only=True)
class Contender:
    """A server of the page, and how it is seen that the page is whole."""

    name: str
    python: str
    script: str
    whole: str
    """JavaScript that is true when twelve charts and the table are there."""
    seconds: list[float] = field(default_factory=list)
    bytes_sent: int = 0
    requests: int = 0
    outside: int = 0
    start_seconds: float = 0.0
    memory: tuple[float, float] = (0.0, 0.0)
    """MB of the server after the first page, and with `VISITORS` pages open."""
    strict: bool = False
    """Whether it is whole under our Content Security Policy."""
    scriptless: bool = False
    """Whether it is whole in a browser without script."""


CONTENDERS = (
    Contender(
        name="pages made on the server",
        python=sys.executable,
        script="pages_ours.py",
        whole="document.querySelectorAll('svg[role=img]').length === 12"
        " && document.querySelectorAll('tbody tr').length === 500",
    ),
    Contender(
        name="NiceGUI 3.18.0",
        python=str(NICEGUI),
        script="pages_nicegui.py",
        whole="document.querySelectorAll('canvas').length === 12"
        " && document.querySelectorAll('tbody tr').length >= 500",
    ),
)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _started(contender: Contender) -> tuple[subprocess.Popen[bytes], str]:
    port = _free_port()
    begin = time.perf_counter()
    server = subprocess.Popen([contender.python, str(HERE / contender.script), str(port)])
    url = f"http://127.0.0.1:{port}/"
    while True:
        try:
            httpx.get(url, timeout=30)
        except httpx.HTTPError:
            if server.poll() is not None:
                sys.exit(f"{contender.script} ended by itself")
            time.sleep(0.05)
        else:
            contender.start_seconds = time.perf_counter() - begin
            return server, url


def _megabytes(server: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
    (line,) = [one for one in status.splitlines() if one.startswith("VmRSS:")]
    return int(line.split()[1]) / 1e3


def _open_once(browser: Browser, url: str, contender: Contender) -> None:
    """Open the page in a browser that has nothing kept, until it is whole."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    sizes: list[int] = []
    page.on("requestfinished", lambda one: sizes.append(one.sizes()["responseBodySize"]))
    hosts: list[str] = []
    page.on("request", lambda one: hosts.append(one.url))
    begin = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_function(contender.whole, timeout=60_000, polling=10)
    contender.seconds.append(time.perf_counter() - begin)
    page.wait_for_timeout(300)
    contender.bytes_sent, contender.requests = sum(sizes), len(sizes)
    local = tuple(f"{scheme}://127.0.0.1" for scheme in ("http", "ws"))
    contender.outside = sum(not one.startswith((*local, "data:", "blob:")) for one in hosts)
    context.close()


def _is_whole(browser: Browser, url: str, *, script: bool) -> bool:
    """Whether the page becomes whole under our policy, or in a browser without script."""
    context = browser.new_context(java_script_enabled=script)
    page = context.new_page()
    if script:

        def stricter(route: object) -> None:
            answer = route.fetch()  # type: ignore[attr-defined]  # playwright's Route
            route.fulfill(  # type: ignore[attr-defined]  # as above
                response=answer, headers=answer.headers | {"content-security-policy": STRICT}
            )

        page.route("**/*", stricter)
    page.goto(url)
    page.wait_for_timeout(3000)
    charts = page.locator("svg[role=img]").count() + page.locator("canvas").count()
    found = charts == 12 and page.locator("tbody tr").count() >= 500  # noqa: PLR2004 - the page
    context.close()
    return found


def _visited(browser: Browser, url: str, contender: Contender) -> Iterator[None]:
    context = browser.new_context()
    for _ in range(VISITORS):
        page = context.new_page()
        page.goto(url)
        page.wait_for_function(contender.whole, timeout=60_000)
    yield
    context.close()


def measure(rounds: int) -> None:
    """Fill in what each contender does; every round opens each of them once."""
    servers = [_started(one) for one in CONTENDERS]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"]
            )
            for number in range(rounds + 1):
                for contender, (_, url) in zip(CONTENDERS, servers, strict=True):
                    _open_once(browser, url, contender)
                if not number:  # the first warms the servers
                    for contender in CONTENDERS:
                        contender.seconds.clear()
            for contender, (server, url) in zip(CONTENDERS, servers, strict=True):
                before = _megabytes(server)
                for _ in _visited(browser, url, contender):
                    contender.memory = (before, _megabytes(server))
                contender.strict = _is_whole(browser, url, script=True)
                contender.scriptless = _is_whole(browser, url, script=False)
            browser.close()
    finally:
        for server, _ in servers:
            server.terminate()
            server.wait()


def report(rounds: int) -> str:
    """Return the results as a page."""
    ours, other = CONTENDERS
    ratio = statistics.median(ours.seconds) / statistics.median(other.seconds)
    rows = [
        ("seconds until whole, median", lambda one: f"{statistics.median(one.seconds):.2f}"),
        ("fastest and slowest", lambda one: f"{min(one.seconds):.2f} to {max(one.seconds):.2f}"),
        ("start of the server until the first answer, s", lambda one: f"{one.start_seconds:.1f}"),
        ("bytes of a first visit", lambda one: f"{one.bytes_sent:,}"),
        ("requests of a first visit", lambda one: str(one.requests)),
        ("requests that leave the machine", lambda one: str(one.outside)),
        (
            f"MB of the server, and with {VISITORS} pages open",
            lambda one: f"{one.memory[0]:.0f}, {one.memory[1]:.0f}",
        ),
        (f"whole under `{STRICT}`", lambda one: "yes" if one.strict else "no"),
        ("whole without script", lambda one: "yes" if one.scriptless else "no"),
    ]
    table = "\n".join(f"| {name} | {say(ours)} | {say(other)} |" for name, say in rows)
    return f"""# Pages

Twelve charts of 180 points and a table of 500 rows, opened in Chromium with nothing kept from before,
each contender once in each of {rounds} rounds: {ratio:.2f} x the time of NiceGUI.
A page is whole when its twelve charts and all rows are there. Our policy was put on both pages' answers on their way.
Repeat it with `python benchmarks/pages.py --rounds {rounds}`; the machine was shared.

| | {ours.name} | {other.name} |
|---|---|---|
{table}
"""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    if not NICEGUI.exists():
        sys.exit(
            "First: python -m venv build/nicegui && build/nicegui/bin/pip install nicegui==3.18.0"
        )
    measure(rounds)
    text = report(rounds)
    (HERE / "PAGES.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
