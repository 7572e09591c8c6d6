"""What a reader reads in another language than English."""

from __future__ import annotations

import ast
import io
from dataclasses import replace

import pydicom
import pytest
from analyses import analysis_of
from source import MODULES
from written import with_everything

from clic_edge.domain.result import SeriesRefusal
from clic_edge.results.check_summary import check_told
from clic_edge.results.meanings import meanings
from clic_edge.results.summary import write_summary
from clic_edge.results.wording import finding_lines, why_refused
from clic_edge.results.writer import SeriesStory, Story

BEFORE_A_RESULT = ("dicom.", "inference.gate", "deid.pixels", "deid.deidentify", "deid.faces")
"""The modules that refuse a series before a model has seen it."""
REFUSAL = SeriesRefusal(
    series_id="s", code="spacing-unsupported", reason="The slices lie 5 mm apart, at most 2 mm."
)


def refusals() -> set[str]:
    """Return the code of every refusal that a reader may be told of."""
    calls = (
        node
        for module in MODULES
        if module.name.startswith(BEFORE_A_RESULT)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Refusal"
    )
    return {str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)}


def test_every_refusal_has_a_danish_sentence() -> None:
    known = {key.removeprefix("refusal:") for key in meanings("da") if key.startswith("refusal:")}
    assert len(refusals()) > 20
    assert refusals() - known == set()


@pytest.mark.parametrize(
    ("language", "code", "told"),
    [
        ("en", "spacing-unsupported", REFUSAL.reason),
        (
            "da",
            "spacing-unsupported",
            f"Afstanden mellem snit eller pixels passer ikke til modellen ({REFUSAL.reason})",
        ),
        ("da", "of-somebody-else", REFUSAL.reason),
    ],
)
def test_a_refusal_is_told_in_the_readers_language_and_with_its_numbers(
    language: str, code: str, told: str
) -> None:
    assert why_refused(replace(REFUSAL, code=code), language) == told


def test_a_result_that_is_withheld_is_told_in_danish_too() -> None:
    defect = replace(REFUSAL, code="seg-differs", reason="A frame differs.", withheld=True)
    assert why_refused(defect, "da").endswith("teknisk fejl (A frame differs.)")
    assert why_refused(defect, "en") == "A frame differs."


def test_a_danish_summary_says_in_danish_why_nothing_was_analysed() -> None:
    analysis = analysis_of()
    story = Story(
        case_id="case-1",
        started_at=analysis.started_at,
        series=analysis.series,
        pipeline_title="Organs",
        model=analysis.model,
        parts=(SeriesStory(series_number=4, refusal=REFUSAL),),
        language="da",
    )
    summary = write_summary(story)
    check_told((summary,), story)
    texts = [
        str(one.value)
        for one in pydicom.dcmread(io.BytesIO(summary.content)).iterall()
        if one.keyword == "TextValue"
    ]
    (line,) = (one for one in texts if one.startswith("Serie 4"))
    assert line == f"Serie 4: ikke analyseret: {why_refused(REFUSAL, 'da')}"


def test_measurements_are_named_in_danish() -> None:
    prediction = with_everything(analysis_of()).prediction
    names = {(line.name, line.value, line.unit) for line in finding_lines(prediction, "da")}
    assert ("Liver, Maksimum Længde", "0,333", "mm") in names
