from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import Distribution, PackageNotFoundError
from typing import TYPE_CHECKING

import pydicom
import pytest
from analyses import analysis_of
from factories import CANARY, Stack, make_series

from clic_edge import assembly
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import ClicEdgeError, ConfigError, Defect, Transient
from clic_edge.results import dcmqi
from clic_edge.results.check import check
from clic_edge.results.seg import SegWriter
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.dataset import Dataset

    from clic_edge.results.writer import Analysis


def results_of(analysis: Analysis) -> tuple[ResultObject, ResultObject]:
    (seg,) = SegWriter().write(analysis, ())
    (sr,) = SrWriter().write(analysis, (seg,))
    return seg, sr


def spoiled(result: ResultObject, change: Callable[[Dataset], None]) -> ResultObject:
    ds = pydicom.dcmread(io.BytesIO(result.content))
    change(ds)
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return replace(result, content=buffer.getvalue())


def move_a_frame(ds: Dataset) -> None:
    position = ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    position.ImagePositionPatient = [
        float(position.ImagePositionPatient[0]) + 0.02,
        *position.ImagePositionPatient[1:],
    ]


def refer_elsewhere(ds: Dataset) -> None:
    first, second = (
        frame.DerivationImageSequence[0].SourceImageSequence[0]
        for frame in ds.PerFrameFunctionalGroupsSequence[:2]
    )
    first.ReferencedSOPInstanceUID = second.ReferencedSOPInstanceUID


def turn_a_pixel(ds: Dataset) -> None:
    ds.PixelData = bytes([ds.PixelData[0] ^ 1]) + ds.PixelData[1:]


def drop_a_frame(ds: Dataset) -> None:
    size = ds.Rows * ds.Columns // 8
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:-1]
    ds.NumberOfFrames -= 1
    ds.PixelData = ds.PixelData[:-size]


def rename_a_segment(ds: Dataset) -> None:
    ds.SegmentSequence[0].TrackingUID = "2.25.1"


def leave_the_frame_of_reference(ds: Dataset) -> None:
    ds.FrameOfReferenceUID = "2.25.1"


def change_a_volume(ds: Dataset) -> None:
    for one in ds.iterall():
        if one.keyword == "NumericValue":
            value = one
    value.value = float(value.value) * 1.01


def lose_evidence(ds: Dataset) -> None:
    series = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    series.ReferencedSOPSequence = series.ReferencedSOPSequence[:-1]


def claim_verification(ds: Dataset) -> None:
    ds.VerificationFlag = "VERIFIED"


def test_results_as_written_pass() -> None:
    analysis = analysis_of()
    check(results_of(analysis), analysis)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (move_a_frame, "seg-misplaced"),
        (refer_elsewhere, "seg-misplaced"),
        (leave_the_frame_of_reference, "seg-misplaced"),
        (turn_a_pixel, "seg-differs"),
        (drop_a_frame, "seg-differs"),
        (rename_a_segment, "seg-differs"),
    ],
)
def test_a_segmentation_that_is_not_the_mask_does_not_leave(
    change: Callable[[Dataset], None], code: str
) -> None:
    analysis = analysis_of()
    seg, sr = results_of(analysis)
    with pytest.raises(Defect) as caught:
        check((spoiled(seg, change), sr), analysis)
    assert caught.value.code == code


@pytest.mark.parametrize("change", [change_a_volume, lose_evidence, claim_verification])
def test_a_report_that_is_not_the_finding_does_not_leave(
    change: Callable[[Dataset], None],
) -> None:
    analysis = analysis_of()
    seg, sr = results_of(analysis)
    with pytest.raises(Defect) as caught:
        check((seg, spoiled(sr, change)), analysis)
    assert caught.value.code == "sr-differs"


@pytest.mark.slow
@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "StudyInstanceUID"])
@pytest.mark.parametrize("kind", [ResultKind.SEG, ResultKind.SR])
def test_a_result_of_another_patient_or_study_does_not_leave(
    keyword: str, kind: ResultKind
) -> None:
    analysis = analysis_of()
    results = [
        spoiled(one, lambda ds: setattr(ds, keyword, "1.2.3")) if one.kind is kind else one
        for one in results_of(analysis)
    ]
    with pytest.raises(Defect) as caught:
        check(tuple(results), analysis)
    assert caught.value.code == "wrong-patient"


def test_results_of_one_patient_do_not_pass_for_another() -> None:
    other = analysis_of(make_series(Stack(patient=CANARY)))
    with pytest.raises(Defect) as caught:
        check(results_of(analysis_of()), other)
    assert caught.value.code == "wrong-patient"
    assert "CANARY" not in str(caught.value)


