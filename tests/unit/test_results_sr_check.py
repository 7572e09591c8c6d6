"""One test for each thing that a report may get wrong: none of them leaves."""

from __future__ import annotations

import io
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import pydicom
import pytest
from analyses import analysis_of
from written import with_everything

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results import sr_expected, sr_groups
from clic_edge.results.check import check
from clic_edge.results.check_sr import check_report
from clic_edge.results.seg import SegWriter
from clic_edge.results.source import read_source
from clic_edge.results.sr import SrWriter
from clic_edge.results.sr_regions import outlines_of, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom.dataset import Dataset

    from clic_edge.domain.prediction import Detection, Prediction
    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.volume import Geometry
    from clic_edge.results.sr_regions import Place, Region
    from clic_edge.results.writer import Analysis


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return with_everything(analysis_of())


@pytest.fixture(scope="module")
def results(analysis: Analysis) -> tuple[ResultObject, ...]:
    earlier = SegWriter().write(analysis, ())
    return (*earlier, *SrWriter().write(analysis, earlier))


def opened(results: tuple[ResultObject, ...]) -> Dataset:
    (sr,) = (one for one in results if one.kind is ResultKind.SR)
    return pydicom.dcmread(io.BytesIO(sr.content))


def items(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", []):
        yield item
        yield from items(item)


def named(ds: Dataset, code: str, value_type: str = "") -> list[Dataset]:
    """Return every content item with a concept name, wherever it stands."""
    return [
        one
        for one in items(ds)
        if one.ConceptNameCodeSequence[0].CodeValue == code and value_type in {"", one.ValueType}
    ]


def value(code: str, number: int, **attributes: object) -> Callable[[Dataset], None]:
    """Return a change of a content item's own attributes."""

    def change(ds: Dataset) -> None:
        for keyword, what in attributes.items():
            assert getattr(named(ds, code)[number], keyword) != what
            setattr(named(ds, code)[number], keyword, what)

    return change


def coded(code: str, number: int, keyword: str, what: str) -> Callable[[Dataset], None]:
    """Return a change of a coded value: its value or its meaning."""

    def change(ds: Dataset) -> None:
        (item,) = named(ds, code, "CODE")[number].ConceptCodeSequence
        assert item[keyword].value != what
        item[keyword].value = what

    return change


def renamed(code: str, what: str) -> Callable[[Dataset], None]:
    """Return a change of a concept name."""

    def change(ds: Dataset) -> None:
        named(ds, code)[0].ConceptNameCodeSequence[0].CodeValue = what

    return change


def number(code: str, factor: float, *forms: str) -> Callable[[Dataset], None]:
    """Return a change of a number, in both of its forms or in one."""

    def change(ds: Dataset) -> None:
        (item,) = named(ds, code, "NUM")[-1].MeasuredValueSequence
        for form in forms or ("NumericValue", "FloatingPointValue"):
            digits = factor * float(item[form].value)
            item[form].value = f"{digits:.10g}" if form == "NumericValue" else digits

    return change


def unit(code: str, keyword: str, what: str) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        measured = named(ds, code, "NUM")[0].MeasuredValueSequence[0]
        measured.MeasurementUnitsCodeSequence[0][keyword].value = what

    return change


def moved(code: str, value_type: str, which: int) -> Callable[[Dataset], None]:
    """Return a change by two hundredths of a millimetre: pixels here are of one."""

    def change(ds: Dataset) -> None:
        item = named(ds, code, value_type)[which]
        first, *rest = item.GraphicData
        item.GraphicData = [first + 0.02, *rest]

    return change


def referred(code: str, **attributes: object) -> Callable[[Dataset], None]:
    """Return a change of a reference."""

    def change(ds: Dataset) -> None:
        (item,) = named(ds, code, "IMAGE")[0].ReferencedSOPSequence
        for keyword, what in attributes.items():
            assert getattr(item, keyword, None) != what
            setattr(item, keyword, what)

    return change


def another_image(ds: Dataset) -> None:
    """Draw a region on an image that was analysed, but isn't the one."""
    (drawn,) = named(ds, "111030", "SCOORD")[0].ContentSequence
    uids = [one.ReferencedSOPSequence[0] for one in named(ds, "260753009", "IMAGE")]
    drawn.ReferencedSOPSequence = [uids[3]]


def an_unknown_image(ds: Dataset) -> None:
    (drawn,) = named(ds, "111030", "SCOORD")[0].ContentSequence
    drawn.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.1"


def without(code: str, which: int = 0) -> Callable[[Dataset], None]:
    """Return a change that leaves an item out."""

    def change(ds: Dataset) -> None:
        item = named(ds, code)[which]
        for parent in (ds, *items(ds)):
            if any(one is item for one in parent.get("ContentSequence", [])):
                parent.ContentSequence = [one for one in parent.ContentSequence if one is not item]
                return

    return change


def twice(code: str, which: int = 0) -> Callable[[Dataset], None]:
    """Return a change that says an item twice."""

    def change(ds: Dataset) -> None:
        item = named(ds, code)[which]
        for parent in (ds, *items(ds)):
            if any(one is item for one in parent.get("ContentSequence", [])):
                parent.ContentSequence.append(deepcopy(item))
                return

    return change


def a_comment(ds: Dataset) -> None:
    comment = deepcopy(named(ds, "112039")[0])
    comment.ConceptNameCodeSequence[0].CodeValue = "121106"
    comment.TextValue = "Cancer"
    named(ds, "125007")[0].ContentSequence.append(comment)


def an_observation_time(ds: Dataset) -> None:
    named(ds, "125007")[0].ObservationDateTime = "20200101"


def a_person(ds: Dataset) -> None:
    item = deepcopy(named(ds, "112039")[0])
    del item.TextValue
    item.ValueType, item.PersonName = "PNAME", "Somebody"
    named(ds, "125007")[0].ContentSequence.append(item)


def a_unit_with_a_rider(ds: Dataset) -> None:
    measured = named(ds, "118565006")[0].MeasuredValueSequence[0]
    measured.RationalNumeratorValue = 3


def an_answer_that_was_not_chosen(ds: Dataset) -> None:
    group = named(ds, "125007")[7]
    answer = deepcopy(named(group, "246112005", "CODE")[0])
    answer.RelationshipType = "CONTAINS"
    group.ContentSequence.append(answer)


def another_template(ds: Dataset) -> None:
    named(ds, "125007")[0].ContentTemplateSequence[0].TemplateIdentifier = "1501"


def no_evidence_of_an_image(ds: Dataset) -> None:
    (study,) = ds.CurrentRequestedProcedureEvidenceSequence
    images = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    study.ReferencedSeriesSequence[0].ReferencedSOPSequence = images[1:]


def evidence_of_another_series(ds: Dataset) -> None:
    (study,) = ds.CurrentRequestedProcedureEvidenceSequence
    study.ReferencedSeriesSequence[0].SeriesInstanceUID = "2.25.1"


def evidence_of_another_study(ds: Dataset) -> None:
    ds.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID = "2.25.1"


def claimed_verified(ds: Dataset) -> None:
    ds.VerificationFlag = "VERIFIED"


def claimed_partial(ds: Dataset) -> None:
    ds.CompletionFlag = "PARTIAL"


WRONG = {
    "a volume": number("118565006", 1 + 2e-9),
    "a measurement": number("410668003", 1.001),
    "a decimal alone": number("410668003", 1.001, "NumericValue"),
    "a double alone": number("410668003", 1.001, "FloatingPointValue"),
    "a unit": unit("410668003", "CodeValue", "cm"),
    "a unit's scheme": unit("410668003", "CodingSchemeDesignator", "99X"),
    "a unit's meaning": unit("410668003", "CodeMeaning", "cm"),
    "what was measured": renamed("410668003", "81827009"),
    "a derivation": coded("121401", 0, "CodeValue", "255605001"),
    "a derivation left out": without("121401"),
    "a method": value("111001", 1, TextValue="by hand"),
    "a measurement left out": without("410668003"),
    "a measurement said twice": twice("410668003"),
    "a group left out": without("125007", 1),
    "a group said twice": twice("125007", 1),
    "an answer": coded("705057003", 2, "CodeValue", "2667000"),
    "an answer left out": without("705057003", 2),
    "an answer that was not chosen": an_answer_that_was_not_chosen,
    "a probability": number("122157", 0.5),
    "what is probable": coded("705057003", 0, "CodeValue", "2667000"),
    "an outline": moved("111030", "SCOORD", 0),
    "an outline left out": without("111030"),
    "a point on an image": moved("111030", "SCOORD", -1),
    "a point in space": moved("111030", "SCOORD3D", 0),
    "a contour": moved("121231", "SCOORD3D", 1),
    "a contour left out": without("121231"),
    "the image that is drawn on": another_image,
    "an image that was not analysed": an_unknown_image,
    "a graphic type": value("111030", 0, GraphicType="MULTIPOINT"),
    "a graphic type in space": value("121231", 0, GraphicType="POLYLINE"),
    "a frame of reference": value("121231", 0, ReferencedFrameOfReferenceUID="2.25.1"),
    "a tracking UID": value("112040", 2, UID="2.25.1"),
    "a tracking identifier": value("112039", 2, TextValue="another"),
    "a tracking UID left out": without("112040", 3),
    "the operating point": value("111002", 0, TextValue="operating point: keen"),
    "a threshold": value("111002", 1, TextValue="threshold: 0.5"),
    "the operating point left out": without("111002"),
    "an algorithm's name": value("111001", 0, TextValue="another"),
    "an algorithm's version": value("111003", 0, TextValue="9"),
    "an algorithm's manufacturer": value("122405", 0, TextValue="another"),
    "an algorithm's family": coded("111000", 0, "CodeValue", "123109"),
    "a finding": coded("121071", 0, "CodeValue", "78961009"),
    "a finding's meaning": coded("121071", 0, "CodeMeaning", "Spleen"),
    "a category": coded("276214006", 0, "CodeValue", "49755003"),
    "a site": coded("363698007", 0, "CodeValue", "78961009"),
    "a side": coded("272741003", 0, "CodeValue", "24028007"),
    "a side left out": without("272741003"),
    "a part of a place": coded("106233006", 0, "CodeValue", "255551008"),
    "a segment": referred("121191", ReferencedSegmentNumber=2),
    "a segmentation": referred("121191", ReferencedSOPInstanceUID="2.25.1"),
    "the class of a segmentation": referred("121191", ReferencedSOPClassUID="1.2.3"),
    "a frame that nobody named": referred("260753009", ReferencedFrameNumber=2),
    "the series of a segmentation": value("121232", 0, UID="2.25.1"),
    "a relationship": value("118565006", 0, RelationshipType="HAS PROPERTIES"),
    "a template": another_template,
    "the language": coded("121049", 0, "CodeValue", "da-DK"),
    "the observer": value("121012", 0, UID="2.25.1"),
    "the observer's name": value("121013", 0, TextValue="another"),
    "the procedure": coded("121058", 0, "CodeValue", "25045-6"),
    "an image of the library left out": without("260753009"),
    "the modality": coded("121139", 0, "CodeValue", "CT"),
    "the number of rows": number("110910", 2, "NumericValue"),
    "a direction": number("110904", 2),
    "a comment": a_comment,
    "an attribute that we never write": an_observation_time,
    "a kind of item that we never write": a_person,
    "a number with a rider": a_unit_with_a_rider,
    "evidence left out": no_evidence_of_an_image,
    "evidence of another series": evidence_of_another_series,
    "evidence of another study": evidence_of_another_study,
    "a report that says it is verified": claimed_verified,
    "a report that says it is partial": claimed_partial,
}


@pytest.mark.slow
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_nothing_that_is_wrong_leaves(
    analysis: Analysis, results: tuple[ResultObject, ...], change: Callable[[Dataset], None]
) -> None:
    ds, source = opened(results), read_source(analysis)
    check_report(ds, analysis, source, results=results)
    change(ds)
    with pytest.raises(Defect) as caught:
        check_report(ds, analysis, source, results=results)
    assert caught.value.code == "sr-differs"
    assert not any(str(one.sop_instance_uid) in caught.value.sentence for one in results)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "da"])
