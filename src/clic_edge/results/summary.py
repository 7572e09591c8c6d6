"""Write the root of a case (IHE AIR): what was found and lies where, or why nothing was analysed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    CompositeContentItem,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from clic_edge.dicom.reading import read_header, translated
from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.identity import identity_of
from clic_edge.results.meanings import LANGUAGES
from clic_edge.results.source import Source
from clic_edge.results.sr_terms import procedure
from clic_edge.results.wording import alarm_line, finding_lines, operating_point, say, why_refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.sr.coding import Code

    from clic_edge.domain.result import ResultObject, ResultReference
    from clic_edge.results.writer import SeriesStory, Story

CONTAINS = RelationshipTypeValues.CONTAINS
CONTEXT = RelationshipTypeValues.HAS_OBS_CONTEXT
CONCEPT = RelationshipTypeValues.HAS_CONCEPT_MOD
EVALUATIONS = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
SOURCE = CodedConcept("260753009", "SCT", "Source")
IMAGES = {ResultKind.SEG, ResultKind.SEG_FRACTIONAL, ResultKind.SEG_LABELMAP, ResultKind.SC}
"""Kinds that an SR refers to as images: they hold pixels."""
SIDES = {"L": "left", "R": "right", "B": "both sides"}
DOCUMENTS = {ResultKind.SR, ResultKind.SUMMARY}
"""Kinds that a report can take the place of."""


def write_summary(story: Story) -> ResultObject:
    """Return the root; of a case that was refused it says why, and refers to an original.

    Its name is made of what it says, so a case that says something else later has another.

    Raises
    ------
    Defect
        ``unreadable-instance``, ``undecodable-text``: the original doesn't say whose it is;
        ``summary-impossible``.

    """
    source = source_of(story)
    with translated("summary-impossible", "A summary can't be made of the case."):
        ds = Comprehensive3DSR(
            evidence=list(_evidence(story, source)),
            content=_report(story, source),
            series_instance_uid=provenance.series_uid(story, ResultKind.SUMMARY),
            series_number=1,
            sop_instance_uid=provenance.result_uid(story, ResultKind.SUMMARY),
            instance_number=1,
            manufacturer=provenance.MANUFACTURER,
            is_complete=True,
        )
        provenance.stamp(ds, story, source, kind=ResultKind.SUMMARY)
        ds.SOPInstanceUID = summary_uid(story)
        ds.SeriesDescription = _title(story)[:64]
        if earlier := [one for one in story.predecessors if one.kind in DOCUMENTS]:
            ds.PredecessorDocumentsSequence = [_by_series(earlier, source)]
        return provenance.result_object(ds, ResultKind.SUMMARY)


def source_of(story: Story) -> Source:
    """Return the first original of which the header can be read; only its identity counts."""
    for instance in story.series.instances:
        try:
            header = read_header(instance.content)
        except Defect:
            continue
        return Source(header=header, identity=identity_of(header), planes=())
    raise Defect("unreadable-header", "No instance of the series has a readable header.")


def summary_uid(story: Story) -> str:
    """Return the root's SOP Instance UID, made of what it says."""
    return provenance.result_uid(story, ResultKind.SUMMARY, *said(story))


def said(story: Story) -> Iterator[str]:
    """Yield what tells two stories of one case apart."""
    for part in story.parts:
        yield part.refusal.reason if part.refusal else ""
        yield from (one.sop_instance_uid for one in part.results)
    yield from (one.sop_instance_uid for one in story.predecessors)
    if story.alarm_since:
        yield f"alarm {story.alarm_since:%Y-%m-%d}"


def _title(story: Story) -> str:
    """Return what stands in the list of series."""
    if any(part.prediction for part in story.parts):
        return f"AI: {story.model.title}"
    return f"AI: {say('not analysed', story.language)} ({story.model.title})"


def _evidence(story: Story, source: Source) -> Iterator[Dataset]:
    original = Dataset()
    original.update(source.identity)
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        original[keyword] = source.header[keyword]
    yield original
    yield from (evidence_of(source, result) for result in story.results)


def evidence_of(source: Source, result: ResultObject | ResultReference) -> Dataset:
    """Return one of our objects as highdicom takes evidence."""
    item = Dataset()
    item.update(source.identity)
    item.SOPClassUID, item.SOPInstanceUID = result.sop_class_uid, result.sop_instance_uid
    item.SeriesInstanceUID = result.series_instance_uid
    return item


