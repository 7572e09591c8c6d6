"""Write the numbers of a prediction as a Comprehensive 3D SR (PS3.16 TID 1500)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.results import provenance
from clic_edge.results.library import image_library
from clic_edge.results.meanings import LANGUAGES
from clic_edge.results.source import read_source
from clic_edge.results.sr_groups import measurement_groups
from clic_edge.results.sr_terms import procedure, referred_segmentation

if TYPE_CHECKING:
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis


class SrWriter:
    """Writes a measurement report: every number, answer and place that the model found."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the report; the groups of its segments refer to a segmentation among `earlier`.

        A segment without voxels is a result too: its group says 0 mm³, by TID 1501, which
        needs no region. Where no segmentation was written every segment's group is of that kind.

        Raises
        ------
        Defect
            As `read_source` raises; ``sr-impossible``: the standard forbids what was asked.

        """
        source = read_source(analysis)
        seg = referred_segmentation(earlier)
        with translated("sr-impossible", "A report can't be made of images and findings."):
            sr = _document(analysis, source, seg)
            provenance.stamp(sr, analysis, source, kind=ResultKind.SR)
            return (provenance.result_object(sr, ResultKind.SR),)


def _document(analysis: Analysis, source: Source, seg: ResultObject | None) -> Comprehensive3DSR:
    return Comprehensive3DSR(
        evidence=_evidence(source, seg),
        content=_report(analysis, source, seg)[0],
        series_instance_uid=provenance.series_uid(analysis, ResultKind.SR),
        series_number=1,
        sop_instance_uid=provenance.result_uid(analysis, ResultKind.SR),
        instance_number=1,
        manufacturer=provenance.MANUFACTURER,
        is_complete=True,
    )


def _evidence(source: Source, seg: ResultObject | None) -> list[Dataset]:
    """Return all that the report refers to, as highdicom takes it."""
    series = str(source.header.SeriesInstanceUID)
    named = [(image.sop_class_uid, image.sop_instance_uid, series) for image in source.images]
    if seg is not None:
        named.append((seg.sop_class_uid, seg.sop_instance_uid, seg.series_instance_uid))
    evidence = []
    for one in named:
        item = Dataset()
        item.update(source.identity)
        item.SOPClassUID, item.SOPInstanceUID, item.SeriesInstanceUID = one
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
        imaging_measurements=measurement_groups(analysis, source, seg),
    )
    content = report[0].ContentSequence
    library = image_library(source, in_patient=analysis.in_patient)
    content.insert(len(content) - 1, library)  # before the measurements
    return report