def test_slices_that_are_named_in_the_wrong_order_are_found() -> None:
    analysis = analysis_of()
    turned = replace(analysis, slices=analysis.slices[::-1])
    with pytest.raises(Defect) as caught:
        check(results_of(turned), turned)
    assert caught.value.code == "seg-misplaced"


def test_an_object_under_another_uid_does_not_leave() -> None:
    analysis = analysis_of()
    seg, sr = results_of(analysis)
    with pytest.raises(Defect) as caught:
        check((replace(seg, sop_instance_uid="2.25.1"), sr), analysis)
    assert caught.value.code == "result-invalid"


def test_a_result_that_is_cut_short_does_not_leave() -> None:
    analysis = analysis_of()
    seg, sr = results_of(analysis)
    cut = replace(seg, content=seg.content[: len(seg.content) // 2])
    with pytest.raises(Defect):
        check((cut, sr), analysis)


def test_a_voxel_that_no_finding_tells_of_is_found() -> None:
    analysis = analysis_of()
    label_map = analysis.prediction.label_map.copy()
    label_map[0, 0, 0] = 9
    more = replace(analysis, prediction=replace(analysis.prediction, label_map=label_map))
    with pytest.raises(Defect) as caught:
        check(results_of(analysis), more)
    assert caught.value.code == "findings-differ"


@pytest.mark.slow
def test_results_are_read_back_without_the_library_that_wrote_them() -> None:
    question = "import sys, clic_edge.results.check; sys.exit('highdicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", question], check=False).returncode == 0


FAILING = {
    "refuses": ("echo 'Testesen^Åse' >&2; exit 1", Defect, "geometry-unproved"),
    "crashes": ("kill -SEGV $$", Defect, "geometry-unproved"),
    "is killed": ("kill -KILL $$", Transient, "geometry-reader-stopped"),
    "never ends": ("sleep 30", Transient, "geometry-reader-stopped"),
    "is silent": ("exit 0", Defect, "geometry-unproved"),
}
"""What may become of a reader, as a program that does the same."""


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["_segimage2itkimage", "_dcmdump"])
@pytest.mark.parametrize(("script", "kind", "code"), FAILING.values(), ids=FAILING)
def test_nothing_leaves_when_a_reader_fails(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    reader: str,
    *,
    script: str,
    kind: type[ClicEdgeError],
    code: str,
) -> None:
    program = tmp_path / "reader"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(dcmqi, reader, lambda: str(program))
    monkeypatch.setattr(dcmqi, "TIMEOUT_SECONDS", 1.0)
    analysis = analysis_of()
    with pytest.raises(kind) as caught:
        check(results_of(analysis), analysis)
    assert caught.value.code == code
    assert "Testesen" not in str(caught.value)


@pytest.mark.slow
def test_a_reader_that_says_success_where_nothing_can_be_written_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "reader"
    program.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(dcmqi, "_segimage2itkimage", lambda: str(program))
    disk = dcmqi.os.statvfs(tmp_path)
    full = dcmqi.os.statvfs_result((*disk[:4], 0, *disk[5:10]))  # f_bavail
    monkeypatch.setattr(dcmqi.os, "statvfs", lambda _folder: full)
    analysis = analysis_of()
    with pytest.raises(Transient) as caught:
        check(results_of(analysis), analysis)
    assert caught.value.code == "geometry-reader-stopped"


def test_nothing_leaves_where_no_reader_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    analysis = analysis_of()
    results = results_of(analysis)
    dcmqi.require_readers()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="geometry-reader-missing"):
        check(results, analysis)
    with pytest.raises(ConfigError, match="apt-get install dcmtk"):
        dcmqi.require_readers()


def test_no_worker_starts_that_could_not_prove_its_segmentations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert assembly._writer("sr")
    with pytest.raises(ConfigError, match="geometry-reader-missing"):
        assembly._writer("seg")


def test_a_package_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> Distribution:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(dcmqi, "distribution", gone)
    with pytest.raises(ConfigError, match="pip install dcmqi"):
        dcmqi.require_readers()


def test_the_readers_leave_nothing_of_the_patient_and_nothing_at_all() -> None:
    analysis = analysis_of(make_series(Stack(patient=CANARY)))
    seg, _ = results_of(analysis)
    assert CANARY.patient_id.encode() in seg.content
    with dcmqi.reread(seg.content, seg.content, merged=True) as found:
        folder = found.volumes[0].path.parent
        left = b"".join(path.read_bytes() for path in folder.iterdir())
    for value in (CANARY.name, CANARY.patient_id, CANARY.accession_number):
        assert value.split("^")[0].encode() not in left
    assert CANARY.study_instance_uid.encode() not in left
    assert not folder.exists()