def _by_series(documents: list[ResultReference], source: Source) -> Dataset:
    """Return references to documents of the study (PS3.3 C.17.2), series by series."""
    study = Dataset()
    study.StudyInstanceUID = source.identity.StudyInstanceUID
    study.ReferencedSeriesSequence = []
    for uid in dict.fromkeys(one.series_instance_uid for one in documents):
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ReferencedSOPSequence = [
            _reference(one.sop_class_uid, one.sop_instance_uid)
            for one in documents
            if one.series_instance_uid == uid
        ]
        study.ReferencedSeriesSequence.append(series)
    return study


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _report(story: Story, source: Source) -> ContainerContentItem:
    """Return the content: TID 1500 with its rows 1, 2, 4, 5 and 12, and a catalogue."""
    report = ContainerContentItem(name=codes.DCM.ImagingMeasurementReport, template_id="1500")
    language, own_name = LANGUAGES[story.language]
    report.ContentSequence = ContentSequence(
        [
            CodeContentItem(
                name=codes.DCM.LanguageOfContentItemAndDescendants,
                value=CodedConcept(language, "RFC5646", own_name),
                relationship_type=CONCEPT,
            ),
            *_observer(story),
            CodeContentItem(
                name=codes.DCM.ProcedureReported,
                value=procedure(source),
                relationship_type=CONCEPT,
            ),
            _library(source),
            _evaluations(story),
            *_catalogue(story),
        ]
    )
    return report


def _observer(story: Story) -> ObservationContext:
    attributes = DeviceObserverIdentifyingAttributes(
        uid=provenance.device_uid(story.model),
        name=story.model.title,
        manufacturer_name=story.model.manufacturer,
        model_name=story.model.model_id,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=attributes
        )
    )


def _library(source: Source) -> ContainerContentItem:
    """Return an image library with one original, so that a display has something to open."""
    library = ContainerContentItem(name=codes.DCM.ImageLibrary, relationship_type=CONTAINS)
    group = ContainerContentItem(name=codes.DCM.ImageLibraryGroup, relationship_type=CONTAINS)
    image = ImageContentItem(
        name=SOURCE,
        referenced_sop_class_uid=source.header.SOPClassUID,
        referenced_sop_instance_uid=source.header.SOPInstanceUID,
        relationship_type=CONTAINS,
    )
    group.ContentSequence = ContentSequence([image])
    library.ContentSequence = ContentSequence([group])
    return library


def _evaluations(story: Story) -> ContainerContentItem:
    """Return the story in codes and sentences."""
    container = ContainerContentItem(name=EVALUATIONS, relationship_type=CONTAINS)
    status = CodeContentItem(
        name=codes.DCM.SummaryOfAnalyses, value=_status(story), relationship_type=CONTAINS
    )
    container.ContentSequence = ContentSequence(
        [status, *(_text(name, text) for name, text in _lines(story))]
    )
    return container


def _status(story: Story) -> Code:
    analysed = [part for part in story.parts if part.prediction]
    status: Code = codes.DCM.PartiallySucceeded
    if not analysed:
        status = codes.DCM.NotAttempted
    elif len(analysed) == len(story.parts):
        status = codes.DCM.Succeeded
    return status


def _lines(story: Story) -> Iterator[tuple[Code, str]]:
    """Yield concept and sentence: the warnings first, then the series, then the model."""
    model, language = story.model, story.language
    yield codes.DCM.Comment, f"{say('not verified', language)}."
    if alarm := alarm_line(story.alarm_since, language):
        yield codes.DCM.Comment, alarm
    for part in story.parts:
        yield from ((codes.DCM.Finding, line) for line in _of_series(part, story))
    if story.predecessors:
        yield codes.DCM.Comment, f"{say('replaces', language)}."
    if story.link and story.results:
        yield codes.DCM.Comment, f"{say('assess', language)} {story.link}"
    yield codes.DCM.AlgorithmName, f"{model.title} ({model.manufacturer})"
    yield codes.DCM.AlgorithmVersion, model.version
    if point := operating_point(model, language):
        yield codes.DCM.AlgorithmParameters, f"{say('operating point', language)}: {point}"
    if model.intended_use:
        yield codes.DCM.Comment, f"{say('intended use', language)}: {model.intended_use}"


def _of_series(part: SeriesStory, story: Story) -> Iterator[str]:
    language = story.language
    number = "" if part.series_number is None else f" {part.series_number}"
    image = "" if part.image_number is None else f", {say('image', language)} {part.image_number}"
    side = f" ({say(SIDES[part.side], language)})" if part.side in SIDES else ""
    series = f"{say('series', language)}{number}{image}{side}"
    if part.refusal:
        yield f"{series}: {say('not analysed', language)}: {why_refused(part.refusal, language)}"
    elif part.prediction:
        lines = finding_lines(part.prediction, language)
        yield from (f"{series}, {line.text}" for line in lines)
        if not lines:
            yield f"{series}: {say('nothing found', language)}"


def _catalogue(story: Story) -> Iterator[ContainerContentItem]:
    """Yield the list of result objects, where there are any."""
    if not story.results:
        return
    catalogue = ContainerContentItem(name=codes.DCM.DICOMObjectCatalog, relationship_type=CONTAINS)
    catalogue.ContentSequence = ContentSequence(
        [
            (ImageContentItem if result.kind in IMAGES else CompositeContentItem)(
                name=codes.DCM.OfInterest,
                referenced_sop_class_uid=result.sop_class_uid,
                referenced_sop_instance_uid=result.sop_instance_uid,
                relationship_type=CONTAINS,
            )
            for result in story.results
        ]
    )
    yield catalogue


def _text(name: Code, text: str) -> TextContentItem:
    return TextContentItem(name=name, value=text, relationship_type=CONTAINS)
