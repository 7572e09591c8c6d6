"""Routing: which series a rule takes, and what is said of the others."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clic_edge.config import Pipeline, Rule, load_pipelines
from clic_edge.config.toml import keys_of
from clic_edge.domain.study import SeriesSummary, StudySummary
from clic_edge.pipeline.routing import evaluate, route

if TYPE_CHECKING:
    from pathlib import Path

SERIES = SeriesSummary(
    series_id="orthanc-1",
    instance_ids=tuple(f"i{number:03}" for number in range(40)),
    series_number=3,
    modality="MR",
    body_part="BRAIN",
    description="T1 HippoCrop",
    image_type=("ORIGINAL", "PRIMARY", "M"),
    manufacturer="Siemens Healthineers",
    slice_thickness_mm=1.0,
    called_ae_title="CLICEDGE",
    calling_ae_title="SCANNER1",
)


def rule(text: str) -> Rule:
    return Rule.model_validate(tomllib.loads(f"rule = {text}")["rule"])


def pipeline(text: str, name: str = "hippocampus") -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": name,
            "title": "t",
            "model": "m",
            "deid_profile": "basic",
            "destinations": ["pacs"],
            "rule": tomllib.loads(f"rule = {text}")["rule"],
        },
    )


def study(*series: SeriesSummary) -> StudySummary:
    return StudySummary(
        study_id="orthanc-study",
        study_instance_uid="1.2.3",
        seconds_since_last_instance=60,
        series=series,
    )


TAKES = [
    '{ modality = ["CT", "MR"] }',
    '{ body_part = ["BRAIN", "HEAD"] }',
    '{ series_description = "hippo" }',
    '{ series_description = "^T1" }',
    '{ image_type = ["PRIMARY", "M"] }',
    '{ image_type_absent = ["LOCALIZER"] }',
    "{ instances = { min = 40, max = 40 } }",
    "{ slice_thickness_mm = { max = 1.5 } }",
    '{ manufacturer = "siemens|philips" }',
    '{ called_ae_title = ["CLICEDGE"] }',
    '{ calling_ae_title = ["SCANNER1", "SCANNER2"] }',
    '{ not = { modality = ["CT"] } }',
    '{ all = [ { modality = ["MR"] }, { instances = { min = 16 } } ] }',
    '{ any = [ { modality = ["CT"] }, { series_description = "hippo" } ] }',
    '{ not = { not = { modality = ["MR"] } } }',
]


@pytest.mark.parametrize("text", TAKES)
def test_a_rule_that_holds_takes_the_series(text: str) -> None:
    verdict = evaluate(rule(text), SERIES)
    assert (verdict.taken, verdict.reasons) == (True, ())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{ modality = ["CT", "PT"] }', "modality is MR, the rule wants CT or PT"),
        ('{ body_part = ["LIVER"] }', "body part is BRAIN, the rule wants LIVER"),
        ('{ series_description = "spine" }', "series description does not match 'spine'"),
        ('{ image_type = ["M", "NORM"] }', "image type lacks NORM"),
        ('{ image_type_absent = ["M"] }', "image type has M, which the rule excludes"),
        ("{ instances = { min = 41 } }", "40 instances, the rule wants at least 41"),
        ("{ slice_thickness_mm = { max = 0.8 } }", "slice thickness is 1 mm, the rule wants at most 0.8"),
        ('{ manufacturer = "^GE" }', "manufacturer does not match '^GE'"),
        ('{ called_ae_title = ["OTHER"] }', "called AE title is not OTHER"),
        ('{ calling_ae_title = ["A", "B"] }', "calling AE title is not A or B"),
        ('{ not = { modality = ["MR"] } }', "modality is MR, which the rule excludes"),
        ('{ not = { modality = ["MR"], series_description = "hippo" } }', "modality is MR and series description matches 'hippo', which the rule excludes"),
        ('{ any = [ { modality = ["CT"] }, { instances = { max = 9 } } ] }', "modality is MR, the rule wants CT, or 40 instances, the rule wants at most 9"),
        ('{ all = [ { modality = ["CT"] }, { series_description = "hippo" }, { instances = { max = 9 } } ] }', "modality is MR, the rule wants CT; 40 instances, the rule wants at most 9"),
    ],
)  # fmt: skip
def test_a_rule_that_fails_says_why(text: str, sentence: str) -> None:
    verdict = evaluate(rule(text), SERIES)
    assert (verdict.taken, verdict.sentence) == (False, sentence)


@pytest.mark.parametrize("text", [text for text in TAKES if "not =" not in text])
def test_a_series_without_attributes_meets_only_what_it_must_lack(text: str) -> None:
    bare = replace(
        SERIES, instance_ids=(), modality="", body_part="", description="", image_type=(),
        manufacturer="", slice_thickness_mm=None, called_ae_title="", calling_ae_title="",
    )  # fmt: skip
    assert evaluate(rule(text), bare).taken is ("absent" in text)


@given(text=st.sampled_from(TAKES), other=st.sampled_from(TAKES))
@settings(max_examples=50, deadline=None)
def test_not_inverts_and_combinations_obey_de_morgan(text: str, other: str) -> None:
    series = replace(SERIES, modality="CT", description="spine", called_ae_title="X")
    neither = f"{{ not = {{ any = [ {text}, {other} ] }} }}"
    not_one_nor_other = f"{{ all = [ {{ not = {text} }}, {{ not = {other} }} ] }}"
    assert evaluate(rule(neither), series).taken is evaluate(rule(not_one_nor_other), series).taken


@given(
    secret=st.text(alphabet="KANARIEfuglæøå", min_size=6, max_size=40), text=st.sampled_from(TAKES)
)
@settings(max_examples=100, deadline=None)
def test_a_stored_reason_never_holds_free_text(secret: str, text: str) -> None:
    hidden = f"zz{secret}zz"
    series = replace(
        SERIES, modality=hidden, body_part=hidden, description=hidden, image_type=(hidden,),
        manufacturer=hidden, called_ae_title=hidden, calling_ae_title=hidden,
    )  # fmt: skip
    routing = route(study(series), [pipeline(text), pipeline(f"{{ not = {text} }}", "other")])
    said = [routing.why_not, repr(routing.pipelines[0].series[0].verdict)]
    assert not any(hidden in sentence for sentence in said)


def test_the_text_that_was_looked_at_is_there_for_the_terminal() -> None:
    verdict = evaluate(rule('{ series_description = "spine" }'), SERIES)
    assert [reason.found for reason in verdict.reasons] == ["T1 HippoCrop"]


@pytest.mark.parametrize("modality", ["SEG", "SR", "PR", "KO", "DOC"])
def test_our_own_results_are_never_taken(modality: str) -> None:
    ours = replace(SERIES, modality=modality, manufacturer="clic-edge")
    verdict = evaluate(rule(f'{{ modality = ["{modality}"] }}'), ours)
    assert (verdict.taken, verdict.sentence) == (False, "the series is a result of this appliance")


def test_a_pattern_that_would_hang_a_backtracking_engine_is_harmless() -> None:
    series = replace(SERIES, description="a" * 63 + "b")
    assert not evaluate(rule('{ series_description = "(a+)+$" }'), series).taken


def test_a_study_is_routed_to_every_pipeline_that_takes_a_series_of_it() -> None:
    other = replace(SERIES, series_id="orthanc-2", description="localizer")
    routing = route(
        study(SERIES, other),
        [pipeline('{ series_description = "hippo" }'), pipeline('{ modality = ["MR"] }', "all-mr")],
    )
    taken = [(at.pipeline, [series.series_id for series in at.taken]) for at in routing.taken]
    assert taken == [("hippocampus", ["orthanc-1"]), ("all-mr", ["orthanc-1", "orthanc-2"])]
    assert routing.why_not == ""


def test_a_study_that_no_pipeline_takes_has_a_reason_for_each() -> None:
    routing = route(
        study(SERIES, replace(SERIES, series_id="orthanc-2")),
        [pipeline('{ modality = ["CT"] }'), pipeline("{ instances = { max = 9 } }", "small")],
    )
    assert routing.taken == ()
    assert routing.why_not == (
        "hippocampus: 2 of 2 series: modality is MR, the rule wants CT | "
        "small: 2 of 2 series: 40 instances, the rule wants at most 9"
    )


def test_a_study_without_series_is_taken_by_none() -> None:
    routing = route(study(), [pipeline('{ modality = ["MR"] }')])
    assert routing.why_not == "hippocampus: the study has no series"


def summary_of(folder: Path) -> SeriesSummary:
    paths = sorted(folder.glob("*.dcm"))
    ds = pydicom.dcmread(paths[0], stop_before_pixels=True)
    return SeriesSummary(
        series_id=folder.name,
        instance_ids=tuple(path.name for path in paths),
        series_number=None,
        modality=ds.Modality,
        body_part=ds.get("BodyPartExamined", ""),
        description=ds.SeriesDescription,
        image_type=tuple(ds.ImageType),
        manufacturer=ds.get("Manufacturer", ""),
        slice_thickness_mm=float(ds.SliceThickness),
        called_ae_title="",
        calling_ae_title="",
    )


def test_the_shipped_pipeline_takes_the_cropped_series_only(root: Path, test_data: Path) -> None:
    folder = test_data / "dicom" / "mr-brain-study3"
    shipped = {one.name: one for one in load_pipelines(root / "configs" / "pipelines")}
    hippocampus = shipped["hippocampus"]
    series = [summary_of(path) for path in sorted(folder.iterdir())]
    (routed,) = route(study(*series), [hippocampus]).pipelines
    assert [taken.series_id for taken in routed.taken] == ["11_HCropVolume"]
    assert "does not match 'hippo'" in routed.why_not
    assert "slice thickness is 5 mm, the rule wants at most 1.5" in routed.why_not


def test_the_reference_lists_every_condition_and_no_other(root: Path) -> None:
    reference = (root / "docs" / "reference" / "routing.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([^`]+)` \|", reference, re.MULTILINE)
    assert sorted(documented) == sorted({key.partition(".")[0] for key in keys_of(Rule)})


@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "US", "OP", "XC", "DMS", "CR", "SM"])
def test_what_ships_takes_no_series_that_does_not_say_what_it_is(root: Path, modality: str) -> None:
    pipelines = [
        one for one in load_pipelines(root / "configs" / "pipelines") if one.name != "tissue-tiles"
    ]
    assert len(pipelines) >= 6
    for count in (1, 4, 40):
        plain = replace(
            SERIES,
            modality=modality,
            description="Study of the day",
            instance_ids=tuple(f"i{number:03}" for number in range(count)),
        )
        for routed in route(study(plain), pipelines).pipelines:
            assert not routed.taken
