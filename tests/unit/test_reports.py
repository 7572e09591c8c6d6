"""Reports: the same values in JSON, page and PDF/A, in two languages, and no identity in any."""

from __future__ import annotations

import csv
import io
import json
import re
import string
import zlib
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import make_tables
from reported import CANARY, DIGEST, MADE_AT, PERIOD, POLICY, REASON, SUBJECT, reported
from reported import january as january_of
from source import ROOT
from typer.testing import CliRunner

from clic_edge.board.post_market import FEWEST, counts, post_market
from clic_edge.board.report import Maker, Subject, Unknown, model_report, month
from clic_edge.board.report_readers import wilson
from clic_edge.board.report_subjects import subjects
from clic_edge.cli import app
from clic_edge.domain.assessment import Reason
from clic_edge.domain.constancy import Verdict
from clic_edge.domain.monitoring import Severity
from clic_edge.domain.prediction import ModelIdentity
from clic_edge.domain.standing import ModelState, Placement
from clic_edge.drawing.look import LIGHT, Language
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine
from clic_edge.reporting.compose import compose
from clic_edge.reporting.making import REPORT, report_files
from clic_edge.reporting.manufacturer import POST_MARKET, post_market_files
from clic_edge.reporting.shelf import Shelf
from clic_edge.reporting.voice import Voice
from clic_edge.reporting.words import words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from clic_edge.board.post_market import PostMarket
    from clic_edge.board.report import ModelReport

SCHEMAS = {
    ROOT / "docs" / "reference" / "monthly-report.schema.json": REPORT,
    ROOT / "docs" / "reference" / "post-market.schema.json": POST_MARKET,
}
MAKER = Maker(appliance="box", at=MADE_AT, policy=POLICY)
languages = pytest.mark.parametrize("language", list(Language), ids=str)


@dataclass(frozen=True)
class Made:
    """A report and its files by language and kind, made once."""

    ledger: Ledger
    report: ModelReport
    files: Mapping[tuple[Language, str], bytes]
    data: PostMarket


@pytest.fixture(scope="module")
def made() -> Made:
    engine = open_engine("sqlite://")
    make_tables(engine)
    ledger = reported(engine)
    report = january_of(ledger)
    files = {
        (language, one.name.rpartition(".")[2]): one.content
        for language in Language
        for one in report_files(report, language)
    }
    return Made(ledger, report, files, post_market(ledger, SUBJECT, PERIOD, by=MAKER))


def streams(pdf: bytes) -> list[bytes]:
    """Return what the compressed streams of a PDF hold."""
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    held = []
    for one in found:
        try:
            held.append(zlib.decompress(one))
        except zlib.error:
            held.append(one)
    return held


# --- values


def test_cases_are_counted_by_what_became_of_them(made: Made) -> None:
    volume = made.report.volume
    assert (volume.received, volume.delivered, volume.refused) == (50, 41, 6)
    assert (volume.failed, volume.open) == (2, 1)
    assert sum(day.delivered for day in volume.days) == volume.delivered
    assert volume.series_analysed == 632


def test_reasons_of_refusals_come_by_code_and_never_by_sentence(made: Made) -> None:
    volume = made.report.volume
    assert [(one.code, one.count) for one in volume.refusals] == [
        ("slice-thickness", 6),
        ("missing-slice", 2),
    ]
    assert [(one.code, one.count) for one in volume.failures] == [("model-crashed", 3)]


def test_times_are_from_arrival_to_delivery(made: Made) -> None:
    seconds = [0.0, *(60.0 + number for number in range(40))]
    assert made.report.volume.seconds_p50 == np.percentile(seconds, 50)
    assert made.report.volume.seconds_p95 == np.percentile(seconds, 95)


def test_every_chart_has_a_limit_designed_false_alarms_and_delays(made: Made) -> None:
    assert len(made.report.charts) > 4
    for one in made.report.charts:
        assert one.limit > 0
        assert 0 < one.false_alarms_per_year <= 1.2
        assert one.delays
    first = made.report.charts[0]
    assert (first.feature, first.highest) == (
        "input.noise",
        max(c.highest or 0 for c in made.report.charts),
    )


