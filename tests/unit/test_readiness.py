"""What `clic-edge check` says of a machine, its files and its certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from lines import a_pipeline
from pydantic import ValidationError

from clic_edge.config import Pipeline, load_settings
from clic_edge.config.secrets import secret_files
from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs.guarding import is_guarded
from clic_edge.readiness.files import certificate, dicom_tls, permissions
from clic_edge.readiness.finding import Finding, Verdict, found
from clic_edge.readiness.machine import FULL, SCARCE, clock, disk
from clic_edge.readiness.servers import guard
from clic_edge.readiness.settings import constancy, passwords, ports

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.config import Settings

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
    assert (one.what, one.verdict, one.to_do) == ("server", Verdict.NO, "start it")
    assert (one.seen, one.code, one.exit_code) == ("Nobody answers.", "away", 4)


MAPS = """\
7f01-7f02 r-xp 00001000 fe:00 1 /opt/clic-edge/0.1.0-1a2b3c4d/appliance/orthanc/nesting.so
7f03-7f04 r-xp 00001000 fe:00 2 /usr/lib/x86_64-linux-gnu/libdcmdata.so.17.3.6.7
7ffd-7ffe rw-p 00000000 00:00 0 [stack]
"""


def test_a_parser_is_guarded_where_the_guard_lies_beside_the_parser_that_it_was_made_for() -> None:
    assert is_guarded(MAPS)
    assert not is_guarded(MAPS.replace("nesting", "clock")), "it was not loaded"
    assert not is_guarded(MAPS.replace("libdcmdata", "libOrthanc")), "linked into Orthanc"
    assert not is_guarded(MAPS.replace("so.17", "so.19")), "another version"


class Answering:
    """An archive that answers one thing."""

    def __init__(self, body: bytes | None) -> None:
        self._body = body

    def get(self, path: str) -> bytes | None:  # noqa: D102 - as `Rest`
        assert path == "/clic-edge/guard"
        return self._body

    def opening(self, _instance_id: str, _most: int) -> bytes | None:  # noqa: D102 - as `Rest`
        raise NotImplementedError

    def post(self, _path: str, _body: bytes) -> bytes | None:  # noqa: D102 - as `Rest`
        raise NotImplementedError


@pytest.mark.parametrize(
    ("body", "verdict", "told"),
    [
        (b'{"nesting": true}', Verdict.OK, ""),
        (b'{"nesting": false}', Verdict.LOOK, "LD_PRELOAD"),
        (None, Verdict.LOOK, "plugin"),
        (b"<html>", Verdict.NO, "status"),
    ],
)
def test_a_parser_without_its_guard_or_plugin_is_told_with_what_to_do(
    body: bytes | None, verdict: Verdict, told: str
) -> None:
    one = guard(Answering(body))
    assert one.verdict is verdict
    assert told in one.to_do


SETTINGS = """\
[appliance]
state_dir = "state"
[orthanc]
username = "us"
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
username = "us"
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


def test_a_password_that_goes_over_the_network_in_the_clear_is_told(tmp_path: Path) -> None:
    assert not list(passwords(site(tmp_path, SETTINGS)))
    clear = SETTINGS.replace("https://archive", "http://archive")
    (one,) = passwords(site(tmp_path, clear))
    assert (one.what, one.verdict) == ("password of destinations.archive", Verdict.LOOK)
    assert not list(passwords(site(tmp_path, clear.replace("archive.example", "127.0.0.1"))))


TLS = """\
[orthanc.tls]
certificate = "orthanc.pem"
key = "orthanc.key"
ca = "ca.pem"
"""
OURS = 'worker_certificate = "worker.pem"\nworker_key = "worker.key"\n'


def site(folder: Path, text: str) -> Settings:
    (folder / "site.toml").write_text(text)
    return load_settings(folder / "site.toml")


@pytest.mark.parametrize(
    ("more", "verdict"),
    [("", Verdict.LOOK), ('senders = "any"\n', Verdict.OK), (OURS, Verdict.OK)],
)
def test_a_worker_that_its_own_orthanc_would_not_let_in_is_told(
    tmp_path: Path, more: str, verdict: Verdict
) -> None:
    found = {one.what: one for one in dicom_tls(site(tmp_path, TLS + more))}
    assert found["worker at the DICOM port"].verdict is verdict


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{TLS}[constancy]\nat = "03:30"\n', "'orthanc.tls.worker_certificate' is missing"),
        ('[orthanc]\npassword_file = "p"\n', "'username' and 'password_file' come together"),
        (f'{TLS}worker_key = "worker.key"\n', "come together"),
        (
            '[destinations.a]\nkind = "dicomweb"\nurl = "https://a.example"\nusername = "us"\n',
            "'destinations.a': 'username' and 'password_file' come together",
        ),
    ],
)
def test_settings_that_can_not_work_together_are_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match="wrong-value") as told:
        site(tmp_path, text)
    assert said in told.value.sentence
    assert "''" not in told.value.sentence
    site(tmp_path, f'{TLS}{OURS}[constancy]\nat = "03:30"\n')


def test_a_deadline_that_ends_before_the_study_has_arrived_is_refused() -> None:
    values = dict(a_pipeline(quiet_seconds=180))
    for minutes, kept in ((3.0, False), (3.1, True)):
        promised = values | {"deadline": {"minutes": minutes}}
        if kept:
            Pipeline.model_validate(promised)
            continue
        with pytest.raises(ValidationError, match="taken to have arrived"):
            Pipeline.model_validate(promised)


def test_one_port_of_the_machine_for_two_things_is_told(tmp_path: Path) -> None:
    apart = ports(site(tmp_path, "[worker]\nmetrics_port = 9000\n"), ())
    shared = ports(site(tmp_path, "[worker]\nmetrics_port = 8043\n"), ())
    away = ports(site(tmp_path, '[orthanc]\nurl = "http://archive:8043"\n'), ())
    assert [one.verdict for one in (apart, shared, away)] == [Verdict.OK, Verdict.LOOK, Verdict.OK]
    assert shared.seen == "8043 is web.port and worker.metrics_port"
    pacs = '[destinations.pacs]\nkind = "folder"\npath = "out"\nprofile = "none"\n'
    assert ports(site(tmp_path, pacs), (a_pipeline(),)).code == "unknown-name"


def test_protocols_of_constancy_are_read_and_missed_where_runs_are_asked_for(
    tmp_path: Path,
) -> None:
    asked = '[constancy]\nat = "03:30"\nprotocols = "protocols"\n'
    assert constancy(site(tmp_path, ""), ()).verdict is Verdict.OK
    assert constancy(site(tmp_path, asked), ()).verdict is Verdict.LOOK
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols/odd.toml").write_text("name = 1\n")
    assert constancy(site(tmp_path, asked), ()).verdict is Verdict.NO
