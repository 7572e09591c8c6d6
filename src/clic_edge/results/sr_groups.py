"""The measurement groups of a report: of segments, questions and detections (PS3.16).

A finding in space has two: TID 1410 with its outline on its key image, then TID 1411 with all of
it and its numbers. Both have the same Tracking Unique Identifier, by which readers join them:
viewers that can't show a volume (OHIF 3.12 stops at a group without coordinates) draw the outline
with the numbers beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContentSequence,
    FindingSite,
    ImageRegion,
    ImageRegion3D,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    SourceImageForSegmentation,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumeSurface,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes

from clic_edge.domain import prediction as domain
from clic_edge.domain.result import ResultKind
from clic_edge.results import sr_terms as terms
from clic_edge.results.seg import written_segments
from clic_edge.results.seg_fractional import fractional_segments
from clic_edge.results.segmentation import coded
from clic_edge.results.sr_regions import outlines_of, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from clic_edge.domain.prediction import CategoryFinding, Detection, SegmentFinding
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.source import Source
    from clic_edge.results.sr_regions import Region
    from clic_edge.results.writer import Analysis

Group = (
    MeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What all groups of a finding say."""

    tracking: terms.Tracking
    finding: domain.Code
    category: domain.Code | None = None
    site: terms.Site | None = None


def measurement_groups(analysis: Analysis, source: Source, seg: ResultObject | None) -> list[Group]:
    """Return every group of the report; those of segments refer to `seg`."""
    prediction = analysis.prediction
    return [
        *_of_segments(analysis, source, seg),
        *(_of_question(analysis, source, answers) for answers in terms.questions(prediction)),
        *(group for one in prediction.detections for group in _of_detection(analysis, source, one)),
    ]


def _of_segments(analysis: Analysis, source: Source, seg: ResultObject | None) -> Iterator[Group]:
    """Yield an outline of what has voxels, and the numbers of each segment.

    Those are by TID 1411 of what the segmentation has, and by TID 1501, without a region, of the
    rest.
    """
    numbers = _segment_numbers(analysis, seg)
    prediction = analysis.prediction
    for finding, outline in zip(prediction.segments, outlines_of(prediction), strict=True):
        segment, region = finding.definition, None
        told = _Told(
            tracking=terms.tracking_of_segment(analysis, segment),
            finding=segment.property_type,
            category=segment.category,
            site=terms.site_of(segment),
        )
        if outline:
            yield _group(analysis, told, region=_region(outline, source))
        if seg is not None and segment.number in numbers:
            number = numbers.index(segment.number) + 1
            region = _referred(analysis, source, seg, number=number)
        yield _group(analysis, told, region=region, numbers=_of_segment(analysis, finding))


