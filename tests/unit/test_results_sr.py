from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import SEGMENTS, analysis_of, asymmetric, series_in
from factories import Stack, make_series

from clic_edge.results import provenance
from clic_edge.results.check import check
from clic_edge.results.seg import SegWriter
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis


def report(analysis: Analysis) -> tuple[Dataset, ResultObject | None]:
    earlier = SegWriter().write(analysis, ())
    (sr,) = SrWriter().write(analysis, earlier)
    check((*earlier, sr), analysis)
    return pydicom.dcmread(io.BytesIO(sr.content)), next(iter(earlier), None)


def named(item: Dataset, code: str) -> list[Dataset]:
    """Return the children of a content item whose concept name has a code."""
    return [one for one in item.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == code]


def uid_of(item: Dataset, code: str) -> str:
    return str(named(item, code)[0].UID)


def groups(ds: Dataset) -> list[Dataset]:
    """Return the groups with numbers; those of TID 1410 are the outlines of the same findings."""
    (measurements,) = named(ds, "126010")
    return [
        one
        for one in named(measurements, "125007")
        if one.ContentTemplateSequence[0].TemplateIdentifier != "1410"
    ]


def evidence(ds: Dataset) -> Iterator[tuple[str, str, str]]:
    for study in ds.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                yield (
                    study.StudyInstanceUID,
                    series.SeriesInstanceUID,
                    item.ReferencedSOPInstanceUID,
                )


def test_the_report_is_an_unverified_measurement_report_by_a_device() -> None:
    analysis = analysis_of()
    ds, _ = report(analysis)
    assert ds.SOPClassUID == pydicom.uid.Comprehensive3DSRStorage
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (ds.CompletionFlag, ds.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert named(ds, "121049")[0].ConceptCodeSequence[0].CodeValue == "en"
    assert named(ds, "121005")[0].ConceptCodeSequence[0].CodeValue == "121007"
    assert uid_of(ds, "121012") == provenance.device_uid(analysis.prediction.model)


@pytest.mark.slow
@pytest.mark.parametrize(("modality", "code"), [("MR", "25056-3"), ("CT", "25045-6")])
def test_the_procedure_reported_is_the_imaging(modality: str, code: str) -> None:
    ds, _ = report(analysis_of(make_series(Stack(modality=modality))))
    assert named(ds, "121058")[0].ConceptCodeSequence[0].CodeValue == code


def test_each_segment_has_its_volume_and_refers_to_its_segment_and_series() -> None:
    analysis = analysis_of()
    ds, seg = report(analysis)
    assert seg is not None
    findings = analysis.prediction.segments
    for group, finding, segment in zip(groups(ds), findings, SEGMENTS, strict=True):
        assert group.ContentTemplateSequence[0].TemplateIdentifier == "1411"
        assert named(group, "112039")[0].TextValue == provenance.tracking_id(analysis, segment)
        assert uid_of(group, "112040") == provenance.tracking_uid(analysis, segment)
        assert named(group, "121071")[0].ConceptCodeSequence[0].CodeValue == (
            segment.property_type.value
        )
        assert named(group, "111001")[0].TextValue == "Organ volumetry"
        assert named(group, "111003")[0].TextValue == "1.2.0"
        (value,) = named(group, "118565006")[0].MeasuredValueSequence
        assert float(value.NumericValue) == pytest.approx(finding.volume_mm3)
        assert value.MeasurementUnitsCodeSequence[0].CodeValue == "mm3"
        (region,) = named(group, "121191")[0].ReferencedSOPSequence
        assert region.ReferencedSOPInstanceUID == seg.sop_instance_uid
        assert region.ReferencedSegmentNumber == segment.number
        assert uid_of(group, "121232") == analysis.series.series_instance_uid


def test_an_organ_is_a_finding_site_and_a_lesion_is_not() -> None:
    ds, _ = report(analysis_of())
    assert [len(named(group, "363698007")) for group in groups(ds)] == [1, 1, 0]


def test_a_segment_without_voxels_is_told_as_zero_without_a_region() -> None:
    mask = asymmetric((8, 10, 12))
    mask[mask == 2] = 0
    ds, _ = report(analysis_of(mask=mask))
    liver, spleen, lesion = groups(ds)
    assert spleen.ContentTemplateSequence[0].TemplateIdentifier == "1501"
    assert named(spleen, "118565006")[0].MeasuredValueSequence[0].NumericValue == 0
    assert named(spleen, "121191") == []
    assert named(liver, "121191")[0].ReferencedSOPSequence[0].ReferencedSegmentNumber == 1
    assert named(lesion, "121191")[0].ReferencedSOPSequence[0].ReferencedSegmentNumber == 2


def test_finding_nothing_is_a_report_too() -> None:
    ds, seg = report(analysis_of(mask=np.zeros((8, 10, 12), np.uint8)))
    assert seg is None
    assert [
        named(one, "118565006")[0].MeasuredValueSequence[0].NumericValue for one in groups(ds)
    ] == [0, 0, 0]


def test_the_evidence_is_every_image_and_the_segmentation() -> None:
    analysis = analysis_of()
    ds, seg = report(analysis)
    assert seg is not None
    images = [
        pydicom.dcmread(io.BytesIO(one.content), stop_before_pixels=True)
        for one in analysis.series.instances
    ]
    written = pydicom.dcmread(io.BytesIO(seg.content))
    assert sorted(evidence(ds)) == sorted(
        (one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID)
        for one in (*images, written)
    )


def test_the_image_library_holds_every_image_and_what_they_share() -> None:
    analysis = analysis_of()
    ds, _ = report(analysis)
    (library,) = named(ds, "111028")
    (group,) = named(library, "126200")
    entries = [one for one in group.ContentSequence if one.ValueType == "IMAGE"]
    assert len(entries) == len(analysis.series.instances)
    assert named(group, "121139")[0].ConceptCodeSequence[0].CodeValue == "MR"
    rows = named(group, "110910")[0].MeasuredValueSequence[0].NumericValue
    columns = named(group, "110911")[0].MeasuredValueSequence[0].NumericValue
    assert (rows, columns) == (10, 12)


def test_an_enhanced_original_stands_once_in_the_library(test_data: Path) -> None:
    ds, _ = report(analysis_of(series_in(test_data / "dicom/mr-enhanced", "BRTUM009.dcm")))
    (library,) = named(ds, "111028")
    entries = [
        one for one in named(library, "126200")[0].ContentSequence if one.ValueType == "IMAGE"
    ]
    assert len(entries) == 1
