"""Folders made clean: every file ends whole and proved, or in quarantine; whatever happens on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from factories import CANARY, Patient, Stack, canary_stack, file_bytes, make_datasets, ramp
from hostile_sources import KillsItsProcess, RaisesAnything
from pydicom import dcmread
from typer.testing import CliRunner

from clic_edge.cli import app
from clic_edge.deid import BASIC, DeidKey, create_key, file
from clic_edge.deid.batch import Order, RunCutShort, Summary, clean_all, sources_below
from clic_edge.deid.certificate import Certificate, public_key
from clic_edge.deid.file import PARTS, Bench
from clic_edge.deid.output import Output
from clic_edge.deid.profile import Profile
from clic_edge.deid.verify import verify
from clic_edge.errors import ConfigError, Defect, Transient

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result
    from pydicom.dataset import Dataset

HOLD = Profile(name="hold", faces="hold")
KEY = DeidKey(b"one key of thirty-two bytes, yes")
SECRETS = ("Kanarie", "Gulnæb", CANARY.patient_id, "77777777", CANARY.birth_date, "KANARIE")
SLICES = 6


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with two patients' series, in folders that name them."""
    folder = tmp_path / "in"
    for stack in (canary_stack(), Stack(modality="CT")):
        for number, ds in enumerate(make_datasets(stack, ramp((SLICES, 4, 6)))):
            place = folder / stack.patient.patient_id / f"{number}.dcm"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file_bytes(ds))
    return folder


def _order(tmp_path: Path, **changes: object) -> Order:
    bench = Bench(profile=BASIC, key=KEY, out=tmp_path / "out")
    return Order(bench=replace(bench, **changes))  # type: ignore[arg-type]


def _run(source: Path, order: Order) -> Summary:
    return clean_all(sources_below(source), order, lambda _: None)


def _files(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.dcm"))
    }


def _codes(summary: Summary) -> list[str]:
    return [held.code for _, held in summary.held]


def _is_sound(out: Path) -> bool:
    return verify(out, public_key(KEY)).problems == ()


def test_a_folder_becomes_a_cohort_that_names_nobody(source: Path, tmp_path: Path) -> None:
    summary = _run(source, _order(tmp_path))
    out = tmp_path / "out"
    assert (summary.written, summary.skipped, summary.held) == (2 * SLICES, 0, ())
    files = _files(out)
    assert len(files) == 2 * SLICES
    for name in files:
        ds = dcmread(out / name)
        subject, study, series, instance = name.removesuffix(".dcm").split("/")
        assert subject == ds.PatientID
        assert (study, series) == (ds.StudyInstanceUID, ds.SeriesInstanceUID)
        assert instance == ds.SOPInstanceUID
    assert not (out / PARTS).exists()
    for path in (path for path in out.rglob("*") if path.is_file()):
        shown = path.read_bytes() + str(path.relative_to(out)).encode()
        assert not [secret for secret in SECRETS if secret.encode() in shown], path
    assert _is_sound(out)


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_as_one(source: Path, tmp_path: Path) -> None:
    _run(source, _order(tmp_path, out=tmp_path / "one"))
    _run(source, replace(_order(tmp_path), workers=2))
    assert _files(tmp_path / "out") == _files(tmp_path / "one")


def test_a_second_run_skips_what_is_done_and_does_what_is_new(source: Path, tmp_path: Path) -> None:
    order, out = _order(tmp_path), tmp_path / "out"
    _run(source, order)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}
    lost = next(iter(written))
    lost.unlink()
    late = Stack(patient=Patient(uid_root="1.2.3.4"))
    (source / "late.dcm").write_bytes(file_bytes(make_datasets(late, ramp((1, 4, 6)))[0]))
    summary = _run(source, order)
    assert (summary.written, summary.skipped) == (2, 2 * SLICES - 1)
    assert lost.is_file()
    del written[lost]
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert _is_sound(out)


