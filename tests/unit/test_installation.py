"""What a machine is told follows from the settings: whom the worker reaches, who may log in to Orthanc."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from clic_edge.cli import app
from clic_edge.config import load_settings
from clic_edge.config.archive import archive_configuration
from clic_edge.config.outward import peers
from clic_edge.errors import ConfigError, Transient

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = """
[appliance]
database = "postgresql+psycopg://clicedge@db.example/clicedge"
[destinations.pacs]
kind = "dimse"
host = "192.0.2.7"
port = 104
called_ae_title = "PACS"
[destinations.archive]
kind = "dicomweb"
url = "https://archive.example/dicom-web"
[destinations.here]
kind = "dimse"
host = "127.0.0.1"
port = 4242
called_ae_title = "HERE"
[destinations.folder]
kind = "folder"
path = "/srv/results"
[runtimes.servers.triton]
url = "https://triton.example:8000"
[notify.email]
host = "mail.example"
sender = "a@b.example"
recipients = ["c@b.example"]
[notify.webhook]
url = "https://hook.example/x"
secret_file = "secret"
[notify.syslog]
transport = "tls"
host = "2001:db8::5"
"""
NAMED = """
[destinations.pacs]
kind = "dimse"
host = "192.0.2.7"
port = 104
called_ae_title = "PACS"
[destinations.lost]
kind = "dimse"
host = "no-such-host.invalid"
port = 104
called_ae_title = "PACS"
[destinations.folder]
kind = "folder"
path = "/srv/results"
"""


def test_whoever_the_settings_name_is_one_that_the_worker_reaches(tmp_path: Path) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(EVERYTHING)
    assert [peer.host for peer in peers(load_settings(settings))] == [
        "db.example",
        "192.0.2.7",
        "archive.example",
        "triton.example",
        "mail.example",
        "hook.example",
        "2001:db8::5",
    ]


def test_the_drop_in_names_them_and_a_name_without_an_address_is_said(tmp_path: Path) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(NAMED)
    words = ["-c", str(settings), "site", "network", "--into", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, Transient)
    assert "no-such-host.invalid (destinations.lost)" in result.exception.sentence
    text = (tmp_path / "clic-edge-worker.service.d" / "50-network.conf").read_text()
    assert "\nIPAddressAllow=192.0.2.7\n" in text
    assert "no-such-host.invalid, which has no address now" in text
    assert '\nReadWritePaths="-/srv/results"\n' in text


def test_the_nights_backup_reaches_the_database_and_nobody_else(tmp_path: Path) -> None:
    settings = tmp_path / "clic-edge.toml"
    database = "postgresql+psycopg://clicedge@192.0.2.9/clicedge"
    settings.write_text(f'[appliance]\ndatabase = "{database}"\n{NAMED}')
    CliRunner().invoke(app, ["-c", str(settings), "site", "network", "--into", str(tmp_path)])
    text = (tmp_path / "clic-edge-backup.service.d" / "50-network.conf").read_text()
    allowed = [line for line in text.splitlines() if not line.startswith("#")]
    assert allowed == ["[Service]", "IPAddressAllow=192.0.2.9"]


def test_no_name_of_the_settings_begins_a_line_of_a_unit(tmp_path: Path) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(
        '[destinations."a\\nExecStartPre=+/x"]\nkind = "folder"\npath = "/a b/5%n\\nExecStop=+/x"\n'
        '[destinations.pacs]\nkind = "dimse"\nhost = "-\\nExecStart=+/x"\nport = 104\n'
        'called_ae_title = "PACS"\n'
    )
    told = CliRunner().invoke(app, ["-c", str(settings), "site", "network"]).stdout.splitlines()
    assert not [line for line in told if line.startswith("Exec")]
    assert 'ReadWritePaths="-/a b/5%%n?ExecStop=+/x"' in told


def test_orthanc_is_told_a_password_that_is_made_once(tmp_path: Path) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text('[orthanc]\nusername = "clic-edge"\npassword_file = "secret"\n')
    words = ["-c", str(settings), "site", "orthanc", "--into", str(tmp_path)]
    assert CliRunner().invoke(app, words).exit_code == 0
    told = tmp_path / "20-site.json"
    first = told.read_text()
    assert CliRunner().invoke(app, words).exit_code == 0
    password = (tmp_path / "secret").read_text().strip()
    assert json.loads(first) == {"RegisteredUsers": {"clic-edge": password}}
    assert told.read_text() == first
    assert told.stat().st_mode & 0o077 == 0


def test_orthanc_is_not_left_open(tmp_path: Path) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text("")
    words = ["-c", str(settings), "site", "orthanc", "--into", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "orthanc-open"


def test_orthanc_is_told_of_tls(tmp_path: Path) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text('[orthanc.tls]\ncertificate = "own.pem"\nkey = "own.key"\nca = "ca.pem"\n')
    told = json.loads(archive_configuration(load_settings(settings).orthanc, "secret"))
    assert told["DicomTlsRemoteCertificateRequired"] is True
    assert told["DicomTlsCertificate"] == str(tmp_path / "own.pem")
