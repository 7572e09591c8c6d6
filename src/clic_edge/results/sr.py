"""Write the numbers of a prediction as a Comprehensive 3D SR (PS3.16 TID 1500)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.results import provenance
from clic_edge.results.library import image_library
from clic_edge.results.meanings import LANGUAGES
from clic_edge.results.seg import coded, written_segments
from clic_edge.results.source import read_source

if TYPE_CHECKING:
    from clic_edge.domain.prediction import SegmentFinding
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis

ANATOMICAL_STRUCTURES = {("91723000", "SCT"), ("123037004", "SCT")}
"""Segmented property categories (CID 7150) whose types are places in the body."""

PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
}
"""CID 100, for studies that don't say which procedure they are."""

ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")

Group = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations


class SrWriter:
    """Writes a measurement report: for each declared segment its volume."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the report; its measurement groups refer to the SEG among `earlier`.

        A segment without voxels is a result too: its group says 0 mm³, by TID 1501, which
        needs no region. Where no SEG was written every group is of that kind.

        Raises
        ------
        Defect
            As `read_source` raises; ``sr-impossible``: the standard forbids what was asked.

        """
        source = read_source(analysis)
        seg = next((one for one in earlier if one.kind is ResultKind.SEG), None)
        with translated("sr-impossible", "A report can't be made of images and findings."):
            sr = _document(analysis, source, seg)
            provenance.stamp(sr, analysis, source, kind=ResultKind.SR)
            return (provenance.result_object(sr, ResultKind.SR),)


def _document(analysis: Analysis, source: Source, seg: ResultObject | None) -> Comprehensive3DSR:
    return Comprehensive3DSR(
        evidence=_evidence(analysis, source, seg),
        content=_report(analysis, source, seg)[0],
        series_instance_uid=provenance.result_uid(analysis, ResultKind.SR, "series"),
        series_number=1,
        sop_instance_uid=provenance.result_uid(analysis, ResultKind.SR),
        instance_number=1,
        manufacturer=provenance.MANUFACTURER,
        is_complete=True,
    )


def _evidence(analysis: Analysis, source: Source, seg: ResultObject | None) -> list[Dataset]:
    """Return all that the report refers to, as highdicom takes it: originals, then the SEG."""
    evidence = []
    for image in source.images:
        item = Dataset()
        item.update(source.identity)
        item.SOPClassUID, item.SOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
        item.SeriesInstanceUID = source.header.SeriesInstanceUID
        evidence.append(item)
    if seg is not None:
        item = Dataset()
        item.update(source.identity)
        item.SOPClassUID, item.SOPInstanceUID = seg.sop_class_uid, seg.sop_instance_uid
        item.SeriesInstanceUID = provenance.result_uid(analysis, ResultKind.SEG, "series")
        evidence.append(item)
    return evidence


def _report(analysis: Analysis, source: Source, seg: ResultObject | None) -> MeasurementReport:
    model = analysis.prediction.model
    language, own_name = LANGUAGES[analysis.language]
    observer = DeviceObserverIdentifyingAttributes(
        uid=provenance.device_uid(model),
        name=model.title,
        manufacturer_name=model.manufacturer,
        model_name=model.model_id,
    )
    report = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device, observer_identifying_attributes=observer
            )
        ),
        procedure_reported=procedure(source),
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            CodedConcept(language, "RFC5646", own_name)
        ),
        imaging_measurements=_groups(analysis, source, seg),
    )
    content = report[0].ContentSequence
    content.insert(len(content) - 1, image_library(source))  # before the measurements
    return report


def procedure(source: Source) -> Code:
    """Return the imaging procedure (121058, DCM), never the algorithm (IHE AIR)."""
    for item in source.identity.get("ProcedureCodeSequence", []):
        return Code(
            item.get("CodeValue") or item.LongCodeValue,
            item.CodingSchemeDesignator,
            item.CodeMeaning,
            item.get("CodingSchemeVersion"),
        )
    return PROCEDURES.get(str(source.header.get("Modality", "")), ANY_PROCEDURE)


def _groups(analysis: Analysis, source: Source, seg: ResultObject | None) -> list[Group]:
    numbers = {
        finding.definition.number: number
        for number, finding in enumerate(written_segments(analysis), start=1)
    }
    groups = []
    for finding in analysis.prediction.segments:
        number = numbers.get(finding.definition.number)
        if seg is None or number is None:
            groups.append(_group(analysis, finding, None))
        else:
            region = ReferencedSegment(
                sop_class_uid=seg.sop_class_uid,
                sop_instance_uid=seg.sop_instance_uid,
                segment_number=number,
                source_series=SourceSeriesForSegmentation(str(source.header.SeriesInstanceUID)),
            )
            groups.append(_group(analysis, finding, region))
    return groups


def _group(analysis: Analysis, finding: SegmentFinding, region: ReferencedSegment | None) -> Group:
    """Return one segment's group: TID 1411 with its region, TID 1501 without."""
    model, segment = analysis.prediction.model, finding.definition
    tracking = TrackingIdentifier(
        uid=provenance.tracking_uid(analysis, segment),
        identifier=provenance.tracking_id(analysis, segment),
    )
    category, kind = coded(segment.category), coded(segment.property_type)
    is_place = (segment.category.value, segment.category.scheme) in ANATOMICAL_STRUCTURES
    modifier = coded(segment.modifier) if segment.modifier else None
    sites = [FindingSite(kind, topographical_modifier=modifier)] if is_place else None
    algorithm = AlgorithmIdentification(
        name=model.title,
        version=model.version,
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=model.manufacturer,
    )
    volume = Measurement(
        name=codes.SCT.Volume,
        value=float(finding.volume_mm3),
        unit=codes.UCUM.CubicMillimeter,
    )
    if region is None:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_category=category,
            finding_type=kind,
            finding_sites=sites,
            algorithm_id=algorithm,
            measurements=[volume],
        )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        referenced_segment=region,
        finding_category=category,
        finding_type=kind,
        finding_sites=sites,
        algorithm_id=algorithm,
        measurements=[volume],
    )
