"""The command line: what it does, what it says, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import stat
from typing import TYPE_CHECKING

import pytest
from bad_studies import BAD
from factories import file_bytes
from pyarrow import parquet
from pydicom import dcmread
from servers import free_port, wait_for
from sites import CASE_SECONDS, ROOT, SiteOptions, command_line, hippocampus_study, plan_site

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import ClicEdge
    from pydicom.dataset import Dataset
    from sites import Site

servers = pytest.mark.servers
EXIT_CODES = {CaseState.DELIVERED: 0, CaseState.REFUSED: 3, CaseState.QUARANTINED: 5}


def _folder(path: Path, datasets: list[Dataset]) -> Path:
    path.mkdir(parents=True)
    for number, ds in enumerate(datasets):
        (path / f"{number:03}.dcm").write_bytes(file_bytes(ds))
    return path


def _assert_one_sentence(text: str, code: str) -> None:
    """Take notes that stand before it; the error is the last line, with its code and no trace."""
    assert "Traceback" not in text
    last = text.strip().splitlines()[-1]
    assert last.startswith("clic-edge: ")
    assert last.endswith(f"[{code}]")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return a copy of the configuration that ships, with a key and a state of its own."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    path = tmp_path / "configs" / "clic-edge.toml"
    text = path.read_text().replace("/var/lib/clic-edge", str(tmp_path / "state"))
    path.write_text(text.replace("../models", str(ROOT / "models")))
    return path


@pytest.fixture
def one_pipeline(settings: Path) -> Path:
    """Return the same with the pipeline of the hippocampus alone: to load every model takes time."""
    for path in (settings.parent / "pipelines").glob("*.toml"):
        if path.stem != "hippocampus":
            path.unlink()
    return settings


# check, serve, deid init-key


@pytest.mark.slow
def test_check_finds_nothing_wrong_with_the_configuration_that_ships(
    clic_edge: ClicEdge, settings: Path
) -> None:
    assert clic_edge("-c", settings, "deid", "init-key").code == 0
    done = clic_edge("-c", settings, "check", "--offline")
    assert (done.code, done.err) == (0, "")
    for path in (settings.parent / "pipelines").glob("*.toml"):
        assert f"pipeline {path.stem}" in done.out
    assert "signed by clic-edge-development" in done.out


@pytest.mark.slow
def test_check_names_the_key_that_is_missing_and_the_servers_that_are_down(
    clic_edge: ClicEdge, one_pipeline: Path
) -> None:
    text = one_pipeline.read_text().replace(":8042", f":{free_port()}")
    one_pipeline.write_text(text.replace("port = 4242", f"port = {free_port()}"))
    password = one_pipeline.parent / "secrets" / "shared" / "orthanc-password"
    password.parent.mkdir(parents=True)
    password.write_text("not asked for")
    done = clic_edge("-c", one_pipeline, "check")
    assert done.code == 2
    assert "deid init-key" in done.out + done.err
    assert "does not answer" in done.out
    assert "Nothing answers at 127.0.0.1" in done.out


@pytest.mark.slow
def test_check_names_a_model_that_changed(
    clic_edge: ClicEdge, one_pipeline: Path, tmp_path: Path
) -> None:
    settings, models = one_pipeline, tmp_path / "models"
    shutil.copytree(ROOT / "models" / "hippocampus", models / "hippocampus")
    settings.write_text(settings.read_text().replace(str(ROOT / "models"), str(models)))
    with (models / "hippocampus" / "model.onnx").open("ab") as weights:
        weights.write(b"\0")
    clic_edge("-c", settings, "deid", "init-key")
    done = clic_edge("-c", settings, "check", "--offline")
    assert done.code == 5
    assert "are not those of digests.json" in done.out


WRONG = {
    "an unknown key": ("[worker]", "[worker]\nreconcile_second = 1", "reconcile_seconds"),
    "an unknown table": ("[worker]", "[workers]", "worker"),
    "a value of the wrong kind": ("concurrent_cases = 2", 'concurrent_cases = "two"', "cases"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_worker_does_not_start_with_a_wrong_setting_and_says_file_key_and_nearest(
    clic_edge: ClicEdge, settings: Path, tmp_path: Path, name: str
) -> None:
    right, wrong, nearest = WRONG[name]
    settings.write_text(settings.read_text().replace(right, wrong))
    for command in ("serve", "check"):
        done = clic_edge("-c", settings, command)
        assert done.code == 2
        assert str(settings) in done.err
        assert nearest in done.err
        assert "Traceback" not in done.err
    assert not (tmp_path / "state").exists()


def test_a_pipeline_that_names_an_unknown_destination_is_told_the_nearest(
    clic_edge: ClicEdge, settings: Path
) -> None:
    pipeline = settings.parent / "pipelines" / "hippocampus.toml"
    pipeline.write_text(pipeline.read_text().replace('["pacs"]', '["pcas"]'))
    done = clic_edge("-c", settings, "serve")
    assert done.code == 2
    assert str(pipeline) in done.err
    assert "pcas" in done.err
    assert "pacs" in done.err


def test_a_key_is_its_owners_alone_and_is_never_overwritten(
    clic_edge: ClicEdge, settings: Path, tmp_path: Path
) -> None:
    assert clic_edge("-c", settings, "deid", "init-key").code == 0
    key = tmp_path / "state" / "deid.key"
    secret = key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    done = clic_edge("-c", settings, "deid", "init-key")
    assert done.code == 2
    _assert_one_sentence(done.err, "key-exists")
    assert key.read_bytes() == secret


@pytest.mark.slow
def test_a_traceback_is_shown_on_request_only(settings: Path) -> None:
    settings.write_text("nonsense")
    plain = command_line("-c", str(settings), "check")
    assert plain.returncode == 2
    _assert_one_sentence(plain.stderr, "not-toml")
    debug = command_line("-c", str(settings), "--debug", "check")
    assert debug.returncode != 0
    assert "Traceback" in debug.stderr


# route, run


def test_route_says_which_series_is_taken_and_why_the_other_is_not(
    clic_edge: ClicEdge, settings: Path, tmp_path: Path
) -> None:
    datasets = hippocampus_study(1)
    datasets += hippocampus_study(1, series_number=2, description="Knee")
    done = clic_edge("-c", settings, "route", _folder(tmp_path / "study", datasets))
    assert done.code == 0
    lines = [line for line in done.out.splitlines() if line.startswith("hippocampus")]
    assert ["not taken" in line for line in lines] == [False, True]
    assert "series description does not match 'hippo'" in lines[1]
    assert "Knee" in lines[1]


@pytest.mark.slow
def test_run_writes_results_and_a_report(
    clic_edge: ClicEdge, settings: Path, tmp_path: Path
) -> None:
    study, out = _folder(tmp_path / "study", hippocampus_study(2)), tmp_path / "out"
    done = clic_edge("-c", settings, "run", study, "--pipeline", "hippocampus", "--out", out)
    assert done.code == 0, done.err
    results = [dcmread(path) for path in out.glob("*.dcm")]
    assert sorted(ds.Modality for ds in results) == ["SEG", "SR", "SR"]
    (case,) = json.loads((out / "report.json").read_text())
    assert case["case"]["state"] == "delivered"
    assert set(case["stages"]) == {"accept", "predict", "write", "deliver", "confirm", "finish"}
    (prediction,) = case["predictions"]
    assert prediction["output.anterior.volume_mm3"] > 0
    assert [receipt["status"] for receipt in case["receipts"]] == ["written"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_run_ends_with_the_exit_code_of_bad_input_and_the_good_study_beside_it_is_written(
    clic_edge: ClicEdge, settings: Path, tmp_path: Path, name: str
) -> None:
    bad, out = BAD[name], tmp_path / "out"
    _folder(tmp_path / "in" / "bad", bad.datasets(3))
    _folder(tmp_path / "in" / "good", hippocampus_study(4))
    done = clic_edge(
        *("-c", settings, "run", tmp_path / "in", "--pipeline", "hippocampus", "--out", out)
    )
    assert done.code == EXIT_CODES[bad.state]
    assert "Traceback" not in done.err
    cases = [entry["case"] for entry in json.loads((out / "report.json").read_text())]
    assert [(case["state"], case["code"]) for case in cases] == [
        (bad.state, bad.code),
        ("delivered", ""),
    ]
    assert cases[0]["reason"] in done.out
    told = bad.state is CaseState.REFUSED and bad.code != "no-pipeline"
    assert len(list(out.glob("*.dcm"))) == 3 + told


def test_run_of_a_folder_that_holds_a_file_cut_short_is_quarantined(
    clic_edge: ClicEdge, settings: Path, tmp_path: Path
) -> None:
    study, out = _folder(tmp_path / "study", hippocampus_study(5)), tmp_path / "out"
    whole = (study / "007.dcm").read_bytes()
    (study / "007.dcm").write_bytes(whole[: len(whole) // 2])
    done = clic_edge("-c", settings, "run", study, "--pipeline", "hippocampus", "--out", out)
    assert done.code == 5
    assert not list(out.glob("*.dcm"))


def test_run_of_a_file_without_a_header_names_the_file(
    clic_edge: ClicEdge, settings: Path, tmp_path: Path
) -> None:
    study, out = _folder(tmp_path / "study", hippocampus_study(5)), tmp_path / "out"
    (study / "007.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    done = clic_edge("-c", settings, "run", study, "--pipeline", "hippocampus", "--out", out)
    assert done.code == 5
    assert str(study / "007.dcm") in done.err
    _assert_one_sentence(done.err, "unreadable-file")
    assert not out.exists()


def test_run_of_nothing_is_a_wrong_use(clic_edge: ClicEdge, settings: Path, tmp_path: Path) -> None:
    out = ("--pipeline", "hippocampus", "--out", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        done = clic_edge("-c", settings, "run", tmp_path / folder, *out)
        assert done.code == 2
        _assert_one_sentence(done.err, "no-dicom")
    study = _folder(tmp_path / "study", hippocampus_study(6)[:1])
    wrong = ("--pipeline", "hippocampos", "--out", tmp_path / "out")
    done = clic_edge("-c", settings, "run", study, *wrong)
    assert done.code == 2
    _assert_one_sentence(done.err, "no-such-pipeline")
    assert "hippocampus" in done.err


def test_run_into_a_place_that_cannot_be_written_is_a_wrong_use(
    clic_edge: ClicEdge, settings: Path, tmp_path: Path
) -> None:
    study = _folder(tmp_path / "study", hippocampus_study(7))
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "out"
    done = clic_edge("-c", settings, "run", study, "--pipeline", "hippocampus", "--out", out)
    assert done.code == 2
    _assert_one_sentence(done.err, "out-unwritable")
    assert str(out) in done.err


@pytest.mark.slow
def test_run_ends_with_try_again_later_when_the_destination_does_not_take_the_results(
    clic_edge: ClicEdge, settings: Path, tmp_path: Path
) -> None:
    study = _folder(tmp_path / "study", hippocampus_study(8))
    run = ("-c", settings, "run", study, "--pipeline", "hippocampus", "--out")
    assert clic_edge(*run, tmp_path / "first").code == 0
    for path in (tmp_path / "first").glob("SR-*.dcm"):  # the same results have the same names
        (tmp_path / "second" / path.name).mkdir(parents=True)
    done = clic_edge(*run, tmp_path / "second")
    assert done.code == 4
    assert "Traceback" not in done.err
    (case,) = json.loads((tmp_path / "second" / "report.json").read_text())
    assert (case["case"]["state"], case["case"]["code"]) == ("waiting", "destination-unreachable")


# cases, predictions


@servers
def test_a_worker_waits_for_an_orthanc_that_is_down_and_stops_in_good_order_when_told(
    site: Site, tmp_path: Path
) -> None:
    alone = plan_site(tmp_path / "alone", SiteOptions(), site.pacs)
    with alone.worker() as process:
        wait_for(lambda: "archive-unreachable" in alone.log.read_text(), "it looks for Orthanc")
        process.send_signal(signal.SIGTERM)
        assert process.wait(CASE_SECONDS) == 0
    assert '"worker-stopped"' in alone.log.read_text()


@servers
def test_a_case_is_listed_shown_and_run_again(site: Site, clic_edge: ClicEdge) -> None:
    study_id = site.send(BAD["a missing slice"].datasets(401))
    case = site.await_case(study_id, CaseState.REFUSED)
    on_site = ("-c", site.settings, "cases")
    listed = clic_edge(*on_site, "list", "--state", "refused")
    assert case.case_id in listed.out
    assert case.reason in listed.out
    assert case.case_id not in clic_edge(*on_site, "list", "--state", "delivered").out
    shown = clic_edge(*on_site, "show", case.case_id)
    assert "missing-slices" in shown.out
    assert "accept" in shown.out
    retried = clic_edge(*on_site, "retry", case.case_id)
    attempt = case.attempt + 1
    assert (retried.code, retried.out) == (0, f"{case.case_id} is queued as attempt {attempt}\n")
    again = site.await_case(study_id, CaseState.REFUSED)
    assert again.case_id == case.case_id
    assert again.code == "missing-slices"


@servers
def test_a_delivered_case_is_shown_with_its_receipts_and_not_run_again(
    site: Site, clic_edge: ClicEdge
) -> None:
    case = site.await_case(site.send(hippocampus_study(402)), CaseState.DELIVERED)
    on_site = ("-c", site.settings, "cases")
    whole = json.loads(clic_edge(*on_site, "show", case.case_id, "--json").out)
    assert whole["case"]["state"] == "delivered"
    assert {receipt["status"] for receipt in whole["receipts"]} == {"0x0000"}
    assert {row["kind"] for row in whole["results"]} == {"SEG", "SR", "SUMMARY"}
    assert [event["action"] for event in whole["audit"]][-1] == "delivered"
    done = clic_edge(*on_site, "retry", case.case_id)
    assert done.code == 2
    _assert_one_sentence(done.err, "case-not-retryable")
    done = clic_edge(*on_site, "show", "no-such-case")
    assert done.code == 2
    _assert_one_sentence(done.err, "no-such-case")


@servers
def test_predictions_say_the_same_as_table_csv_and_parquet(
    site: Site, clic_edge: ClicEdge, tmp_path: Path
) -> None:
    case = site.await_case(site.send(hippocampus_study(403)), CaseState.DELIVERED)
    log = ("-c", site.settings, "predictions", "--since", "1h")
    table = clic_edge(*log)
    assert case.case_id[:8] in table.out
    as_csv = list(csv.DictReader(io.StringIO(clic_edge(*log, "--format", "csv").out)))
    assert clic_edge(*log, "--format", "parquet", "--out", tmp_path / "log.parquet").code == 0
    as_parquet = parquet.read_table(tmp_path / "log.parquet").to_pylist()
    assert len(as_csv) == len(as_parquet)
    for left, right in zip(as_csv, as_parquet, strict=True):
        assert left == {name: "" if value is None else str(value) for name, value in right.items()}
    (row,) = [row for row in as_parquet if row["case_id"] == case.case_id]
    assert row["input.modality"] == "MR"
    assert row["output.anterior.volume_mm3"] > 0
    assert row["seconds.predict"] > 0
    assert row["device"] == "cpu"
    assert len(row["model_digest"]) == 64


@servers
def test_predictions_that_cannot_be_asked_for_are_a_wrong_use(
    site: Site, clic_edge: ClicEdge
) -> None:
    log = ("-c", site.settings, "predictions")
    done = clic_edge(*log, "--format", "parquet")
    assert done.code == 2
    _assert_one_sentence(done.err, "needs-out")
    done = clic_edge(*log, "--since", "yesterday")
    assert done.code == 2
    _assert_one_sentence(done.err, "bad-since")