RUN_AND_DIE = """\
import os, signal, sys
from pathlib import Path
from clic_edge.deid import BASIC, DeidKey
from clic_edge.deid.batch import Order, clean_all, sources_below
from clic_edge.deid import file
key, source, out = sys.argv[1:]
linked = os.link
def link(one, other):
    if len(list(Path(out).rglob("*.dcm"))) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    linked(one, other)
os.link = link
bench = file.Bench(profile=BASIC, key=DeidKey(key.encode()), out=Path(out))
clean_all(sources_below(Path(source)), Order(bench=bench), lambda _: None)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_whole_files_and_the_next_one_finishes(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    died = subprocess.run(
        [sys.executable, "-c", RUN_AND_DIE, KEY.secret.decode(), str(source), str(out)],
        check=False,
        capture_output=True,
    )
    assert died.returncode == -signal.SIGKILL
    _run(source, _order(tmp_path, out=tmp_path / "whole"))
    whole = _files(tmp_path / "whole")
    left = _files(out)
    assert len(left) == 7
    assert left.items() <= whole.items()
    assert list((out / PARTS).iterdir())
    summary = _run(source, _order(tmp_path))
    assert summary.held == ()
    assert _files(out) == whole
    assert not (out / PARTS).exists()
    assert _is_sound(out)


def _canary_slice() -> Dataset:
    return make_datasets(canary_stack(), ramp((1, 4, 6)))[0]


def _with(change: Callable[[Dataset], object]) -> bytes:
    ds = _canary_slice()
    change(ds)
    return file_bytes(ds)


STORAGE = "1.2.840.10008.5.1.4.1.1."
HELD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a note": ("unreadable-instance", lambda: b"Kanariefugl Gulnaeb was here"),
    "nothing": ("unreadable-instance", lambda: b""),
    "half a file": ("unreadable-instance", lambda: file_bytes(_canary_slice())[:-20]),
    "pdf": (
        "not-deidentifiable",
        lambda: _with(lambda d: setattr(d, "SOPClassUID", STORAGE + "104.1")),
    ),
    "private class": (
        "not-deidentifiable",
        lambda: _with(lambda d: setattr(d, "SOPClassUID", "1.3.12.2.1107.5.9.1")),
    ),
    "transfer syntax": (
        "unknown-transfer-syntax",
        lambda: file_bytes(_canary_slice()).replace(
            b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"
        ),
    ),
    "character set": (
        "undecodable-text",
        lambda: file_bytes(_canary_slice()).replace(b"ISO_IR 192", b"ISO_IR 912"),
    ),
    "residue": (
        "residual-identifier",
        lambda: _with(lambda d: setattr(d, "SoftwareVersions", "for Kanariefugl")),
    ),
}


@pytest.mark.parametrize("why", HELD)
def test_what_can_not_be_made_clean_is_in_quarantine_with_a_reason_and_without_a_file(
    tmp_path: Path, why: str
) -> None:
    code, make = HELD[why]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Kanariefugl.dcm").write_bytes(make())
    out = tmp_path / "out"
    summary = _run(tmp_path / "in", _order(tmp_path))
    assert _codes(summary) == [code]
    assert _files(out) == {}
    (line,) = (out / "quarantine.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["code"] == code
    assert len(record["digest_in"]) == 64
    assert not [secret for secret in SECRETS if secret in line]
    assert not [path for path in out.iterdir() if path.suffix != ".jsonl"]
    assert _is_sound(out)


@pytest.mark.slow
def test_a_file_that_kills_its_process_costs_only_itself(source: Path, tmp_path: Path) -> None:
    sources = [*sources_below(source)]
    sources[3:3] = [KillsItsProcess()]
    order = replace(_order(tmp_path), workers=2)
    summary = clean_all(sources, order, lambda _: None)
    assert summary.written == 2 * SLICES
    assert [(origin, held.code) for origin, held in summary.held] == [("deadly", "worker-died")]
    assert _is_sound(tmp_path / "out")


@pytest.mark.slow
def test_processes_that_die_one_after_the_other_end_the_run(tmp_path: Path) -> None:
    order = replace(_order(tmp_path), workers=2)
    with pytest.raises(Defect) as caught:
        clean_all([KillsItsProcess()] * 9, order, lambda _: None)
    assert caught.value.code == "workers-die"


@pytest.mark.slow
@pytest.mark.parametrize("profile", [BASIC, HOLD])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_that_nobody_expected_ends_the_run_and_the_next_one_goes_on(
    source: Path, tmp_path: Path, workers: int, profile: Profile
) -> None:
    order = replace(_order(tmp_path, profile=profile), workers=workers)
    files = list(sources_below(source))
    with pytest.raises(RunCutShort) as caught:
        clean_all([*files[:3], RaisesAnything(), *files[3:]], order, lambda _: None)
    assert caught.value.code == "unexpected-error"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    summary = caught.value.summary
    ((origin, held),) = summary.held
    assert (origin, held.code) == ("odd", "unexpected-error")
    shown = caught.value.sentence + (tmp_path / "out" / "quarantine.jsonl").read_text()
    assert "unexpected-error" in shown
    assert "Kanarie" not in shown
    assert not _is_sound(tmp_path / "out")  # the certificate has no end
    rest = clean_all(files, order, lambda _: None)
    assert (rest.skipped, rest.written) == (summary.written, 2 * SLICES - summary.written)
    assert _is_sound(tmp_path / "out")


def test_the_report_names_the_file_that_ended_the_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = file.FileSource.read

    def odd(one: file.FileSource) -> bytes:
        if one.path.name == "3.dcm":
            raise ZeroDivisionError
        return read(one)

    monkeypatch.setattr(file.FileSource, "read", odd)
    report = tmp_path / "report.json"
    arguments = ["--profile", "basic", "--report", str(report)]
    done = _cli(tmp_path, str(source), str(tmp_path / "out"), *arguments)
    assert isinstance(done.exception, RunCutShort)
    assert done.exception.exit_code == 5
    content = json.loads(report.read_text())
    assert {Path(one["path"]).name for one in content["quarantined"]} == {"3.dcm"}


def test_two_files_that_claim_the_same_instance_are_not_mixed_up(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    one, other = _canary_slice(), _canary_slice()
    other.PixelData = bytes(len(other.PixelData))
    for name, ds in (("a", one), ("b", other), ("c", one)):
        (tmp_path / "in" / name).write_bytes(file_bytes(ds))
    summary = _run(tmp_path / "in", _order(tmp_path))
    assert (summary.written, _codes(summary)) == (2, ["duplicate-instance"])
    assert dcmread(next((tmp_path / "out").rglob("*.dcm"))).PixelData == one.PixelData
    assert _is_sound(tmp_path / "out")


def test_a_disk_that_gives_back_other_bytes_gets_no_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durably = file._durably
    monkeypatch.setattr(
        file,
        "_durably",
        lambda path, one: durably(path, replace(one, pieces=(one.joined()[:-1], b"\xfe"))),
    )
    summary = _run(source, _order(tmp_path))
    assert set(_codes(summary)) == {"read-back-differs"}
    assert _files(tmp_path / "out") == {}


def test_an_engine_that_forgets_an_attribute_gets_no_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        file, "clean_instance", lambda *_, **__: Output.of(file_bytes(_canary_slice()))
    )
    summary = _run(source / CANARY.patient_id, _order(tmp_path))
    assert set(_codes(summary)) == {"plan-not-met"}
    assert _files(tmp_path / "out") == {}


def test_a_folder_holds_one_policy_and_one_key(source: Path, tmp_path: Path) -> None:
    _run(source, _order(tmp_path))
    other = _order(tmp_path, profile=Profile(name="other", faces="hold"))
    with pytest.raises(ConfigError) as caught:
        _run(source, other)
    assert caught.value.code == "other-policy"
    quarantine = tmp_path / "out" / "quarantine.jsonl"
    quarantine.write_text("what the first run held")
    stranger = _order(tmp_path, key=DeidKey(bytes(32)))
    with pytest.raises(Defect) as broken:
        _run(source, stranger)
    assert broken.value.code == "broken-certificate"
    assert quarantine.read_text() == "what the first run held"


def test_two_runs_do_not_write_to_one_folder_at_once(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / PARTS).mkdir(parents=True)
    (tmp_path / "out" / PARTS / "of the first").touch()
    with Certificate(tmp_path / "out", KEY), pytest.raises(ConfigError) as caught:
        _run(source, _order(tmp_path))
    assert caught.value.code == "out-busy"
    assert (tmp_path / "out" / PARTS / "of the first").exists()


def test_a_folder_that_takes_no_file_stops_the_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file, "_durably", full)
    with pytest.raises(Transient) as caught:
        _run(source, _order(tmp_path))
    assert caught.value.code == "out-unwritable"
    assert _files(tmp_path / "out") == {}


def test_names_are_kept_where_they_tell_of_nobody(tmp_path: Path) -> None:
    content = file_bytes(_canary_slice())
    for name in ("scan/0001.dcm", "kanariefugl/0001.dcm", f"x/{CANARY.patient_id}.dcm"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    summary = _run(tmp_path / "in", _order(tmp_path, keep_names_below=tmp_path / "in"))
    assert _codes(summary) == ["identifier-in-name"] * 2
    assert set(_files(tmp_path / "out")) == {"scan/0001.dcm"}


def _cli(tmp_path: Path, *arguments: str) -> Result:
    if not (tmp_path / "deid.key").exists():
        create_key(tmp_path / "deid.key")
    settings = tmp_path / "clic-edge.toml"
    profiles = file.__file__.rpartition("/src/")[0] + "/configs/deid"
    settings.write_text(f'[appliance]\nstate_dir = "{tmp_path}"\ndeid_profiles = "{profiles}"\n')
    return CliRunner().invoke(app, ["--debug", "-c", str(settings), "deid", *arguments])


def test_the_command_without_its_word_is_run(source: Path, tmp_path: Path) -> None:
    one = _cli(tmp_path, str(source), str(tmp_path / "one"), "--profile", "basic")
    other = _cli(tmp_path, "run", str(source), str(tmp_path / "other"), "--profile", "basic")
    first = _cli(tmp_path, "--profile", "basic", str(source), str(tmp_path / "first"))
    assert [one.exit_code, other.exit_code, first.exit_code] == [0, 0, 0]
    assert _files(tmp_path / "one") == _files(tmp_path / "other") == _files(tmp_path / "first")
    assert _cli(tmp_path, "verify", str(tmp_path / "one")).exit_code == 0


def test_the_exit_code_tells_of_quarantine_and_the_report_of_the_source(
    source: Path, tmp_path: Path
) -> None:
    (source / "note.txt").write_text("no DICOM")
    report = tmp_path / "report.json"
    arguments = ["--profile", "basic", "--report", str(report)]
    done = _cli(tmp_path, str(source), str(tmp_path / "out"), *arguments)
    assert done.exit_code == 5
    content = json.loads(report.read_text())
    assert content["written"] == 2 * SLICES
    ((held),) = content["quarantined"]
    assert held["path"] == str(source / "note.txt")
    assert held["code"] == "unreadable-instance"


@pytest.mark.parametrize("out", ["in/out", "."])
def test_the_output_lies_beside_the_source(source: Path, tmp_path: Path, out: str) -> None:
    done = _cli(tmp_path, str(source), str(tmp_path / out), "--profile", "basic")
    assert isinstance(done.exception, ConfigError)
    assert done.exception.code == "out-in-source"


MEASURE = """\
import resource, sys
from pathlib import Path
from clic_edge.deid import BASIC, DeidKey
from clic_edge.deid.batch import Order, clean_all, sources_below
from clic_edge.deid.file import Bench
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
source, out = map(Path, sys.argv[1:])
def run(folder, name):
    bench = Bench(profile=BASIC, key=DeidKey(bytes(32)), out=out / name)
    return clean_all(sources_below(folder), Order(bench=bench), lambda _: None).written
run(source / "small", "small")
before = peak()
assert run(source / "large", "large") == 60
print(peak() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    stack = canary_stack()
    for folder, shape in (("small", (2, 4, 6)), ("large", (60, 1024, 1024))):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for number, ds in enumerate(make_datasets(stack, ramp(shape))):
            (tmp_path / "in" / folder / f"{number}").write_bytes(file_bytes(ds))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "in"), str(tmp_path / "out")],
        check=True,
        capture_output=True,
    )
    assert int(done.stdout) < 64 + 2  # megabytes; all files together have 120
