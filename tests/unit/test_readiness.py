"""What `clic-edge check` says of a machine, its files and its certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from clic_edge.config import load_settings
from clic_edge.config.secrets import secret_files
from clic_edge.errors import ConfigError, Transient
from clic_edge.readiness.files import certificate, permissions
from clic_edge.readiness.finding import Finding, Verdict, found
from clic_edge.readiness.machine import FULL, SCARCE, clock, disk

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_certificate_that_ends_tomorrow_is_none_to_go_live_with() -> None:
    one = certificate("TLS", ends=NOW + timedelta(days=1), now=NOW)
    assert (one.verdict, one.seen) == (Verdict.NO, "until 2026-11-22, 1 days")
    assert one.exit_code == ConfigError.exit_code
    assert "renew" in one.to_do


@pytest.mark.parametrize(("days", "verdict"), [(8, Verdict.LOOK), (31, Verdict.OK)])
def test_a_certificate_is_spoken_of_a_month_before_it_ends(days: int, verdict: Verdict) -> None:
    assert certificate("TLS", ends=NOW + timedelta(days=days), now=NOW).verdict is verdict


def test_a_disk_is_judged_by_what_is_free(tmp_path: Path) -> None:
    told = [disk(tmp_path, free=free).verdict for free in (FULL - 1, FULL, SCARCE)]
    assert told == [Verdict.NO, Verdict.LOOK, Verdict.OK]


def test_a_clock_is_wrong_before_this_version_was_made_and_doubtful_where_nothing_leads_it() -> (
    None
):
    assert clock(now=0.0, is_led=True).verdict is Verdict.NO
    assert clock(now=NOW.timestamp(), is_led=False).verdict is Verdict.LOOK
    assert clock(now=NOW.timestamp(), is_led=True) == Finding(
        what="clock", seen="2026-11-21 12:00 UTC, led by NTP"
    )


def test_an_error_is_a_no_with_its_sentence_and_its_exit_code() -> None:
    def look() -> str:
        raise Transient("away", "Nobody answers.")

    one = found("server", look, to_do="start it")
    assert one == Finding(
        what="server", seen="Nobody answers.", verdict=Verdict.NO, to_do="start it", exit_code=4
    )


SETTINGS = """\
[appliance]
state_dir = "state"
[orthanc]
password_file = "orthanc-password"
[web]
certificate = "web.pem"
certificate_key = "web.key"
key_file = "page-key"
[notify.webhook]
url = "https://told.example"
secret_file = "hook"
[runtimes.servers.far]
url = "https://models.example"
token_file = "token"
[destinations.archive]
kind = "dicomweb"
url = "https://archive.example"
password_file = "archive"
"""


def test_secrets_are_found_by_the_settings_that_lead_to_them(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SETTINGS)
    settings = load_settings(tmp_path / "site.toml")
    names = [str(path.relative_to(tmp_path)) for path in secret_files(settings)]
    told = ["archive", "hook", "orthanc-password", "page-key", "state/deid.key", "token", "web.key"]
    assert names == told


def test_a_secret_that_others_may_read_is_named_and_a_state_folder_told(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SETTINGS)
    settings = load_settings(tmp_path / "site.toml")
    settings.appliance.state_dir.mkdir(mode=0o755)
    for path in secret_files(settings):
        path.touch(0o600)
    assert permissions(settings).verdict is Verdict.LOOK
    settings.appliance.state_dir.chmod(0o750)
    assert permissions(settings).verdict is Verdict.OK
    (tmp_path / "hook").chmod(0o604)
    open_one = permissions(settings)
    assert (open_one.verdict, open_one.to_do) == (Verdict.NO, f"chmod o= {tmp_path / 'hook'}")
