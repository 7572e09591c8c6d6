"""What stands in the groups of a report, read with highdicom: TID 1410, 1411 and 1501."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import analysis_of, series_in
from factories import Stack, make_series
from highdicom.sr import srread
from pydicom.sr.codedict import codes
from written import (
    ANTERIOR,
    CATEGORIES,
    LEFT,
    LENGTH,
    MAXIMUM,
    POINT,
    in_patient,
    with_everything,
)

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results.check import check
from clic_edge.results.meanings import meanings
from clic_edge.results.outlines import slice_of
from clic_edge.results.seg import SegWriter
from clic_edge.results.seg_fractional import SegFractionalWriter
from clic_edge.results.seg_labelmap import SegLabelmapWriter
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from highdicom.sr import (
        MeasurementReport,
        MeasurementsAndQualitativeEvaluations,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
    )
    from pydicom.dataset import Dataset

    from clic_edge.domain.prediction import Detection
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis, Writer

FORMS: dict[ResultKind, Writer] = {
    ResultKind.SEG: SegWriter(),
    ResultKind.SEG_FRACTIONAL: SegFractionalWriter(),
    ResultKind.SEG_LABELMAP: SegLabelmapWriter(),
}
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    stack = Stack(orientation=OBLIQUE, slice_step=2.5, pixel_spacing=(0.5, 0.75))
    return with_everything(analysis_of(make_series(stack)))


@pytest.fixture(scope="module")
def report(analysis: Analysis) -> MeasurementReport:
    return read(written(analysis, ResultKind.SEG)[-1])


def written(analysis: Analysis, *kinds: ResultKind) -> tuple[ResultObject, ...]:
    """Return segmentations of some kinds, then the report, checked."""
    earlier = tuple(one for kind in kinds for one in FORMS[kind].write(analysis, ()))
    results = (*earlier, *SrWriter().write(analysis, earlier))
    check(results, analysis)
    return results


def read(result: ResultObject) -> MeasurementReport:
    return srread(io.BytesIO(result.content)).content


def numbers(group: MeasurementsAndQualitativeEvaluations) -> list[tuple[str, float, str]]:
    return [(one.name.value, one.value, one.unit.value) for one in group.get_measurements()]


def evaluations(group: MeasurementsAndQualitativeEvaluations) -> list[QualitativeEvaluation]:
    """Return what is said of the finding; highdicom counts the algorithm's family too."""
    family = codes.DCM.AlgorithmFamily
    return [one for one in group.get_qualitative_evaluations() if one.name != family]


