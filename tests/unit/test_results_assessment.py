"""What a reader says: an SR that other software reads, and a segmentation that other software edited."""

from __future__ import annotations

import io
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import analysis_of
from factories import Stack, make_datasets, make_series, ramp, series_of
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_highdicom import plain_highdicom
from written import with_everything

from clic_edge.domain.assessment import Reason, Verdict
from clic_edge.errors import Defect
from clic_edge.results.assessment import (
    AssessmentReport,
    Statement,
    findings_in,
    read_assessment,
    write_assessment,
)
from clic_edge.results.edited import compare, is_version_of
from clic_edge.results.seg import SegWriter
from clic_edge.results.seg_labelmap import SegLabelmapWriter
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.study import Series
    from clic_edge.results.writer import Analysis

AT = datetime(2026, 11, 3, 8, 15, tzinfo=UTC)
READER = "Ærlig^Læser"


def dataset(result: ResultObject) -> Dataset:
    return pydicom.dcmread(io.BytesIO(result.content))


def sr_of(analysis: Analysis) -> ResultObject:
    (sr,) = SrWriter().write(analysis, SegWriter().write(analysis, ()))
    return sr


def seg_of(analysis: Analysis) -> Dataset:
    (seg,) = SegWriter().write(analysis, ())
    return dataset(seg)


def a_report(sr: ResultObject) -> AssessmentReport:
    first, second, *_ = findings_in(dataset(sr))
    return AssessmentReport(
        reader=READER,
        assessed=frozenset({sr.sop_instance_uid}),
        statements=(
            Statement(tracking_uid=first.tracking_uid, verdict=Verdict.ACCEPTED),
            Statement(
                tracking_uid=second.tracking_uid, verdict=Verdict.REJECTED, reason=Reason.MISSED
            ),
        ),
    )


def test_the_findings_of_a_report_are_those_of_the_prediction_by_name() -> None:
    analysis = analysis_of()
    found = findings_in(dataset(sr_of(analysis)))
    assert [one.name for one in found] == [
        one.definition.name for one in analysis.prediction.segments
    ]
    volume = analysis.prediction.segments[0].volume_mm3
    assert found[0].numbers == (f"Volume {volume:.4g} mm3",)
    in_seg = {one.tracking_uid: one.name for one in findings_in(seg_of(analysis))}
    assert in_seg.items() <= {one.tracking_uid: one.name for one in found}.items()


def test_a_finding_with_an_outline_and_numbers_is_one_and_says_what_is_probable() -> None:
    found = findings_in(dataset(sr_of(with_everything(analysis_of()))))
    assert [one.name for one in found][3:] == [
        "Presence",
        "Severity",
        *(f"lesion {n}" for n in (1, 2, 3, 4)),
    ]
    assert found[3].numbers == ("Probability 0.75 (Present)", "Probability 0.25 (Absent)")
    assert found[5].numbers == ("Probability 0.125", "Length 4.5 mm")


@pytest.mark.parametrize("language", ["en", "da"])
def test_an_assessment_reads_back_as_it_was_said(language: str) -> None:
    sr = sr_of(analysis_of())
    report = a_report(sr)
    written = write_assessment(sr, report, at=AT, language=language)
    assert read_assessment(dataset(written)) == report
    assert write_assessment(sr, report, at=AT, language=language) == written
    other = write_assessment(sr, report, at=AT.replace(hour=9), language=language)
    assert other.sop_instance_uid != written.sop_instance_uid
    assert other.series_instance_uid == written.series_instance_uid


def test_an_assessment_lies_in_the_study_of_what_it_assesses() -> None:
    sr = sr_of(analysis_of())
    ours, written = dataset(sr), dataset(write_assessment(sr, a_report(sr), at=AT, language="en"))
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber"):
        assert written[keyword].value == ours[keyword].value
    assert written.SeriesInstanceUID != ours.SeriesInstanceUID
    assert written.VerificationFlag == "UNVERIFIED"
    (evidence,) = written.CurrentRequestedProcedureEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == sr.sop_instance_uid


@pytest.mark.parametrize("language", ["en", "da"])
def test_other_software_reads_an_assessment(tmp_path: Path, language: str) -> None:
    sr = sr_of(analysis_of())
    path = tmp_path / "assessment.dcm"
    path.write_bytes(write_assessment(sr, a_report(sr), at=AT, language=language).content)
    judged = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    assert "Error" not in judged.stderr, judged.stderr
    shown = subprocess.run(["dsrdump", "+U8", path], capture_output=True, text=True, check=True)
    assert READER in shown.stdout
    assert '(rejected,99CLICEDGE,"' in shown.stdout


def test_a_measurement_report_is_no_assessment() -> None:
    assert read_assessment(dataset(sr_of(analysis_of()))) is None


def masks(analysis: Analysis, mask: np.ndarray) -> Analysis:
    """Return the same analysis, as if the model had found another mask."""
    return analysis_of(analysis.series, mask=mask)


