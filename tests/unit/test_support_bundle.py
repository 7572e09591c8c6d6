"""A support bundle: what is in it, what is not, and that it can be made when little works."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from case_rows import Row, write_rows, write_settings
from fastapi import FastAPI
from pydantic import create_model
from signed_in import PHYSICIST, browser
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from clic_edge.app import Appliance
from clic_edge.cli import app as command_line
from clic_edge.cli.support import sources_of
from clic_edge.domain.account import Account, Role
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError
from clic_edge.ledger.database import migrate
from clic_edge.support import bundle
from clic_edge.support.bundle import make_bundle
from clic_edge.support.log_lines import filtered
from clic_edge.support.machine import Checked
from clic_edge.support.plain_settings import plain, secrets_in
from clic_edge.web import support

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.ledger.inside import Inside
    from clic_edge.support.bundle import Bundle

ADMINISTRATOR = Account(name="Ada", role=Role.ADMINISTRATOR)
SECRET = 'a "quoted" secret'  # noqa: S105 - of nobody
TYPED = "because Mrs. Smith asked"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    folder = tmp_path_factory.mktemp("site")
    (folder / "password").write_text(f"{SECRET}\n")
    more = f'[orthanc]\nurl = "http://127.0.0.1:9"\nusername = "us"\npassword_file = "{folder}/password"\n'
    appliance = Appliance.open(write_settings(folder, more))
    migrate(appliance.engine)
    held = Row(case_id="held", state=CaseState.QUARANTINED, code="network-failed", reason="Broken.")
    taken = Row(case_id="taken", state=CaseState.WITHDRAWN, reason=TYPED, model="organs")
    write_rows(appliance.engine, [held, taken])
    return appliance


def opened(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name.partition("/")[2]: packed.read(name) for name in packed.namelist()}


@pytest.mark.slow
def test_the_same_appliance_makes_the_same_bytes_but_for_the_moment(appliance: Appliance) -> None:
    sources = sources_of(appliance, log_lines=lambda: ())
    first, second = (opened(make_bundle(sources, key=b"k").content) for _ in range(2))
    other = opened(make_bundle(sources, key=b"other").content)
    moving = {"check.jsonl", "health.json", "manifest.json"}  # disk and clock go on
    assert {name for name in first if first[name] != second[name]} <= moving
    assert {name for name in first if first[name] != other[name]} - moving == {"cases.jsonl"}
    assert first.keys() == {
        *("README.txt", "config.json", "versions.json", "check.jsonl", "health.json"),
        *(
            "log.jsonl",
            "orthanc.json",
            "database.json",
            "cases.jsonl",
            "metrics.txt",
            "manifest.json",
        ),
    }


def test_what_people_typed_and_what_opens_doors_stays(appliance: Appliance) -> None:
    said = json.dumps({"event": "receipt", "code": "x", "destination": SECRET})
    sources = sources_of(appliance, log_lines=lambda: (said,))
    made = make_bundle(sources, case_ids=("held",), key=b"k")
    members = opened(made.content)
    whole = b"".join(members.values()).decode()
    assert SECRET not in whole
    assert json.dumps(SECRET)[1:-1] not in whole
    assert TYPED not in whole
    cases = [json.loads(line) for line in members["cases.jsonl"].splitlines()]
    assert [one["case"] for one in cases[:1]] == [name for name, _ in made.cases]
    assert cases[0]["reason"] == "Broken."
    tables = {one["name"]: one["rows"] for one in json.loads(members["database.json"])["tables"]}
    assert tables["cases"] == 2
    config = json.loads(members["config.json"])["settings"]
    assert config["orthanc"]["username"] == "[withheld]"
    assert config["orthanc"]["password_file"]["mode"].startswith("06")
    assert json.loads(members["orthanc.json"]) == {"absent": "archive-unreachable"}


def test_what_the_check_finds_is_told_without_sentences_of_errors_and_within_its_time(
    appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = sources_of(appliance, log_lines=lambda: ())
    found = checked(make_bundle(sources, key=b"k"))
    assert found["Orthanc at http://127.0.0.1:9/…"] == ("no", "archive-unreachable", "")
    assert found["ledger"] == ("ok", "", "answers, 0 cases under way")
    assert found["settings"][0] == "ok"
    slow = replace(sources, check=lambda: forever("at https://pacs.example/TOKEN?key=1"))
    monkeypatch.setattr(bundle, "CHECK_SECONDS", 0.0)
    cut = checked(make_bundle(slow, key=b"k"))
    assert [*cut] == ["at https://pacs.example/…", "the rest"]
    assert cut["the rest"][1] == "no-time"


def test_a_database_that_fails_is_told_by_our_own_code(appliance: Appliance) -> None:
    def inside() -> Inside:
        raise OperationalError("SELECT", None, sqlite3.OperationalError("disk I/O error"))

    sources = replace(sources_of(appliance, log_lines=lambda: ()), check=None, database=inside)
    members = opened(make_bundle(sources, key=b"k").content)
    assert json.loads(members["database.json"]) == {"absent": "database-away"}


def test_what_the_pages_user_may_not_look_into_keeps_no_bundle_from_being_made(
    appliance: Appliance,
) -> None:
    def check() -> Iterator[Checked]:
        raise PermissionError(13, "Permission denied", "/var/lib/a-folder-of-others")

    closed = Path("n" * 300)  # that nobody can ask for, as a folder of another user's
    held = appliance.settings.model_copy(
        update={"appliance": appliance.settings.appliance.model_copy(update={"deid_key": closed})}
    )
    sources = replace(
        sources_of(appliance, log_lines=lambda: ()),
        configuration=(("settings", held),),
        check=check,
    )
    members = opened(make_bundle(sources, key=b"k").content)
    assert json.loads(members["check.jsonl"]) == {"absent": "not-readable"}
    assert members["cases.jsonl"]


def forever(what: str) -> Iterator[Checked]:
    """Yield the same again and again."""
    while True:
        yield Checked(what=what, verdict="ok", code="", seen="")


def checked(made: Bundle) -> dict[str, tuple[str, str, str]]:
    """Return verdict, code and what was seen of each thing that was looked at."""
    lines = [json.loads(line) for line in opened(made.content)["check.jsonl"].splitlines()]
    return {one["what"]: (one["verdict"], one["code"], one["seen"]) for one in lines}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://user:pw@pacs.example:8443/path/TOKEN?key=1", "https://pacs.example:8443/…"),
        ("postgresql+psycopg://clic@db/ledger?passfile=/x", "postgresql+psycopg://db/…"),
        ("sqlite:////var/lib/clic-edge/clic-edge.sqlite", None),
        ("http://[broken", "[withheld]"),
    ],
)
def test_of_an_address_only_the_place_is_told(url: str, told: str | None) -> None:
    assert plain(url, "url") == (told or url)


@pytest.mark.parametrize("name", ["deid_key", "key", "key_file", "token_file", "secret_file"])
def test_of_a_file_that_opens_doors_the_mode_is_told_and_its_content_swept(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "file"
    path.write_text(SECRET)
    path.chmod(0o640)
    part = create_model("Part", **{name: (type(path), path)})()
    assert plain(path, name) == {"path": str(path), "mode": "0640"}
    assert SECRET in secrets_in(part)


def test_of_a_log_only_events_of_ours_pass_with_what_is_known_to_be_safe() -> None:
    kept = {"event": "case-moved", "level": "info", "code": "missing-slices", "pipeline": "brain"}
    lines = [
        json.dumps(
            kept | {"case_id": "abc", "message": "Smith", "state": "Smith^Anna", "count": 3}
        ),
        json.dumps({"event": "Smith", "code": "missing-slices"}),
        json.dumps(kept | {"pipeline": "Smith", "code": ["Smith"]}),
        "Smith" * 5,
        "[" * 100_000,
    ]
    found = [
        json.loads(one)
        for one in filtered(lines, names={"brain"}, handle=lambda case_id: f"<{case_id}>")
    ]
    assert found == [
        kept | {"case_id": "<abc>", "count": 3},
        {key: value for key, value in kept.items() if key not in {"pipeline", "code"}},
    ]


def test_a_bundle_is_made_though_the_settings_are_broken(tmp_path: Path) -> None:
    settings, out = tmp_path / "clic-edge.toml", tmp_path / "support.zip"
    settings.write_text('[appliance]\nsecret = "hunter2"\n')
    words = ("-c", str(settings), "support-bundle", "--out", str(out))
    assert CliRunner().invoke(command_line, words).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    members = opened(out.read_bytes())
    assert json.loads(members["config.json"]) == {"broken": "unknown-key"}
    assert b"hunter2" not in b"".join(members.values())
    again = CliRunner().invoke(command_line, words)
    assert isinstance(again.exception, ConfigError)
    assert again.exception.code == "bundle-there"


def test_an_administrator_downloads_it_and_the_trail_says_so(appliance: Appliance) -> None:
    app = FastAPI()
    app.include_router(support.router(appliance.ledger, lambda: b"PK"))
    assert browser(app, PHYSICIST).post("/support-bundle").status_code == 403
    answer = browser(app, ADMINISTRATOR).post("/support-bundle")
    assert answer.content == b"PK"
    assert "attachment" in answer.headers["content-disposition"]
    event = appliance.ledger.records.audit("")[-1]
    assert (event.action, event.person) == ("support-bundle", "Ada")