def planar_of(
    report: MeasurementReport, number: int
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    (group,) = (
        one
        for one in report.get_planar_roi_measurement_groups()
        if one.tracking_identifier == f"organs lesion {number}"
    )
    return group


def detection(analysis: Analysis, number: int) -> Detection:
    return analysis.prediction.detections[number - 1]


def test_a_segment_has_all_its_measurements_besides_the_volume(
    analysis: Analysis, report: MeasurementReport
) -> None:
    liver, spleen, lesion = (
        one
        for one in report.get_volumetric_roi_measurement_groups()
        if one.reference_type == codes.DCM.ReferencedSegment
    )
    volumes = [one.volume_mm3 for one in analysis.prediction.segments]
    volume = [("118565006", one, "mm3") for one in volumes]
    length = (LENGTH.value, 4.5, "mm")
    assert numbers(liver) == [volume[0], length, (LENGTH.value, 1 / 3, "mm")]
    assert numbers(spleen) == [volume[1]]
    assert numbers(lesion) == [volume[2], length]


def test_a_measurement_tells_its_derivation_and_by_which_method(
    analysis: Analysis, report: MeasurementReport
) -> None:
    liver = report.get_volumetric_roi_measurement_groups()[0]
    _, plain_length, derived = liver.get_measurements()
    assert plain_length.derivation is None
    assert derived.derivation.value == MAXIMUM.value
    texts = {one.name.value: one.value for one in derived[0].ContentSequence if "TextValue" in one}
    assert texts == {"111001": "longest of three chords", "111003": analysis.model.version}


def test_a_side_is_a_laterality_and_any_other_part_is_topographical(
    report: MeasurementReport,
) -> None:
    liver, spleen, lesion = report.get_volumetric_roi_measurement_groups()[:3]
    (site,) = liver.finding_sites
    assert (site.laterality.value, site.topographical_modifier) == (LEFT.value, None)
    (site,) = spleen.finding_sites
    assert (site.laterality, site.topographical_modifier.value) == (None, ANTERIOR.value)
    assert lesion.finding_sites == []


def test_a_question_has_the_chosen_answer_and_how_probable_each_is(
    report: MeasurementReport,
) -> None:
    present, absent, mild = CATEGORIES
    presence, severity = report.get_image_measurement_groups()
    (evaluation,) = evaluations(presence)
    assert (evaluation.name.value, evaluation.value.value) == (
        present.concept.value,
        present.value.value,
    )
    assert evaluations(severity) == []
    for group, answers in ((presence, (present, absent)), (severity, (mild,))):
        assert numbers(group) == [("122157", one.probability, "1") for one in answers]
        for measurement, answer in zip(group.get_measurements(), answers, strict=True):
            (of,) = measurement[0].ContentSequence
            assert (of.name.value, of.value.value) == (answer.concept.value, answer.value.value)


def test_a_point_and_a_box_in_a_slice_are_drawn_on_its_image(
    analysis: Analysis, report: MeasurementReport
) -> None:
    images = [pydicom.dcmread(io.BytesIO(one.content)) for one in analysis.series.instances]
    for number, k, kind, points in (
        (2, 1, "POLYLINE", [[1.5, 1.5], [4.5, 1.5], [4.5, 3.5], [1.5, 3.5], [1.5, 1.5]]),
        (3, 0, "POINT", [[1.5, 1.5]]),
    ):
        roi = planar_of(report, number).roi
        assert (roi.ValueType, roi.GraphicType) == ("SCOORD", kind)
        corners = sorted(map(tuple, np.round(roi.value, 4).tolist()))
        assert corners == sorted(map(tuple, points))
        (reference,) = roi.ContentSequence[0].ReferencedSOPSequence
        (image,) = (
            one for one in images if one.SOPInstanceUID == reference.ReferencedSOPInstanceUID
        )
        expected = in_patient(analysis.prediction.geometry, [k, 0, 0])
        assert np.allclose(image.ImagePositionPatient, expected, atol=1e-6)


def test_a_point_beside_the_slices_is_given_in_space(
    analysis: Analysis, report: MeasurementReport
) -> None:
    roi = planar_of(report, 4).roi
    assert (roi.ValueType, roi.GraphicType) == ("SCOORD3D", "POINT")
    assert np.allclose(roi.value, detection(analysis, 4).corners_mm, atol=1e-4)
    header = pydicom.dcmread(io.BytesIO(analysis.series.instances[0].content))
    assert header.FrameOfReferenceUID == roi.ReferencedFrameOfReferenceUID


def test_a_box_of_some_depth_is_a_surface_and_an_outline_on_its_key_image(
    analysis: Analysis, report: MeasurementReport
) -> None:
    (volume,) = (
        one
        for one in report.get_volumetric_roi_measurement_groups()
        if one.reference_type == codes.DCM.VolumeSurface
    )
    planar, box = planar_of(report, 1), detection(analysis, 1)
    assert planar.tracking_uid == volume.tracking_uid
    contours = volume.roi.graphic_data
    assert all(np.array_equal(one[0], one[-1]) for one in contours)
    ends = np.concatenate(contours)
    for corner in box.corners_mm:
        assert np.linalg.norm(ends - corner, axis=1).min() < 1e-4
    (reference,) = planar.roi.ContentSequence[0].ReferencedSOPSequence
    where = analysis.slices[slice_of(box, analysis.prediction.geometry)].instance_index
    key = pydicom.dcmread(io.BytesIO(analysis.series.instances[where].content))
    assert reference.ReferencedSOPInstanceUID == key.SOPInstanceUID
    assert numbers(planar) == []
    assert numbers(volume) == [("122157", box.probability, "1"), (LENGTH.value, 4.5, "mm")]
    (site,) = volume.finding_sites
    assert box.site is not None
    assert site.value.value == box.site.value


def test_every_detection_has_its_probability_and_its_finding(
    analysis: Analysis, report: MeasurementReport
) -> None:
    for number in (2, 3, 4):
        group = planar_of(report, number)
        assert numbers(group) == [("122157", detection(analysis, number).probability, "1")]
        assert group.finding_type.value == detection(analysis, number).finding.value


def test_a_segment_has_an_outline_on_the_image_where_it_is_largest(
    analysis: Analysis, report: MeasurementReport
) -> None:
    images = [pydicom.dcmread(io.BytesIO(one.content)) for one in analysis.series.instances]
    label_map = analysis.prediction.label_map
    for finding in analysis.prediction.segments:
        name, number = finding.definition.name, finding.definition.number
        (group,) = (
            one
            for one in report.get_planar_roi_measurement_groups()
            if one.tracking_identifier == f"organs {name}"
        )
        assert numbers(group) == []
        roi = group.roi
        k = int((label_map == number).sum(axis=(1, 2)).argmax())
        (reference,) = roi.ContentSequence[0].ReferencedSOPSequence
        key = images[analysis.slices[k].instance_index]
        assert reference.ReferencedSOPInstanceUID == key.SOPInstanceUID
        rows, columns = np.nonzero(label_map[k] == number)
        assert np.array_equal(roi.value.min(axis=0), (columns.min(), rows.min()))
        assert np.array_equal(roi.value.max(axis=0), (columns.max() + 1, rows.max() + 1))


def test_of_a_segment_in_parts_the_largest_is_outlined() -> None:
    mask = np.zeros((8, 10, 12), np.uint8)
    mask[3, 1:3, 1:3] = 1
    mask[3, 5:9, 4:10] = 1
    mask[3, 6:8, 6:8] = 0
    (group,) = read(written(analysis_of(mask=mask))[-1]).get_planar_roi_measurement_groups()
    outline = group.roi.value
    assert np.array_equal(outline.min(axis=0), (4, 5))
    assert np.array_equal(outline.max(axis=0), (10, 9))
    assert len(outline) == 5


def test_a_finding_with_two_groups_has_one_tracking_identifier(report: MeasurementReport) -> None:
    """So readers join them: OHIF draws nothing of a report with a finding that isn't drawn."""
    outlined = {one.tracking_uid for one in report.get_planar_roi_measurement_groups()}
    volumes = {one.tracking_uid for one in report.get_volumetric_roi_measurement_groups()}
    assert volumes < outlined
    assert len(volumes) == 4


def test_every_group_names_the_operating_point_and_the_family(report: MeasurementReport) -> None:
    groups = report[0].ContentSequence[-1].ContentSequence
    for group in groups:
        told = [one.TextValue for one in group.ContentSequence if one.name.value == "111002"]
        assert told == [
            f"Operating point: {POINT.name}",
            f"threshold: {POINT.threshold}",
            f"sensitivity: {POINT.sensitivity}",
        ]
        (family,) = (one.value for one in group.ContentSequence if one.name.value == "111000")
        assert family == codes.DCM.ArtificialIntelligence


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMS)
def test_segments_are_named_in_whatever_form_they_were_written(
    analysis: Analysis, kind: ResultKind
) -> None:
    seg, sr = written(analysis, kind)
    header = pydicom.dcmread(io.BytesIO(seg.content))
    tracked = {
        (one.TrackingUID, one.TrackingID): one.SegmentNumber
        for one in header.SegmentSequence
        if "TrackingUID" in one
    }
    groups = read(sr).get_volumetric_roi_measurement_groups()
    referred = [one for one in groups if one.reference_type == codes.DCM.ReferencedSegment]
    assert len(referred) == len(tracked) == 3
    for group in referred:
        segment = group.referenced_segment
        assert segment.referenced_sop_instance_uid == seg.sop_instance_uid
        number = tracked[group.tracking_uid, group.tracking_identifier]
        assert segment.referenced_segment_numbers == [number]


