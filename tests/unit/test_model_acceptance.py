"""A model becomes active on a report that holds it against the site's limits, and on no other."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from benches import PERSON, Bench, make_bench
from model_packages import known_labels, volume_of
from typer.testing import CliRunner

from clic_edge.cli import app, console
from clic_edge.config import Acceptance
from clic_edge.deid.keys import DeidKey, load_key
from clic_edge.deid.page_key import PageKey
from clic_edge.domain.feature import Feature
from clic_edge.domain.standing import ModelState
from clic_edge.errors import ConfigError
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.package import load_package, write_digests
from clic_edge.inference.testset import Replayed, seal
from clic_edge.ledger.feature_tables import feature_values
from clic_edge.ledger.features import write_features
from clic_edge.ledger.schema import predictions
from clic_edge.ledger.shadows import Difference
from clic_edge.pipeline.acceptance import Evidence, Shadowed, examine, promote
from clic_edge.pipeline.acceptance_report import AcceptanceReport, read_report, signed

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

S = ModelState
WHO = ("--by", PERSON)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a site whose challenger, with a sealed test case, has seen two cases."""
    bench = make_bench(tmp_path_factory.mktemp("bench"))
    folder = bench.folder / "models" / "second"
    seal(folder, "blocks", volume=volume_of(known_labels()), runtime=OnnxRuntime.load(folder))
    write_digests(folder)
    for number in (1, 2):
        bench.run(number)
    bench.appliance.engine.dispose()
    return bench.folder


