"""The canary: nothing of a patient is found outside of the archives, whatever went wrong."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import pickle
import re
import shutil
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from factories import CANARY, Shots, Stack, make_datasets, make_shot, skin
from faulty_pacs import AE_TITLE
from model_packages import write_image_package
from pyarrow import parquet
from pydicom import dcmread
from servers import free_port
from sites import (
    NEVER,
    ROOT,
    Site,
    SiteOptions,
    dimse_toml,
    hippocampus,
    pipeline_toml,
    results_in,
    running_site,
)

from clic_edge.domain.case import CaseState
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.export import TABLES
from clic_edge.ledger.records import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import ClicEdge

pytestmark = pytest.mark.servers

LATIN_1, UTF_8 = "latin-1", "utf-8"
VALUES = (
    *CANARY.name.split("^"),
    CANARY.patient_id,
    CANARY.birth_date,
    "1933-09-17",
    CANARY.accession_number,
    ".77777777.",  # in every UID of the study, the series and the instances
)
NEEDLES = tuple({value.lower().encode(code) for value in VALUES for code in (LATIN_1, UTF_8)})
PHOTOGRAPHS = """\
name = "photographs"
title = "photographs"
model = "redness"
deid_profile = "photographs"
writers = ["seg", "sr"]
destinations = ["pacs"]
rule = { modality = ["XC"] }
[completeness]
quiet_seconds = 0
"""
QUOTING_WRITER = '''\
"""A third party's writer that tells all it knows when it fails."""

import io, logging, sys, warnings
from pydicom import dcmread


class QuotingWriter:
    def write(self, analysis, earlier):
        text = str(dcmread(io.BytesIO(analysis.series.instances[0].content)))
        logging.getLogger("quoting").error(text)
        logging.getLogger("clic_edge.quoting").warning("%s", text)
        warnings.warn(text)
        raise ValueError(text)