@pytest.mark.parametrize("segmentation_type", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("writer", [SegWriter, SegLabelmapWriter])
def test_another_programs_edit_is_measured_against_ours(
    writer: type[SegWriter | SegLabelmapWriter], segmentation_type: str
) -> None:
    analysis = analysis_of()
    before = analysis.prediction.label_map
    after = np.array(before)
    after[:, :4][after[:, :4] == 1] = 0  # rows cut off of the first segment
    (ours,) = writer().write(analysis, ())
    theirs = plain_highdicom(masks(analysis, after), segmentation_type)
    assert not is_version_of(theirs, dataset(ours)), "another algorithm is no reader"
    for item in theirs.SegmentSequence:
        item.SegmentAlgorithmType = "SEMIAUTOMATIC"
    assert is_version_of(theirs, dataset(ours))
    first, second, third = compare(theirs, dataset(ours))
    kept, had = int((after == 1).sum()), int((before == 1).sum())
    assert first.dice == pytest.approx(2 * kept / (kept + had))
    voxel = analysis.prediction.geometry.voxel_volume_mm3
    assert first.volume_mm3 == pytest.approx(kept * voxel)
    assert (second.dice, third.dice) == (1, 1)
    names = {one.tracking_uid: one.name for one in findings_in(dataset(ours))}
    assert [names[one.tracking_uid] for one in (first, second, third)] == [
        one.definition.name for one in analysis.prediction.segments
    ]


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98))
def test_any_edit_has_the_dice_and_the_volume_of_its_voxels(seed: int, share: float) -> None:
    analysis = analysis_of()
    before = analysis.prediction.label_map
    after = np.array(before)
    hit = np.random.default_rng(seed).random(after.shape) < share
    after[hit] = 2
    edited = compare(plain_highdicom(masks(analysis, after)), seg_of(analysis))
    by_number = dict(zip(sorted(set(after[after > 0].tolist())), edited, strict=True))
    for number, one in by_number.items():
        a, b = before == number, after == number
        assert one.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        volume = b.sum() * analysis.prediction.geometry.voxel_volume_mm3
        assert one.volume_mm3 == pytest.approx(volume)


def test_a_segment_that_we_had_not_found_is_an_added_one() -> None:
    mask = np.array(analysis_of().prediction.label_map)
    mask[mask == 3] = 0
    analysis = analysis_of(mask=mask)
    after = np.array(analysis.prediction.label_map)
    after[0, 0, 0] = 3
    theirs, ours = plain_highdicom(masks(analysis, after)), seg_of(analysis)
    theirs.SegmentSequence[0].TrackingUID = ours.SegmentSequence[0].TrackingUID
    (*_, added) = compare(theirs, ours)
    assert (added.tracking_uid, added.was_empty, added.dice) == ("", True, 0)


def test_other_contours_on_the_same_images_are_not_ours_edited() -> None:
    analysis = analysis_of()
    theirs, ours = plain_highdicom(analysis), seg_of(analysis)
    assert not is_version_of(ours, ours)
    for item in theirs.SegmentSequence:
        item.SegmentAlgorithmType = "MANUAL"
    assert is_version_of(theirs, ours)
    theirs.SegmentSequence[0].SegmentLabel = "Planning target volume"
    assert not is_version_of(theirs, ours)


@pytest.mark.parametrize("way", [(0.5, 0, 0), (0, -0.2, 0), (0, 0, 0.5), (1.0, 0, 0)])
def test_a_shifted_edit_is_not_measured(way: tuple[float, float, float]) -> None:
    analysis = analysis_of()
    theirs, ours = plain_highdicom(analysis), seg_of(analysis)
    for frame in theirs.PerFrameFunctionalGroupsSequence:
        position = frame.PlanePositionSequence[0]
        moved = np.array(position.ImagePositionPatient, float) + way
        position.ImagePositionPatient = [float(one) for one in moved]
    with pytest.raises(Defect, match="other planes"):
        compare(theirs, ours)


@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_an_edit_may_reach_onto_slices_that_ours_leaves_empty(tilt: float) -> None:
    analysis = analysis_of(tilted(tilt))
    mask = np.array(analysis.prediction.label_map)
    mask[:2] = 0
    ours, theirs = seg_of(masks(analysis, mask)), plain_highdicom(analysis)
    voxel = analysis.prediction.geometry.voxel_volume_mm3
    for number, one in enumerate(compare(theirs, ours), start=1):
        assert one.volume_mm3 == pytest.approx(
            voxel * (analysis.prediction.label_map == number).sum()
        )


def tilted(tilt: float) -> Series:
    """Return a series whose slices are stacked askew: each lies `tilt` mm further to the left."""
    datasets = make_datasets(Stack(modality="MR"), ramp())
    for number, ds in enumerate(datasets):
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [round(float(x) + tilt * number, 6), y, z]
    return series_of(datasets)


def test_a_flipped_edit_is_not_measured() -> None:
    analysis = analysis_of()
    theirs, ours = plain_highdicom(analysis), seg_of(analysis)
    orientation = theirs.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    x, y = orientation.ImageOrientationPatient[:3], orientation.ImageOrientationPatient[3:]
    orientation.ImageOrientationPatient = [*(-float(one) for one in x), *y]
    with pytest.raises(Defect, match="other planes"):
        compare(theirs, ours)


def test_an_edit_on_another_frame_of_reference_is_not_measured() -> None:
    theirs = plain_highdicom(analysis_of(make_series(Stack(modality="MR"))))
    theirs.FrameOfReferenceUID = "2.25.99"
    with pytest.raises(Defect) as raised:
        compare(theirs, seg_of(analysis_of()))
    assert raised.value.code == "edited-elsewhere"


def test_an_edit_that_is_cut_short_is_a_defect() -> None:
    analysis = analysis_of()
    theirs = plain_highdicom(analysis)
    theirs.PixelData = theirs.PixelData[:4]
    with pytest.raises(Defect) as raised:
        compare(theirs, seg_of(analysis))
    assert raised.value.code == "edited-unreadable"