def test_a_report_as_written_passes(analysis: Analysis, language: str) -> None:
    told = replace(analysis, language=language)
    earlier = SegWriter().write(told, ())
    check((*earlier, *SrWriter().write(told, earlier)), told)


def test_a_report_in_one_language_is_not_one_in_another(
    analysis: Analysis, results: tuple[ResultObject, ...]
) -> None:
    with pytest.raises(Defect, match="sr-differs"):
        check_report(
            opened(results),
            replace(analysis, language="da"),
            read_source(analysis),
            results=results,
        )


def test_an_outline_is_compared_with_the_mask_even_where_writer_and_check_err_alike(
    analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(prediction: Prediction) -> tuple[Region | None, ...]:
        return tuple(one and replace(one, points=one.points + 1) for one in outlines_of(prediction))

    for module in (sr_groups, sr_expected):
        monkeypatch.setattr(module, "outlines_of", shifted)
    earlier = SegWriter().write(analysis, ())
    results = (*earlier, *SrWriter().write(analysis, earlier))
    with pytest.raises(Defect) as caught:
        check_report(opened(results), analysis, read_source(analysis), results=results)
    assert "isn't the border of the mask" in caught.value.sentence


def test_a_place_is_compared_with_the_models_even_where_writer_and_check_err_alike(
    analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(detection: Detection, geometry: Geometry) -> Place:
        corners = tuple((x + 1, y, z) for x, y, z in detection.corners_mm)
        return place_of(replace(detection, corners_mm=corners), geometry)

    for module in (sr_groups, sr_expected):
        monkeypatch.setattr(module, "place_of", elsewhere)
    earlier = SegWriter().write(analysis, ())
    results = (*earlier, *SrWriter().write(analysis, earlier))
    with pytest.raises(Defect) as caught:
        check_report(opened(results), analysis, read_source(analysis), results=results)
    assert "isn't drawn where the model found it" in caught.value.sentence
