"""Whom the worker may reach follows from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.testing import CliRunner

from clic_edge.cli import app
from clic_edge.config import load_settings
from clic_edge.config.outward import peers
from clic_edge.errors import Transient

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
    assert "\nReadWritePaths=-/srv/results\n" in text
