"""`clic-edge export`: studies out of a real Orthanc, as a de-identified cohort with a manifest."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from factories import Patient, Stack, make_datasets, ramp
from pydicom import dcmread
from servers import OrthancServer, orthanc_server, send_datasets
from sites import ROOT, command_line
from typer.testing import CliRunner

from clic_edge.cli import app
from clic_edge.deid.keys import create_key
from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs.cohort import OrthancCohort
from clic_edge.pacs.rest import OrthancPeer

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

pytestmark = pytest.mark.servers

KANARIE = Patient(
    name="Kanarie^Export",
    patient_id="EXPORT-4711",
    accession_number="ACC-EXPORT-1",
    birth_date="19511103",
    study_instance_uid="1.2.826.0.1.3680043.10.1561.77.1",
    uid_root="1.2.826.0.1.3680043.10.1561.77.2",
)
OTHER = replace(
    KANARIE,
    name="Mossel^Other",
    patient_id="EXPORT-4712",
    accession_number="ACC-EXPORT-2",
    study_instance_uid="1.2.826.0.1.3680043.10.1561.78.1",
    uid_root="1.2.826.0.1.3680043.10.1561.78.2",
)
SECRETS = (b"Kanarie", b"EXPORT-47", b"ACC-EXPORT", b"19511103", b"3680043.10.1561.7", b"Mossel")


def _study(patient: Patient, modality: str) -> list[Dataset]:
    return make_datasets(Stack(patient=patient, modality=modality), ramp((3, 4, 6)))


@pytest.fixture(scope="module")
def filled() -> Iterator[OrthancServer]:
    with orthanc_server() as server:
        send_datasets([*_study(KANARIE, "MR"), *_study(OTHER, "CT")], server)
        yield server


@pytest.fixture
def settings(filled: OrthancServer, tmp_path: Path) -> Path:
    return _settings(filled.url, tmp_path)


def _settings(url: str, tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    pipeline = ROOT / "configs" / "pipelines" / "hippocampus.toml"
    (tmp_path / "pipelines" / "hippocampus.toml").write_bytes(pipeline.read_bytes())
    create_key(tmp_path / "deid.key")
    path = tmp_path / "clic-edge.toml"
    path.write_text(f"""\
[appliance]
state_dir = "{tmp_path}"
crosswalk_days = 1
models = "{ROOT / "models"}"
model_keys = "{ROOT / "configs" / "model-keys"}"
deid_profiles = "{ROOT / "configs" / "deid"}"
[orthanc]
url = "{url}"
[destinations.pacs]
kind = "folder"
path = "{tmp_path / "pacs"}"
""")
    return path


def _export(settings: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = command_line("-c", str(settings), "export", "--profile", "basic", *arguments)
    shown = (done.stdout + done.stderr).encode()
    assert not [secret for secret in SECRETS if secret in shown]
    return done


def test_a_query_becomes_a_cohort_whose_manifest_names_each_file_and_no_patient(
    settings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cohort"
    done = _export(settings, "--query", "ModalitiesInStudy=MR", str(out))
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["number_of_subjects"], manifest["number_of_files"]) == (1, 3)
    files = manifest["subjects"][0]["studies"][0]["series"][0]["files"]
    names = {file["name"] for file in files}
    assert names == {path.relative_to(out).as_posix() for path in out.rglob("*.dcm")}
    for path in (path for path in out.rglob("*") if path.is_file()):
        shown = path.read_bytes() + str(path.relative_to(out)).encode()
        assert not [secret for secret in SECRETS if secret in shown], path
    ds = dcmread(io.BytesIO((out / files[0]["name"]).read_bytes()))
    assert ds.PatientID == manifest["subjects"][0]["subject_id"]
    verified = command_line("-c", str(settings), "deid", "verify", str(out))
    assert verified.returncode == 0, verified.stderr


def test_accession_numbers_choose_studies_and_what_is_not_there_is_told_by_its_position(
    settings: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "accessions.txt"
    listed.write_text("ACC-EXPORT-9\n\nACC-EXPORT-2\n")
    out = tmp_path / "cohort"
    done = _export(settings, "--accessions", str(listed), "--workers", "2", str(out))
    assert done.returncode == 0, done.stderr
    assert "Accession number 1 of 2 has no study" in done.stderr
    (path, *_) = out.rglob("*.dcm")
    assert dcmread(path).Modality == "CT"


def test_a_second_export_adds_what_is_new(settings: Path, tmp_path: Path) -> None:
    out = tmp_path / "cohort"
    assert _export(settings, "--query", "ModalitiesInStudy=MR", str(out)).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}
    done = _export(settings, "--query", "PatientID=EXPORT-47*", str(out))
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["number_of_subjects"], manifest["number_of_files"]) == (2, 6)
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Name the studies"),
        (("--query", "PatientID"), "KEY=VALUE"),
        (("--query", "PatientId=1"), "PatientID"),
        (("--query", "PatientID=1", "--accessions", "x"), "Name the studies"),
    ],
)
def test_a_query_that_means_nothing_exports_nothing(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    settings = _settings("http://127.0.0.1:9", tmp_path)
    out = tmp_path / "cohort"
    whole = ["--debug", "-c", str(settings), "export", "--profile", "basic", *arguments, str(out)]
    error = CliRunner().invoke(app, whole).exception
    assert isinstance(error, ConfigError)
    assert words in error.sentence
    assert not out.exists()


def test_an_accession_number_is_matched_as_it_is_written(filled: OrthancServer) -> None:
    cohort = OrthancCohort(OrthancPeer(url=filled.url))
    with pytest.raises(ConfigError) as caught:
        cohort.with_accession_numbers(["ACC-EXPORT-1", "ACC*"])
    assert caught.value.code == "bad-accession-number"
    assert cohort.with_accession_numbers(["acc-export-1"]) == ((), (1,))


def test_an_archive_that_is_away_is_told_as_such() -> None:
    with pytest.raises(Transient) as caught:
        OrthancCohort(OrthancPeer(url="http://127.0.0.1:9")).find({"PatientID": "1"})
    assert caught.value.code == "archive-unreachable"