'''


@dataclass(frozen=True, kw_only=True)
class Aviary:
    """A site through which the canary went, and the study's handle."""

    site: Site
    study_id: str


@pytest.fixture(scope="module")
def aviary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aviary]:
    folder = tmp_path_factory.mktemp("canary")
    options = SiteOptions(
        pipelines={
            "good": pipeline_toml("good", description='"good"'),
            "gaps": pipeline_toml("gaps", description='"gaps"'),
            "quoting": pipeline_toml("quoting", description='"quoting"', writers='["quoting"]'),
            "away": pipeline_toml("away", description='"away"', destinations='["away"]'),
            "photographs": PHOTOGRAPHS,
        },
        models=_models(folder / "models"),
        unsigned=True,
        destinations=dimse_toml("away", free_port(), AE_TITLE),
        reconcile_seconds=NEVER,
        packages=(_install_quoting_writer(folder / "third-party"),),
    )
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(*options.packages)
    with running_site(folder / "site", options) as site, site.worker():
        study_id = _send_canary(site)
        site.await_case(study_id, CaseState.DELIVERED, pipeline="good")
        site.await_case(study_id, CaseState.REFUSED, pipeline="gaps")
        site.await_case(study_id, CaseState.QUARANTINED, pipeline="quoting")
        site.await_case(study_id, CaseState.WAITING, pipeline="away")
        site.await_case(study_id, CaseState.DELIVERED, pipeline="photographs")
        yield Aviary(site=site, study_id=study_id)
    monkeypatch.undo()


def _models(folder: Path) -> Path:
    """Return a folder of packages: one for volumes, and one for single images."""
    shutil.copytree(ROOT / "models" / "hippocampus", folder / "hippocampus")
    write_image_package(folder / "redness")
    return folder


def _install_quoting_writer(folder: Path) -> Path:
    installed = folder / "quoting-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: quoting\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(
        "[clic_edge.writers]\nquoting = quoting:QuotingWriter\n"
    )
    (folder / "quoting.py").write_text(QUOTING_WRITER)
    return folder


def _send_canary(site: Site) -> str:
    """Send one study of the canary with a series for each way a case can end."""
    datasets = []
    for number, description in enumerate(("good", "gaps", "quoting", "away"), start=1):
        stack = Stack(patient=CANARY, series_number=number, description=description)
        made = make_datasets(stack, hippocampus())
        for dataset in made:
            dataset.ProtocolName = f"t1 {CANARY.name}"
        datasets += made
        if description == "gaps":
            del datasets[-10]
    shots = Shots(patient=CANARY, series_number=5, description="photographs")
    datasets.append(make_shot(shots, skin()))
    return site.send(datasets)


def test_the_search_finds_every_value_however_it_is_packed(tmp_path: Path) -> None:
    for needle in NEEDLES:
        text = needle.decode(LATIN_1)
        assert _found_in(b"x" + needle.upper()) | _found_in(needle) >= {text}
        assert text in _found_in(base64.b64encode(pickle.dumps(needle)))
        packed = BytesIO()
        np.savez_compressed(packed, header=np.array(needle))
        assert text in _found_in(packed.getvalue())
        url = f"sqlite:///{tmp_path}/{needle.hex()}.sqlite"
        with open_engine(url).begin() as connection:
            connection.execute(sa.text("CREATE TABLE t (c BLOB)"))
            insert = sa.text("INSERT INTO t VALUES (:c)")
            connection.execute(insert, {"c": base64.b64encode(pickle.dumps(needle)).decode()})
        assert text in _found_in_tables(url)


def test_the_results_carry_the_patient_byte_for_byte(aviary: Aviary) -> None:
    results = results_in(aviary.site.pacs, aviary.study_id)
    assert sorted(dcmread(BytesIO(file)).Modality for file in results.values()) == [
        *("SEG", "SEG"),  # of the volume, and of the photograph
        *("SR", "SR"),
    ]
    for content in results.values():
        assert CANARY.name.encode(UTF_8) in content
        ds = dcmread(BytesIO(content))
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert (ds.PatientID, ds.PatientBirthDate) == (CANARY.patient_id, CANARY.birth_date)
        assert ds.AccessionNumber == CANARY.accession_number
        assert ds.StudyInstanceUID == CANARY.study_instance_uid


def test_every_way_to_end_was_taken(aviary: Aviary) -> None:
    """Without this, the searches below might search what nobody had written to."""
    codes = {case.pipeline: case.code for case in aviary.site.cases(aviary.study_id)}
    assert codes == {
        "good": "",
        "gaps": "missing-slices",
        "quoting": "unexpected-error",
        "away": "destination-unreachable",
        "photographs": "",
    }
    log = aviary.site.log.read_text()
    for event in ("foreign-log", "prediction-made", "stage-finished", "receipt", "case-moved"):
        assert f'"event": "{event}"' in log


def test_the_certificates_tell_how_what_a_model_saw_was_cleaned(aviary: Aviary) -> None:
    site = aviary.site
    kept = {
        one.pipeline: site.ledger.certificates.of_case(one.case_id)
        for one in site.cases(aviary.study_id)
    }
    assert {name: len(series) for name, series in kept.items()} == {
        "good": 1,
        "gaps": 0,
        "quoting": 1,
        "away": 1,
        "photographs": 1,
    }
    for one in (one for series in kept.values() for one in series):
        assert {method.code: method.instances for method in one.methods}["113100"] == one.instances
        assert _found_in(repr(one).encode()) == set()


def test_no_database_file_holds_the_canary(aviary: Aviary) -> None:
    files = sorted(aviary.site.folder.glob("clic-edge.sqlite*"))
    assert f"{aviary.site.folder}/clic-edge.sqlite-wal" in map(str, files)
    for path in files:
        assert _found_in(path.read_bytes()) == set(), path.name


def test_no_row_of_our_tables_or_of_the_workflows_holds_the_canary(aviary: Aviary) -> None:
    assert _found_in_tables(f"sqlite:///{aviary.site.folder}/clic-edge.sqlite") == set()


def test_no_log_metric_or_answer_holds_the_canary(aviary: Aviary) -> None:
    site = aviary.site
    assert _found_in(site.log.read_bytes()) == set()
    ours = [line for line in site.orthanc.log_path.read_bytes().splitlines() if b"clic" in line]
    assert _found_in(b"\n".join(ours)) == set()
    metrics = httpx.get(f"http://127.0.0.1:{site.metrics_port}/metrics", trust_env=False)
    assert "clic_edge_cases_total" in metrics.text
    assert _found_in(metrics.content) == set()
    assert _found_in(site.ask(aviary.study_id).content) == set()


def test_no_command_prints_the_canary(aviary: Aviary, clic_edge: ClicEdge, tmp_path: Path) -> None:
    site, parquet_file = aviary.site, tmp_path / "log.parquet"
    commands = [("cases", "list"), ("predictions",), ("predictions", "--format", "csv")]
    commands += [("cases", "show", case.case_id) for case in site.cases(aviary.study_id)]
    for command in commands:
        done = clic_edge("-c", site.settings, *command)
        assert done.code == 0
        assert len(done.out) > 100
        assert _found_in((done.out + done.err).encode()) == set()
    done = clic_edge(
        "-c", site.settings, "predictions", "--format", "parquet", "--out", parquet_file
    )
    rows = parquet.read_table(parquet_file).to_pylist()
    assert len(rows) == 4  # the series with the gap was not predicted
    assert _found_in(str(rows).encode()) == set()
    assert _found_in(parquet_file.read_bytes()) == set()
    tables = tmp_path / "tables"
    done = clic_edge("-c", site.settings, "ledger", "export", tables, "--format", "csv")
    assert done.code == 0
    assert {one.name: _found_in(one.read_bytes()) for one in tables.iterdir()} == {
        f"{name}.csv": set() for name in TABLES
    }


SECRETS = ("hunter2-canary", "token-of-a-canary", "PRIVATE-CANARY-KEY", "canary@hospital.example")
"""What opens doors, and a person's address: in files that settings name, in a URL, in a field."""


def _with_secrets(site: Site, folder: Path) -> Path:
    """Return settings of the site that name secrets."""
    (folder / "password").write_text(f"{SECRETS[0]}\n")
    (folder / "secret").write_text(f"{SECRETS[2]}\n")
    text = site.settings.read_text().replace('"pipelines"', f'"{site.folder}/pipelines"')
    notify = f"""
[notify.webhook]
url = "https://hooks.hospital.example/{SECRETS[1]}?key={SECRETS[1]}"
secret_file = "{folder / "secret"}"
[notify.email]
host = "mail.hospital.example"
username = "{SECRETS[3]}"
password_file = "{folder / "password"}"
sender = "{SECRETS[3]}"
recipients = ["{SECRETS[3]}"]
"""
    path = folder / "settings.toml"
    path.write_text(text + notify)
    return path


def _logs(site: Site, folder: Path) -> Path:
    """Return a folder with the worker's log, and with lines that tell all they know."""
    folder.mkdir()
    shutil.copy(site.log, folder / "worker.log")
    told = f"{CANARY.name} {CANARY.patient_id} {SECRETS[0]}"
    lines = [
        f"Traceback: ValueError: {told}",
        json.dumps({"event": "case-moved", "level": "info", "code": told, "note": told}),
        json.dumps({"event": told, "code": "missing-slices"}),
        json.dumps({"event": "receipt", "destination": CANARY.patient_id, "place": told}),
    ]
    (folder / "other.log").write_text("\n".join(lines))
    return folder


def test_a_support_bundle_holds_no_patient_and_no_secret(
    aviary: Aviary, clic_edge: ClicEdge, tmp_path: Path
) -> None:
    site, out = aviary.site, tmp_path / "support.zip"
    cases = site.cases(aviary.study_id)
    for case in cases[:1]:
        site.ledger.records.note(
            AuditEvent(
                at=case.received_at,
                case_id=case.case_id,
                action="sampled",
                person=CANARY.name,
                detail=CANARY.patient_id,
            )
        )
    named = [word for case in cases for word in ("--case", case.case_id)]
    logs = _logs(site, tmp_path / "logs")
    command = ("support-bundle", "--out", out, "--logs", logs, *named)
    done = clic_edge("-c", _with_secrets(site, tmp_path), *command)
    assert done.code == 0, done.err
    with zipfile.ZipFile(out) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    assert {name: _found_in(content) for name, content in members.items()} == {
        name: set() for name in members
    }
    whole = b"".join(members.values())
    assert [one for one in SECRETS if one.encode() in whole] == []
    told = [case.case_id for case in cases] + [aviary.study_id]
    assert [one for one in told if one.encode() in whole] == []
    # It is of use, too.
    lines = [json.loads(line) for line in members["clic-edge-support/cases.jsonl"].splitlines()]
    assert sorted(one["code"] for one in lines if one["code"]) == [
        *("destination-unreachable", "missing-slices", "unexpected-error"),
    ]
    assert any(one["images"] and one["images"][0]["images"][0]["values"] for one in lines)
    log = members["clic-edge-support/log.jsonl"].decode()
    assert '"event": "stage-finished"' in log
    assert '"pipeline": "good"' in log
    config = json.loads(members["clic-edge-support/config.json"])
    assert config["settings"]["notify"]["webhook"]["url"] == "https://hooks.hospital.example/…"
    assert b"clic_edge_cases_total" in members["clic-edge-support/metrics.txt"]
    found = [json.loads(one) for one in members["clic-edge-support/check.jsonl"].splitlines()]
    assert {"settings", "ledger", "disk"} <= {one["what"] for one in found}
    digests = json.loads(members["clic-edge-support/manifest.json"])["files"]
    assert digests == {
        name.partition("/")[2]: hashlib.sha256(content).hexdigest()
        for name, content in members.items()
        if not name.endswith("manifest.json")
    }


def test_an_account_of_the_day_names_nobody(aviary: Aviary, clic_edge: ClicEdge) -> None:
    today = aviary.site.cases(aviary.study_id)[0].received_at.date()
    done = clic_edge("-c", aviary.site.settings, "account", "--day", str(today), "--json")
    assert _found_in((done.out + done.err).encode()) == set()
    account = json.loads(done.out)
    assert account["balances"]
    assert len(account["cases"]) == account["account"]["entered"] == 5
    # The destination `away` is, and nothing else differs.
    assert (done.code, account["differences"], account["complete"]) == (4, [], False)


def _found_in_tables(url: str) -> set[str]:
    engine = open_engine(url)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        values = [
            value
            for table in tables.tables.values()
            for row in connection.execute(sa.select(table))
            for value in row
        ]
    engine.dispose()
    assert values
    return {
        name
        for value in values
        for name in _found_in(value if isinstance(value, bytes) else str(value).encode())
    }


def _found_in(content: bytes) -> set[str]:
    """Return which of the canary's values are in the bytes, or in what is packed in them."""
    texts = [content, *_unzipped(content), *_decoded(content)]
    found = {needle for text in texts for needle in NEEDLES if needle in text.lower()}
    return {needle.decode(LATIN_1) for needle in found}


def _unzipped(content: bytes) -> Iterator[bytes]:
    """Yield the members of a segmentation as it waits in the ledger; text in it is UTF-32."""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(BytesIO(content)) as members:
            for name in members.namelist():
                yield members.read(name).replace(b"\0", b"")


def _decoded(content: bytes) -> Iterator[bytes]:
    """Yield what workflow arguments and results hold: Base64 of a pickle."""
    for token in re.findall(rb"[A-Za-z0-9+/]{12,}={0,2}", content):
        try:
            yield base64.b64decode(token, validate=True)
        except binascii.Error:
            continue