@pytest.mark.slow
def test_a_segment_is_named_by_its_number_in_the_form_that_is_named(analysis: Analysis) -> None:
    """A segment may have a voxel and no probability that is written, or the other way round."""
    liver_map, *others = analysis.prediction.maps
    values = np.zeros_like(liver_map.values)
    values.flags.writeable = False
    prediction = replace(analysis.prediction, maps=(replace(liver_map, values=values), *others))
    seg, sr = written(replace(analysis, prediction=prediction), ResultKind.SEG_FRACTIONAL)
    assert len(pydicom.dcmread(io.BytesIO(seg.content)).SegmentSequence) == 2
    liver, *_ = read(sr).get_image_measurement_groups()
    assert liver.tracking_identifier == "organs liver"
    spleen, lesion, _ = read(sr).get_volumetric_roi_measurement_groups()
    assert spleen.referenced_segment.referenced_segment_numbers == [1]
    assert lesion.referenced_segment.referenced_segment_numbers == [2]


def test_of_several_forms_the_one_that_most_readers_open_is_named(analysis: Analysis) -> None:
    results = written(analysis, ResultKind.SEG_LABELMAP, ResultKind.SEG_FRACTIONAL, ResultKind.SEG)
    named = referred_in(results[-1])
    assert results[2].sop_instance_uid in named
    assert not {one.sop_instance_uid for one in results[:2]} & named


def referred_in(result: ResultObject) -> set[str]:
    ds = pydicom.dcmread(io.BytesIO(result.content))
    return {str(one.value) for one in ds.iterall() if one.keyword == "ReferencedSOPInstanceUID"}