def _referred(
    analysis: Analysis, source: Source, seg: ResultObject, *, number: int
) -> ReferencedSegment | ReferencedSegmentationFrame:
    """Return a segment of a segmentation; of a single image its one frame."""
    if not analysis.image:
        return ReferencedSegment(
            sop_class_uid=seg.sop_class_uid,
            sop_instance_uid=seg.sop_instance_uid,
            segment_number=number,
            source_series=_series(source),
        )
    image = source.images[0]
    region = ReferencedSegmentationFrame(
        sop_class_uid=seg.sop_class_uid,
        sop_instance_uid=seg.sop_instance_uid,
        frame_number=number,
        segment_number=number,
        source_image=SourceImageForSegmentation(image.sop_class_uid, image.sop_instance_uid),
    )
    # The frame says which segment; both numbers are not allowed (PS3.3 10.3).
    del region[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return region


def _segment_numbers(analysis: Analysis, seg: ResultObject | None) -> list[int]:
    """Return which segments a segmentation has, in the order of their Segment Number."""
    if seg is None:
        return []
    fractional = seg.kind is ResultKind.SEG_FRACTIONAL
    written = fractional_segments(analysis) if fractional else written_segments(analysis)
    return [one.definition.number for one in written]


def _of_segment(analysis: Analysis, finding: SegmentFinding) -> list[Measurement]:
    return [_measurement(analysis, one) for one in terms.measurements(analysis, finding)]


def _of_question(analysis: Analysis, source: Source, answers: tuple[CategoryFinding, ...]) -> Group:
    """Return TID 1501: the chosen answers, and how probable each is; of which image, where of one.

    What is probable is a modifier of the measurement's name (TID 300): Probability, of Severity =
    Mild. An answer that was not chosen is not said as an evaluation anywhere.
    """
    probabilities = []
    for one in answers:
        measurement = _probability(analysis, one.probability)
        answer = CodeContentItem(
            name=coded(one.concept),
            value=coded(one.value),
            relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
        measurement[0].ContentSequence = ContentSequence([answer])
        probabilities.append(measurement)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(terms.tracking_of_question(analysis, answers[0].concept)),
        finding_sites=_sites(terms.site_of_image(source)) if analysis.image else None,
        algorithm_id=_algorithm(analysis),
        measurements=probabilities,
        qualitative_evaluations=[
            QualitativeEvaluation(name=coded(one.concept), value=coded(one.value))
            for one in answers
            if one.chosen
        ],
        source_images=[
            SourceImageForMeasurementGroup(one.sop_class_uid, one.sop_instance_uid)
            for one in source.images
        ]
        if analysis.image
        else None,
    )


def _of_detection(analysis: Analysis, source: Source, one: Detection) -> Iterator[Group]:
    """Yield TID 1410, TID 1411 or both of one thing found; the last has its numbers."""
    place = place_of(one, analysis.prediction.geometry)
    told = _Told(
        tracking=terms.tracking_of_detection(analysis, one),
        finding=one.finding,
        site=terms.Site(place=one.site) if one.site else None,
    )
    numbers = [
        _probability(analysis, one.probability),
        *(_measurement(analysis, number) for number in one.measurements),
    ]
    if place.planar:
        planar = _region(place.planar, source)
        yield _group(analysis, told, region=planar, numbers=[] if place.surface else numbers)
    if place.surface:
        surface = VolumeSurface(
            graphic_type="POLYGON",
            graphic_data=[contour.points for contour in place.surface],
            frame_of_reference_uid=source.header.FrameOfReferenceUID,
            source_series=_series(source),
        )
        yield _group(analysis, told, region=surface, numbers=numbers)


def _group(
    analysis: Analysis,
    told: _Told,
    *,
    region: ImageRegion
    | ImageRegion3D
    | ReferencedSegment
    | ReferencedSegmentationFrame
    | VolumeSurface
    | None,
    numbers: Sequence[Measurement] = (),
) -> Group:
    """Return TID 1410, 1411 or 1501, by what region there is."""
    template: Callable[..., Group] = MeasurementsAndQualitativeEvaluations
    if isinstance(region, (ImageRegion, ImageRegion3D)):
        template = partial(PlanarROIMeasurementsAndQualitativeEvaluations, referenced_region=region)
    elif isinstance(region, ReferencedSegmentationFrame):
        template = partial(
            PlanarROIMeasurementsAndQualitativeEvaluations, referenced_segment=region
        )
    elif isinstance(region, ReferencedSegment):
        template = partial(
            VolumetricROIMeasurementsAndQualitativeEvaluations, referenced_segment=region
        )
    elif region is not None:
        template = partial(
            VolumetricROIMeasurementsAndQualitativeEvaluations, referenced_volume_surface=region
        )
    return template(
        tracking_identifier=_tracking(told.tracking),
        finding_category=coded(told.category) if told.category else None,
        finding_type=coded(told.finding),
        finding_sites=_sites(told.site),
        algorithm_id=_algorithm(analysis),
        measurements=numbers,
    )


def _series(source: Source) -> SourceSeriesForSegmentation:
    return SourceSeriesForSegmentation(str(source.header.SeriesInstanceUID))


def _region(region: Region, source: Source) -> ImageRegion | ImageRegion3D:
    if region.slice_index is None:
        return ImageRegion3D(
            graphic_type=region.graphic_type,
            graphic_data=region.points,
            frame_of_reference_uid=source.header.FrameOfReferenceUID,
        )
    plane = source.planes[region.slice_index]
    frames = None if plane.frame_number is None else [plane.frame_number]
    return ImageRegion(
        graphic_type=region.graphic_type,
        graphic_data=region.points,
        source_image=SourceImageForRegion(
            plane.image.sop_class_uid, plane.image.sop_instance_uid, frames
        ),
    )


def _measurement(analysis: Analysis, one: domain.Measurement) -> Measurement:
    """Return TID 300; a method that no code says is the name of the number's own algorithm."""
    algorithm = AlgorithmIdentification(one.method, analysis.model.version) if one.method else None
    return Measurement(
        name=coded(one.name),
        value=float(one.value),
        unit=coded(one.unit),
        derivation=coded(one.derivation) if one.derivation else None,
        algorithm_id=algorithm,
    )


def _probability(analysis: Analysis, probability: float) -> Measurement:
    return _measurement(
        analysis,
        domain.Measurement(name=terms.PROBABILITY, value=probability, unit=terms.NO_UNITS),
    )


def _tracking(one: terms.Tracking) -> TrackingIdentifier:
    return TrackingIdentifier(uid=one.uid, identifier=one.identifier)


def _sites(site: terms.Site | None) -> list[FindingSite] | None:
    if site is None:
        return None
    return [
        FindingSite(
            coded(site.place),
            laterality=coded(site.laterality) if site.laterality else None,
            topographical_modifier=coded(site.topography) if site.topography else None,
        )
    ]


def _algorithm(analysis: Analysis) -> AlgorithmIdentification:
    """Return TID 4019: the model, its version, and at which operating point it decided."""
    model = analysis.model
    return AlgorithmIdentification(
        name=model.title,
        version=model.version,
        parameters=terms.parameters(model, analysis.language),
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=model.manufacturer,
    )