@pytest.fixture
def bench(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a copy of it."""
    monkeypatch.setattr(console.stdout, "width", 200)
    return Bench(folder=shutil.copytree(made, tmp_path / "bench"))


def validation(bench: Bench, *, dice: float | None = 0.95, model: str = "second") -> Path:
    digest = load_package(bench.folder / "models" / model).digest
    numbers = {"classes": {"grey": {"dice": {"mean": dice}}}}
    path = bench.folder / "validation.json"
    path.write_text(json.dumps({"model": {"digest": digest}} | numbers))
    return path


def called(bench: Bench, *words: str) -> Result:
    return CliRunner().invoke(app, ["-c", str(bench.settings), "models", *words])


def accepted(bench: Bench, path: Path | None = None) -> tuple[Result, Path]:
    out = bench.folder / "acceptance.json"
    words = ("--validation", str(path or validation(bench)), "--out", str(out), *WHO)
    return called(bench, "accept", "second", "--pipeline", "brain", *words), out


def report_of(bench: Bench) -> AcceptanceReport:
    result, out = accepted(bench)
    assert result.exit_code == 0, result.output
    return read_report(out.read_text())


def key_of(bench: Bench) -> DeidKey:
    return load_key(bench.folder / "state" / "deid.key")


def promoted(bench: Bench, report: AcceptanceReport, model: str = "second") -> None:
    promote(
        bench.ledger.standing,
        bench.placement(model),
        report,
        key=PageKey.of(key_of(bench)),
        person=PERSON,
        reason="Better in the hilus.",
    )


@pytest.mark.slow
def test_a_challenger_is_accepted_and_promoted_and_the_next_case_is_its_own(bench: Bench) -> None:
    result, out = accepted(bench)
    assert result.exit_code == 0, result.output
    assert "not met" not in result.stdout
    words = ("--report", str(out), *WHO, "--why", "Better in the hilus.")
    result = called(bench, "promote", "second", "--pipeline", "brain", *words)
    assert result.exit_code == 0, result.exception
    assert bench.states() == {"first": S.SHADOW, "second": S.ACTIVE}
    event = bench.ledger.standing.history("brain")[-1]
    assert (event.person, event.reason) == (PERSON, "Better in the hilus.")
    assert read_report(event.evidence) == read_report(out.read_text())
    case = bench.run(3)
    assert bench.ledger.deliveries.models(case.case_id) == {bench.placement("second").digest}


@pytest.mark.slow
def test_the_report_tells_each_limit_and_what_was_found(bench: Bench) -> None:
    found = {one.name: (one.found, one.limit) for one in report_of(bench).criteria}
    assert found == {
        "sealed test cases answered as sealed": (1, 1),
        "limits on the validation that the site sets": (1, 1),
        "classes.grey.dice.mean": (0.95, 0.9),
        "cases in the shadow": (2, 2),
        "median Dice with the active model, grey": (1, 0.8),
        "median Dice with the active model, white": (1, 0.8),
        "share refused in the shadow": (0, 1),
        "failures in the shadow": (0, 0),
    }


@pytest.mark.parametrize(
    ("before", "after", "missed"),
    [
        ("shadow_cases = 2", "shadow_cases = 3", "cases in the shadow"),
        ('"classes.grey.dice.mean" = 0.9', '"classes.grey.dice.mean" = 0.96', "classes.grey"),
        ('"classes.grey.dice.mean" = 0.9', '"classes.red.dice.mean" = 0.1', "classes.red"),
        ('at_least = { "classes.grey.dice.mean" = 0.9 }', "", "limits on the validation"),
        ("at_least = {", 'at_most = { "classes.grey.dice.mean" = 0.5 }\nat_least = {', "at most"),
    ],
)
def test_a_model_that_misses_a_limit_is_not_promoted(
    bench: Bench, before: str, after: str, missed: str
) -> None:
    path = bench.folder / "pipelines" / "brain.toml"
    path.write_text(path.read_text().replace(before, after))
    result, out = accepted(bench)
    assert result.exit_code == ConfigError.exit_code
    (line,) = [one for one in result.stdout.splitlines() if "not met" in one]
    assert missed in line
    with pytest.raises(ConfigError) as caught:
        promoted(bench, read_report(out.read_text()))
    assert caught.value.code == "acceptance-not-met"
    assert bench.states()["second"] is S.SHADOW


def test_a_sealed_case_that_is_answered_otherwise_is_not_accepted(bench: Bench) -> None:
    report = examine(
        bench.placement("second"),
        Evidence(
            replayed=(
                Replayed(name="same", found=1000, differing=1),
                Replayed(name="other", found=1000, differing=2),
            ),
            validation=validation(bench).read_text(),
            shadow=None,
        ),
        Acceptance(at_least={"classes.grey.dice.mean": 0.9}, shadow_cases=0),
        person=PERSON,
        at=datetime.now(UTC),
    )
    assert [one.name for one in report.criteria if not one.met] == [
        "sealed test cases answered as sealed"
    ]


@pytest.mark.parametrize(("limit", "met"), [(0.2, True), (0.1, False)])
def test_a_classifier_is_held_against_the_probabilities_of_the_active_model(
    bench: Bench, limit: float, *, met: bool
) -> None:
    apart = tuple(
        Difference(case_id=f"c{i}", category="malignant", value=value)
        for i, value in enumerate((0.5, 0.15, 0.0))
    )
    shadow = Shadowed(
        since=datetime.now(UTC),
        cases=3,
        predicted=3,
        refused=0,
        broken=0,
        agreement=(),
        differences=apart,
    )
    report = examine(
        bench.placement("second"),
        Evidence(replayed=(), validation=validation(bench).read_text(), shadow=shadow),
        Acceptance(shadow_cases=0, difference=limit),
        person=PERSON,
        at=datetime.now(UTC),
    )
    (one,) = [one for one in report.criteria if "probability" in one.name]
    assert (one.name, one.found) == ("median difference of probability, malignant", 0.15)
    assert one.met is met


def test_probabilities_are_compared_by_how_far_they_lie_apart(bench: Bench) -> None:
    second, since = bench.placement("second"), datetime.now(UTC) - timedelta(hours=1)
    (first, other) = [one.case_id for one in bench.ledger.cases.all()]
    with bench.appliance.engine.begin() as connection:
        for case_id, value in ((first, 0.1), (other, -0.3)):
            own = (predictions.c.case_id == case_id) & (predictions.c.model_digest == second.digest)
            prediction_id = connection.scalar(sa.select(predictions.c.prediction_id).where(own))
            row = feature_values.c.prediction_id == prediction_id
            connection.execute(feature_values.delete().where(row))
            name = "agreement.malignant.probability_difference"
            write_features(connection, prediction_id, [Feature(name=name, number=value)])
    found = bench.ledger.shadows.differences("brain", second.digest, since)
    assert [(one.case_id, one.category, one.value) for one in found] == [
        (other, "malignant", 0.3),
        (first, "malignant", 0.1),
    ]


def test_a_validation_of_another_model_is_refused_by_name(bench: Bench) -> None:
    result, out = accepted(bench, validation(bench, model="first"))
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "validation-other-model"
    assert not out.exists()


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"model": []}'])
def test_a_file_that_is_no_validation_report_is_refused_by_name(bench: Bench, text: str) -> None:
    path = bench.folder / "validation.json"
    path.write_text(text)
    result, _ = accepted(bench, path)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code in {"validation-report", "validation-other-model"}


# --- what speaks against a report


def refused(bench: Bench, report: AcceptanceReport, model: str = "second") -> str:
    with pytest.raises(ConfigError) as caught:
        promoted(bench, report, model)
    assert bench.states() == {"first": S.ACTIVE, "second": S.SHADOW}
    return caught.value.code


def test_a_report_on_another_model_or_pipeline_is_refused(bench: Bench) -> None:
    report = report_of(bench)
    assert refused(bench, report, "first") == "acceptance-other-model"
    other = signed(report.model_copy(update={"pipeline": "liver"}), key_of(bench))
    assert refused(bench, other) == "acceptance-other-pipeline"


def test_a_report_that_was_changed_or_signed_elsewhere_is_refused(bench: Bench) -> None:
    report = report_of(bench)
    changed = report.model_copy(update={"person": "B. Hansen"})
    assert refused(bench, changed) == "acceptance-signature"
    assert refused(bench, signed(report, DeidKey(b"x" * 32))) == "acceptance-signature"
    assert refused(bench, report.model_copy(update={"signature": ""})) == "acceptance-signature"


def test_a_report_from_before_a_suspension_does_not_bring_the_model_back(bench: Bench) -> None:
    report = report_of(bench)
    promoted(bench, report)
    standing, second = bench.ledger.standing, bench.placement("second")
    event = standing.move(second, S.SUSPENDED, person=PERSON, reason="It missed two.")
    with pytest.raises(ConfigError) as caught:
        promoted(bench, report)
    assert caught.value.code == "acceptance-stale"
    later = report.model_copy(update={"at": event.at + timedelta(seconds=1)})
    promoted(bench, signed(later, key_of(bench)))
    assert bench.states()["second"] is S.ACTIVE


def test_a_file_that_is_no_acceptance_report_is_refused_by_name() -> None:
    for text in ("", "{}", '{"format": 2}', "[1]"):
        with pytest.raises(ConfigError) as caught:
            read_report(text)
        assert caught.value.code == "acceptance-unreadable"


def test_where_the_sites_key_is_not_found_no_report_is_taken(bench: Bench) -> None:
    out = bench.folder / "unsigned.json"
    out.write_text(report_of(bench).model_copy(update={"signature": ""}).model_dump_json())
    (bench.folder / "state" / "deid.key").unlink()
    words = ("--pipeline", "brain", "--report", str(out), *WHO, "--why", "Good.")
    result = called(bench, "promote", "second", *words)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "key-missing"
    assert bench.states()["second"] is S.SHADOW


# --- the commands


def moved(bench: Bench, *words: str) -> Result:
    return called(bench, *words, "--pipeline", "brain", *WHO, "--why", "It missed two.")


def test_the_commands_move_a_model_and_the_history_says_so(bench: Bench) -> None:
    assert moved(bench, "suspend", "first").exit_code == 0
    assert moved(bench, "state", "second", "testing").exit_code == 0
    assert moved(bench, "retire", "second").exit_code == 0
    assert bench.states() == {"first": S.SUSPENDED, "second": S.RETIRED}
    result = called(bench, "history", "--pipeline", "brain")
    assert result.stdout.count("It missed two.") == 3
    assert result.stdout.count(PERSON) == 3
    assert "The chain of all 5 moves is whole." in result.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("state", "second", "active"), "acceptance-missing"),
        (("state", "first", "installed"), "transition-not-allowed"),
        (("suspend", "second"), "transition-not-allowed"),
        (("suspend", "nobody"), "model-unknown"),
    ],
)
def test_a_move_that_may_not_be_is_refused_by_name(
    bench: Bench, words: tuple[str, ...], code: str
) -> None:
    result = moved(bench, *words)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == code
    assert bench.states() == {"first": S.ACTIVE, "second": S.SHADOW}


def test_a_model_is_suspended_though_its_package_is_broken_or_gone(bench: Bench) -> None:
    (bench.folder / "models" / "first" / "model.onnx").write_bytes(b"broken")
    assert moved(bench, "suspend", "first").exit_code == 0
    digest = bench.placement("second").digest
    assert moved(bench, "retire", digest[:10]).exit_code == 0
    assert bench.states() == {"first": S.SUSPENDED, "second": S.RETIRED}


def ran(bench: Bench, *more: str) -> Result:
    study, out = str(bench.folder / "studies" / "1"), str(bench.folder / "out")
    words = ["run", study, "--pipeline", "brain", "--out", out, *more]
    return CliRunner().invoke(app, ["-c", str(bench.settings), *words])


@pytest.mark.slow
def test_a_model_that_is_being_tested_runs_by_hand_and_a_retired_one_does_not(
    bench: Bench,
) -> None:
    moved(bench, "state", "second", "testing")
    result = ran(bench, "--model", "second")
    assert result.exit_code == 0, result.output
    report = json.loads((bench.folder / "out" / "report.json").read_text())
    assert report[0]["case"]["state"] == "delivered"
    moved(bench, "retire", "second")
    result = ran(bench, "--model", "second")
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "model-retired"