@pytest.mark.slow
def test_a_box_on_frames_of_an_enhanced_original_names_the_frame(test_data: Path) -> None:
    series = series_in(test_data / "dicom/mr-enhanced", "BRTUM009.dcm")
    analysis = with_everything(analysis_of(series))
    roi = planar_of(read(written(analysis, ResultKind.SEG)[-1]), 2).roi
    (reference,) = roi.ContentSequence[0].ReferencedSOPSequence
    assert reference.ReferencedFrameNumber == analysis.slices[1].frame_number


def test_a_number_that_is_none_is_not_written(analysis: Analysis) -> None:
    (first, *rest) = analysis.prediction.detections
    broken = (replace(first, probability=float("nan")), *rest)
    prediction = replace(analysis.prediction, detections=broken)
    with pytest.raises(Defect) as caught:
        SrWriter().write(replace(analysis, prediction=prediction), ())
    assert caught.value.code == "sr-impossible"


def coded(ds: Dataset, where: str = "") -> Iterator[tuple[str, tuple[str, str], str]]:
    """Yield where each code stands, the code, and its meaning."""
    for element in ds:
        if element.VR == "SQ":
            for index, item in enumerate(element.value):
                place = f"{where}/{element.keyword}[{index}]"
                if "CodeMeaning" in item:
                    code = item.get("CodeValue") or item.LongCodeValue
                    yield place, (code, item.CodingSchemeDesignator), item.CodeMeaning
                yield from coded(item, place)


@pytest.mark.slow
def test_in_danish_the_codes_are_the_same_and_no_meaning_is_english(analysis: Analysis) -> None:
    english, danish = (
        pydicom.dcmread(io.BytesIO(written(told, ResultKind.SEG)[-1].content))
        for told in (analysis, replace(analysis, language="da"))
    )
    known = meanings("da")
    pairs = list(zip(coded(english), coded(danish), strict=True))
    assert len(pairs) > 200
    for (place, code, meaning), (place_da, code_da, meaning_da) in pairs:
        assert place == place_da
        if code[1] == "RFC5646":
            assert (code[0], code_da[0]) == ("en", "da-DK")
            continue
        assert (code, known[f"{code[1]}:{code[0]}"]) == (code_da, meaning_da), meaning
    words = {"CodeMeaning", "TextValue", "CodeValue"}
    names = {"SOPInstanceUID", "SeriesInstanceUID", "ReferencedSOPInstanceUID"}
    for one, other in zip(english.iterall(), danish.iterall(), strict=True):
        if one.keyword not in words | names and one.VR != "SQ":
            assert one == other
    assert english.SOPInstanceUID != danish.SOPInstanceUID, "other bytes, so another object"


@pytest.mark.slow
def test_what_was_taken_back_is_not_said_again_under_its_uid_but_tracked(
    analysis: Analysis,
) -> None:
    first, again = (
        written(replace(analysis, edition=edition), ResultKind.SEG) for edition in (0, 1)
    )
    for one, other in zip(first, again, strict=True):
        assert one.sop_instance_uid != other.sop_instance_uid
        assert one.series_instance_uid != other.series_instance_uid
    assert tracked(first[-1]) == tracked(again[-1])


def tracked(sr: ResultObject) -> list[str]:
    return [
        str(element.value)
        for element in pydicom.dcmread(io.BytesIO(sr.content)).iterall()
        if element.keyword == "UID"
    ]


def said(*arguments: object) -> str:
    done = subprocess.run([*map(str, arguments)], capture_output=True, check=False, timeout=60)
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "da"])
def test_programs_of_others_read_all_of_it(
    analysis: Analysis, language: str, tmp_path: Path
) -> None:
    path = tmp_path / "sr.dcm"
    path.write_bytes(written(replace(analysis, language=language), ResultKind.SEG)[-1].content)
    assert "Error" not in said("dciodvfy", path)
    tree, page = said("dsrdump", path), said("dsr2html", path)
    assert "E: " not in tree + page
    for words in ("POLYLINE", "POLYGON", "SCOORD3D", "longest of three chords", "0.512345"):
        assert words in tree
    assert all(words in page for words in ("Polyline", "Polygon", "0.512345"))


def test_dcmtk_opens_no_report_that_names_a_label_map(analysis: Analysis, tmp_path: Path) -> None:
    path = tmp_path / "sr.dcm"
    path.write_bytes(written(analysis, ResultKind.SEG_LABELMAP)[-1].content)
    if "3.6.7" not in said("dsrdump", "--version"):
        pytest.skip("another DCMTK may know the class")
    assert "unknown image SOP class" in said("dsrdump", path)
