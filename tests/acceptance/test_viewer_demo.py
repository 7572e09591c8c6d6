"""The demo stays up for a look at its result, and leaves nothing running."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest
from logins import submit_login
from servers import kill, require, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def test_the_demo_that_stays_opens_its_result_until_it_is_interrupted(tmp_path: Path) -> None:
    require("Orthanc")
    pytest.importorskip("nilearn", reason="the demo's brain comes with the extra `demo`")
    output = tmp_path / "output"
    with output.open("wb") as written:
        demo = subprocess.Popen(
            [sys.executable, "-m", "clic_edge", "demo", "--stay", "--out", tmp_path / "demo"],
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(
            lambda: "Ctrl-C ends it." in output.read_text() or demo.poll() is not None,
            "the demo has its result",
            250,
        )
        assert demo.poll() is None, output.read_text()
        (link,) = re.findall(r"open (http://127\.0\.0\.1:\d+/open/\S+)", output.read_text())
        ((name, password),) = re.findall(r"as (\w+) with the password (\S+)", output.read_text())
        with httpx.Client(base_url=link.partition("/open/")[0], trust_env=False) as browser:
            assert browser.get(link).headers["Location"].startswith("/login")
            assert submit_login(browser, name, password).status_code == httpx.codes.SEE_OTHER
            answer = browser.get(link)
        assert answer.status_code == httpx.codes.SEE_OTHER
        assert "initialSeriesInstanceUID" in answer.headers["Location"]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(120) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(link, trust_env=False)
    finally:
        if demo.poll() is None:
            # It ends what it started; killed, it could not.
            demo.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                demo.wait(120)
        kill(demo)