def test_an_alarm_comes_with_who_saw_it_and_what_it_was(made: Made) -> None:
    alarm = next(one for one in made.report.alarms if one.chart == "input.noise")
    assert alarm.severity is Severity.ACTION
    assert [(one.person, one.reason) for one in alarm.answers] == [("Ida Fysiker", REASON)]


@pytest.mark.parametrize(
    ("count", "n", "lower", "upper"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson_s_interval_is_that_of_newcombe_s_table(
    count: int, n: int, lower: float, upper: float
) -> None:
    """Stat Med 1998;17:857-872, table I, method 3."""
    found = wilson(count, n)
    assert (found.lower, found.upper) == (
        pytest.approx(lower, abs=5e-5),
        pytest.approx(upper, abs=5e-5),
    )


def test_of_nothing_there_is_no_share() -> None:
    assert wilson(0, 0).share is None


def test_what_readers_said_is_counted_by_their_last_word(made: Made) -> None:
    agreement = made.report.agreement
    assert (agreement.accepted, agreement.modified, agreement.rejected) == (80, 10, 2)
    assert (agreement.overridden.count, agreement.overridden.n) == (12, 92)
    (dice,) = agreement.dice
    assert (dice.finding, dice.n) == ("organ", 10)
    assert dice.median == pytest.approx(0.8845)


def test_bias_is_the_model_s_volume_minus_the_reader_s(made: Made) -> None:
    (volumes,) = made.report.agreement.volumes
    differences = np.array([one.difference for one in volumes.pairs])
    assert volumes.bias == pytest.approx(differences.mean())
    assert volumes.upper is not None
    assert volumes.upper - volumes.bias == pytest.approx(1.96 * differences.std(ddof=1), rel=1e-3)


def test_what_turned_out_to_be_true_is_told_beside_what_the_model_said(made: Made) -> None:
    (truth,) = made.report.truths
    assert (truth.sensitivity.count, truth.sensitivity.n) == (11, 11)
    assert (truth.specificity.count, truth.specificity.n) == (0, 1)
    assert (truth.pairs, truth.bias) == (12, pytest.approx(0.055))
    assert Unknown.NO_TRUTH not in made.report.unknown
    told = {one.name: one.value for one in made.data.measures if one.group == "organ"}
    assert told["sensitivity"] == 1.0
    assert told["specificity"] is None, "one case is too few to tell"


def test_subgroups_have_n_and_interval(made: Made) -> None:
    sexes = {one.group: one for one in made.report.groups if (one.by, one.what) == ("input.sex", "overridden")}  # fmt: skip
    assert set(sexes) == {"F", "M"}
    assert sum(one.n for one in sexes.values()) == 92
    for one in sexes.values():
        assert one.is_enough
        assert one.value is not None
        assert one.lower is not None
        assert one.lower < one.value


def test_a_subgroup_that_is_too_small_is_told_in_words(made: Made) -> None:
    maker = replace(MAKER, policy=replace(POLICY, smallest_group=1000))
    report = model_report(made.ledger, SUBJECT, PERIOD, by=maker)
    assert all(one.value is None and not one.is_enough for one in report.groups)
    document = compose(report, Voice(language=Language.DANISH, theme=LIGHT))
    assert "for få til at sige noget (n < 1000)" in str(document)


def test_the_report_says_what_it_does_not_know(made: Made) -> None:
    assert Unknown.READERS_SAW_IT in made.report.unknown
    assert Unknown.OPEN_CASES in made.report.unknown
    assert Unknown.UNFINISHED not in made.report.unknown
    assert Unknown.NO_REFERENCE not in made.report.unknown


def test_of_a_model_in_the_shadow_it_says_whose_results_were_delivered(made: Made) -> None:
    assert Unknown.SHADOW not in made.report.unknown
    engine = open_engine("sqlite://")
    make_tables(engine)
    ledger = Ledger.on(engine)
    place = Placement(pipeline="organs", model_id="organs", version="1", digest=DIGEST)
    for state in (ModelState.INSTALLED, ModelState.TESTING, ModelState.SHADOW):
        ledger.standing.move(place, state, person="Ida", reason="x")
    at = ledger.standing.history()[-1].at
    report = model_report(ledger, SUBJECT, month(at.year, at.month), by=MAKER)
    assert Unknown.SHADOW in report.unknown
    assert [one.state for one in report.states] == [ModelState.SHADOW]


def test_constancy_runs_are_told_and_their_phantoms_not_counted(made: Made) -> None:
    assert [one.verdict for one in made.report.constancy] == ["passed", "failed", "passed"]
    assert Unknown.NO_CONSTANCY not in made.report.unknown
    assert "The volume is 3 % larger." in made.files[Language.ENGLISH, "html"].decode()
    assert {one.group for one in made.report.groups if one.by == "input.sex"} == {"F", "M"}
    assert {one.name: one.count for one in made.data.constancy} == {"passed": 2, "failed": 1}


def test_of_an_empty_ledger_there_is_a_report_that_knows_nothing() -> None:
    engine = open_engine("sqlite://")
    make_tables(engine)
    unknown = Subject(model_id="organs", version="1", digest=DIGEST)
    report = model_report(Ledger.on(engine), unknown, month(2026, 12), by=MAKER)
    assert set(report.unknown) >= {
        Unknown.UNFINISHED,
        Unknown.NO_REFERENCE,
        Unknown.NO_ASSESSMENTS,
        Unknown.NO_HISTORY,
        Unknown.INTENDED_USE,
    }
    assert len(report_files(report, Language.DANISH)) == 3
    assert report.period.last.day == 31


def test_a_model_in_use_is_reported_though_it_predicted_nothing(made: Made) -> None:
    package = ModelIdentity(
        model_id="organs",
        version="1",
        title="Organs",
        manufacturer="CLIC",
        digest=DIGEST,
        intended_use="x",
    )
    (later,) = subjects(made.ledger, month(2026, 6), [package])
    assert (later.digest, later.title, later.intended_use) == (DIGEST, "Organs", "x")
    assert subjects(made.ledger, month(2025, 12), []) == ()


def test_a_model_that_was_retired_before_is_not_reported() -> None:
    engine = open_engine("sqlite://")
    make_tables(engine)
    ledger = Ledger.on(engine)
    place = Placement(pipeline="organs", model_id="organs", version="1", digest=DIGEST)
    for state in (ModelState.INSTALLED, ModelState.TESTING, ModelState.SHADOW, ModelState.RETIRED):
        ledger.standing.move(place, state, person="Ida", reason="x")
    at = ledger.standing.history()[-1].at
    assert [one.digest for one in subjects(ledger, month(at.year, at.month), [])] == [DIGEST]
    assert subjects(ledger, month(at.year + 1, at.month), []) == ()


# --- forms


def test_the_json_is_the_report_and_fits_its_published_schema(made: Made) -> None:
    content = made.files[Language.ENGLISH, "json"]
    assert REPORT.validate_json(content) == made.report
    assert content == made.files[Language.DANISH, "json"]


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_the_published_schema_is_that_of_the_code(path: Path) -> None:
    published = json.loads(path.read_text(encoding="utf-8"))
    assert published == SCHEMAS[path].json_schema(), "run this file to write it anew"


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags = set[str]()
        self.attributes = set[str]()
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.said += f"{data}\n"


@languages
def test_the_page_is_one_file_without_script_or_anything_from_elsewhere(
    made: Made, language: Language
) -> None:
    html = made.files[language, "html"].decode()
    page = _Page()
    page.feed(html)
    assert not {"script", "link", "img", "iframe", "object"} & page.tags
    assert not {"src", "onclick", "onload"} & page.attributes
    assert set(re.findall(r"https?://[^\"' <]+", html)) == {"http://www.w3.org/2000/svg"}
    assert "Outlines organs for <research>." in page.said
    assert REASON in page.said


def test_page_and_pdf_are_made_of_the_same_words(made: Made) -> None:
    page = _Page()
    page.feed(made.files[Language.DANISH, "html"].decode())
    document = compose(made.report, Voice(language=Language.DANISH, theme=LIGHT))
    for section in document.sections:
        assert section.heading in page.said
    assert "rettet eller afvist: 13" in page.said
    assert "7,62" in page.said, "a decimal comma"


@languages
def test_the_pdf_claims_pdf_a_and_embeds_its_fonts(made: Made, language: Language) -> None:
    pdf = made.files[language, "pdf"]
    held = b"\n".join([pdf, *streams(pdf)])
    assert b"<pdfaid:part>3</pdfaid:part>" in held
    assert b"<pdfaid:conformance>A</pdfaid:conformance>" in held
    descriptors = re.findall(rb"/FontDescriptor[ /]", held)
    embedded = re.findall(rb"/FontFile[23] ", held)
    assert embedded
    fonts = set(re.findall(rb"/FontName\s*/(\S+)", held))
    assert len(embedded) == len(fonts)
    assert descriptors
    assert f"/Lang({language})".encode() in held.replace(b" ", b"")


def test_the_pdf_holds_its_values_as_a_file(made: Made) -> None:
    assert made.files[Language.ENGLISH, "json"] in streams(made.files[Language.ENGLISH, "pdf"])


def test_the_same_report_has_the_same_bytes(made: Made) -> None:
    again = {one.name.rpartition(".")[2]: one.content for one in report_files(made.report, Language.ENGLISH)}  # fmt: skip
    assert again == {kind: made.files[Language.ENGLISH, kind] for kind in again}


@languages
def test_no_form_holds_a_patient_a_study_or_a_reader(made: Made, language: Language) -> None:
    document = str(compose(made.report, Voice(language=language, theme=LIGHT)))
    assert CANARY not in document
    assert "2.25.666" not in document
    for kind in ("json", "html", "pdf"):
        held = b"\n".join([made.files[language, kind], *streams(made.files[language, kind])])
        assert CANARY.encode() not in held
        assert b"2.25.666" not in held


def test_every_sentence_is_there_in_both_languages_with_the_same_values() -> None:
    for key, said in words().items():
        assert set(said) == set(Language), key
        holes = [
            {name for _, name, _, _ in string.Formatter().parse(one) if name}
            for one in said.values()
        ]
        assert holes[0] == holes[1], key


def test_everything_that_a_report_can_say_has_words() -> None:
    known = words()
    assert {f"unknown-{one}" for one in Unknown} <= known.keys()
    assert {f"state-{one}" for one in ModelState} <= known.keys()
    assert {f"verdict-{one}" for one in Verdict} <= known.keys()
    assert {f"reason-{one}" for one in Reason} <= known.keys()
    assert {f"severity-{one}" for one in Severity} <= known.keys()


# --- shelf


def test_a_report_made_again_takes_the_place_of_the_earlier(made: Made, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "reports")
    assert shelf.reports() == ()
    for language in Language:
        shelf.put(made.report, report_files(made.report, language), language=language)
    (only,) = shelf.reports()
    assert only.language == "da"
    assert shelf.has(DIGEST, "2026-01-01", "2026-01-31")
    names = {one.name for one in only.files}
    assert names == {f"organs-1-dddddddd-2026-01.{kind}" for kind in ("json", "html", "pdf")}
    assert {path.name for path in (tmp_path / "reports").iterdir()} == names | {"index.json"}


def test_the_shelf_hands_out_nothing_that_is_not_on_it(made: Made, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put(made.report, report_files(made.report, Language.ENGLISH), language="en")
    assert shelf.path("organs-1-dddddddd-2026-01.pdf") == tmp_path / "organs-1-dddddddd-2026-01.pdf"
    for name in ("../secret", "index.json", "/etc/passwd", ""):
        assert shelf.path(name) is None


# --- for the manufacturer


def test_the_manufacturer_gets_no_person_no_study_and_no_free_text(made: Made) -> None:
    for one in post_market_files(made.data):
        text = one.content.decode()
        for secret in (CANARY, "Ida", REASON, "the file says so", "2.25.666"):
            assert secret not in text


def test_few_are_withheld_and_so_is_what_would_give_them_away(made: Made) -> None:
    cases = {one.name: one.count for one in made.data.cases}
    assert cases["received"] == 50
    assert cases["failed"] is None
    assert cases["open"] is None
    assert {one.name: one.count for one in made.data.refusals} == {
        "slice-thickness": None,
        "missing-slice": None,
    }


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_total_gives_away_a_count_that_is_withheld(numbers: list[int]) -> None:
    parts = [(f"p{index}", count) for index, count in enumerate(numbers)]
    total, *shown = counts(parts, total="all")
    assert all(one.count is None or one.count == 0 or one.count >= FEWEST for one in shown)
    hidden = [count for (_, count), one in zip(parts, shown, strict=True) if one.count is None]
    if total.count is not None:
        assert len(hidden) != 1
    else:
        assert 0 < sum(numbers) < FEWEST


def test_alarms_and_moves_are_told_by_day(made: Made) -> None:
    alarm = next(one for one in made.data.alarms if one.chart == "input.noise")
    assert (alarm.opened, alarm.answered) == (alarm.opened.replace(day=8), True)
    assert [(one.now, one.by) for one in made.data.moves] == [(ModelState.ACTIVE, "configuration")]
    assert made.data.suspensions == 0


def test_the_table_tells_the_same_numbers_as_the_json(made: Made) -> None:
    as_json, as_csv = post_market_files(made.data)
    assert POST_MARKET.validate_json(as_json.content) == made.data
    rows = list(csv.DictReader(io.StringIO(as_csv.content.decode())))
    shares = [one for one in rows if one["name"] == "overridden"]
    assert [float(one["value"]) for one in shares] == [12 / 92]
    assert {one["value"] for one in rows if (one["part"], one["name"]) == ("cases", "failed")} == {
        "few"
    }


# --- commands


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    (folder / "clic-edge.toml").write_text(
        f'[appliance]\nname = "box"\nstate_dir = "."\nlanguage = "da"\nmodels = "{ROOT}/models"\n'
        f'pipelines = "{ROOT}/configs/pipelines"\ndeid_profiles = "{ROOT}/configs/deid"\n'
        '[destinations.pacs]\nkind = "folder"\npath = "pacs"\n'
    )
    engine = open_engine(f"sqlite:////{folder / 'clic-edge.sqlite'}")
    make_tables(engine)
    reported(engine)
    engine.dispose()
    return folder


def run(site: Path, *rest: str) -> str:
    ran = CliRunner().invoke(app, ["-c", str(site / "clic-edge.toml"), "report", *rest])
    return "" if ran.exit_code == 0 else getattr(ran.exception, "code", ran.output)


@pytest.mark.slow
def test_the_commands_write_the_files(site: Path) -> None:
    out = site / "out"
    assert run(site, "month", "organs", "--month", "2026-01", "--out", str(out)) == ""
    days = ("--from", "2026-01-01", "--to", "2026-01-31")
    assert run(site, "post-market", "dddd", *days, "--out", str(out)) == ""
    kinds = sorted(path.suffix for path in out.iterdir())
    assert kinds == [".csv", ".html", ".json", ".json", ".pdf"]
    page = next(out.glob("*.html")).read_text(encoding="utf-8")
    assert '<html lang="da">' in page


def test_a_model_that_was_not_in_use_has_no_report(site: Path) -> None:
    words = ("month", "organs", "--month", "2025-01", "--out", str(site / "no"))
    assert run(site, *words) == "nothing-to-report"


if __name__ == "__main__":
    for file, adapter in SCHEMAS.items():
        file.write_text(json.dumps(adapter.json_schema(), indent=1) + "\n", encoding="utf-8")
