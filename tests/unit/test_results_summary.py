"""The root of a case tells what was found and lies where, or why nothing was analysed."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pydicom
import pytest
from analyses import analysis_of
from factories import CANARY, Stack, make_datasets, make_series, ramp, series_of

from clic_edge.domain.prediction import OperatingPoint
from clic_edge.domain.result import ResultKind, ResultReference, SeriesRefusal
from clic_edge.errors import Defect
from clic_edge.results.check_summary import check_told
from clic_edge.results.meanings import meanings
from clic_edge.results.rejection import write_rejection
from clic_edge.results.seg import SegWriter
from clic_edge.results.sr import SrWriter
from clic_edge.results.summary import write_summary
from clic_edge.results.writer import SeriesStory, Story

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject

REFUSAL = SeriesRefusal(
    series_id="s", code="spacing-unsupported", reason="The slices lie 5 mm apart, at most 2 mm."
)
EARLIER = (
    ResultReference(
        kind=ResultKind.SEG,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
        series_instance_uid="2.25.10",
        sop_instance_uid="2.25.11",
    ),
    ResultReference(
        kind=ResultKind.SR,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
        series_instance_uid="2.25.20",
        sop_instance_uid="2.25.21",
    ),
)


@pytest.fixture(scope="module")
def story() -> Story:
    """Return a case of two series, one of which was refused."""
    analysis = analysis_of()
    seg = SegWriter().write(analysis, ())
    point = OperatingPoint(name="balanced", threshold=0.5, sensitivity=0.9, specificity=0.8)
    return Story(
        case_id=analysis.case_id,
        started_at=analysis.started_at,
        series=analysis.series,
        pipeline_title="Organs",
        model=replace(analysis.model, intended_use="Tests.", operating_point=point),
        parts=(
            SeriesStory(
                series_number=3,
                prediction=analysis.prediction,
                results=(*seg, *SrWriter().write(analysis, seg)),
            ),
            SeriesStory(series_number=4, refusal=REFUSAL),
        ),
    )


def refused(story: Story) -> Story:
    return replace(story, parts=story.parts[1:])


def opened(result: ResultObject) -> Dataset:
    return pydicom.dcmread(io.BytesIO(result.content))


def items(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", []):
        yield item
        yield from items(item)


def texts(ds: Dataset) -> list[str]:
    return [item.TextValue for item in items(ds) if "TextValue" in item]


def codes(ds: Dataset) -> list[str]:
    return [item.ConceptCodeSequence[0].CodeValue for item in items(ds) if item.ValueType == "CODE"]


def test_it_says_what_was_found_and_what_was_not_analysed(story: Story) -> None:
    summary = write_summary(story)
    check_told((summary,), story)
    ds = opened(summary)
    said = texts(ds)
    assert "AI result, not verified." in said
    assert "Series 3, Liver: 84 mm³" in said
    assert f"Series 4: not analysed: {REFUSAL.reason}" in said
    assert "Operating point: balanced (threshold 0.5, sensitivity 90 %, specificity 80 %)" in said
    assert "Intended use: Tests." in said
    assert "111223" in codes(ds)  # Partially Succeeded
    assert (ds.CompletionFlag, ds.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_it_refers_to_every_object_and_all_of_them_are_evidence(story: Story) -> None:
    ds = opened(write_summary(story))
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    made = {one.sop_instance_uid for one in story.results}
    assert made < evidence
    assert len(evidence) == len(made) + 1  # and one original, for a display to open


def test_a_refusal_is_a_result_that_shows_in_the_list_of_series(story: Story) -> None:
    ds = opened(write_summary(refused(story)))
    assert ds.SeriesDescription == "AI: not analysed (Organ volumetry)"
    assert "111225" in codes(ds)  # Not Attempted
    assert f"Series 4: not analysed: {REFUSAL.reason}" in texts(ds)


def test_a_refusal_can_be_written_for_images_without_any_geometry(story: Story) -> None:
    datasets = make_datasets(Stack(), ramp())
    for ds in datasets:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
            delattr(ds, keyword)
    bare = replace(refused(story), series=series_of(datasets))
    check_told((write_summary(bare),), bare)


def test_an_outcome_has_a_name_of_its_own_and_the_same_one_the_same_bytes(story: Story) -> None:
    other = replace(REFUSAL, reason="A slice is missing.")
    again = replace(story, parts=(story.parts[0], replace(story.parts[1], refusal=other)))
    results = [write_summary(one) for one in (story, refused(story), again)]
    assert len({one.sop_instance_uid for one in results}) == 3
    assert write_summary(story) == results[0]


@pytest.mark.parametrize("change", ["patient", "object", "status"])
def test_what_is_not_what_became_of_the_case_does_not_leave(story: Story, change: str) -> None:
    summary = write_summary(story)
    told = {
        "patient": replace(story, series=make_series(Stack(patient=CANARY))),
        "object": replace(story, parts=(replace(story.parts[0], results=()), story.parts[1])),
        "status": replace(story, parts=story.parts[:1]),
    }[change]
    with pytest.raises(Defect) as caught:
        check_told((summary,), told)
    assert caught.value.code == ("wrong-patient" if change == "patient" else "summary-differs")
    assert "CANARY" not in str(caught.value)


def test_predecessors_are_named_and_their_rejection_note_names_all_of_them(story: Story) -> None:
    newer = replace(story, predecessors=EARLIER)
    summary, note = write_summary(newer), write_rejection(newer)
    check_told((summary, note), newer)
    (study,) = opened(summary).PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence  # the SR; a segmentation is no document
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.21"
    ds = opened(note)
    assert ds.Modality == "KO"
    assert ds.ConceptNameCodeSequence[0].CodeValue == "113001"
    named = [item.ReferencedSOPSequence[0] for item in items(ds) if "ReferencedSOPSequence" in item]
    assert [one.ReferencedSOPInstanceUID for one in named] == ["2.25.11", "2.25.21"]


def test_in_danish_every_code_has_a_danish_meaning(story: Story) -> None:
    danish = replace(story, language="da", predecessors=EARLIER)
    known = meanings("da")
    own = {"RFC5646", "LN"}  # a language's own name; the procedure is the original's
    (sr,) = SrWriter().write(replace(analysis_of(), language="da"), ())
    for result in (write_summary(danish), write_rejection(danish), sr):
        ds = opened(result)
        for element in ds.iterall():
            if element.VR == "SQ":
                for code in element.value:
                    if "CodeMeaning" in code and code.CodingSchemeDesignator not in own:
                        key = f"{code.CodingSchemeDesignator}:{code.CodeValue}"
                        assert (key, known.get(key)) == (key, code.CodeMeaning)
    said = texts(opened(write_summary(danish)))
    assert "AI-resultat, ikke verificeret." in said
    assert opened(write_summary(refused(danish))).SeriesDescription.startswith(
        "AI: ikke analyseret"
    )


@pytest.mark.parametrize("language", ["en", "da"])
def test_other_tools_find_no_error_in_them(story: Story, language: str, tmp_path: Path) -> None:
    newer = replace(story, predecessors=EARLIER, language=language)
    for result in (write_summary(newer), write_summary(refused(newer)), write_rejection(newer)):
        path = tmp_path / f"{result.kind}.dcm"
        path.write_bytes(result.content)
        for tool in ("dciodvfy", "dcentvfy"):
            told = subprocess.run([tool, path], capture_output=True, text=True, check=False)
            assert "Error" not in told.stdout + told.stderr, told.stderr
        subprocess.run(["dsrdump", "-Ec", path], capture_output=True, check=True)
