"""What a model's state does to cases: who speaks, who only watches, and what a reader is told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from benches import PERSON, Bench, make_bench
from factories import Shots, make_shot, skin
from model_packages import TOML, write_image_package, write_package
from sites import patient

from clic_edge.assembly import make_ready
from clic_edge.domain.case import CaseState
from clic_edge.domain.standing import ModelState, Serving
from clic_edge.errors import ConfigError
from clic_edge.inference.admission import Admission
from clic_edge.inference.footprint import Sample, write_note
from clic_edge.inference.memory import Room
from clic_edge.inference.package import load_package
from clic_edge.pacs.commitment import Reports
from clic_edge.pipeline.process import settle
from clic_edge.pipeline.stages import accept, predict
from clic_edge.pipeline.standing import enrol, move
from clic_edge.pipeline.telling import write

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.domain.case import Case
    from clic_edge.pipeline.line import Line
    from clic_edge.pipeline.stages import Stage

S = ModelState
WHY = "It missed two of three lesions."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bench(tmp_path_factory.mktemp("bench")).folder


@pytest.fixture
def bench(made: Path, tmp_path: Path) -> Bench:
    return Bench(folder=shutil.copytree(made, tmp_path / "bench"))


def send(bench: Bench, model: str, *ways: ModelState) -> None:
    for to in ways:
        move(bench.ledger.standing, bench.placement(model), to, person=PERSON, reason=WHY)


def models_of(bench: Bench, case: Case) -> list[str]:
    rows = bench.ledger.predictions.rows(datetime.now(UTC) - timedelta(hours=1))
    return sorted(row.model_id for row in rows if row.case_id == case.case_id)


def test_the_active_model_speaks_and_the_challenger_only_watches(bench: Bench) -> None:
    case = bench.run(1)
    assert case.state is CaseState.DELIVERED
    assert models_of(bench, case) == ["first", "second"]
    assert len(bench.delivered()) == 2, "report and root"
    assert bench.states() == {"first": S.ACTIVE, "second": S.SHADOW}
    _, second = bench.ledger.standing.history()
    dice = bench.ledger.shadows.agreement("brain", second.placement.digest, second.at)
    assert sorted((one.segment, one.value) for one in dice) == [("grey", 1), ("white", 1)]


@pytest.mark.slow
def test_a_suspended_models_cases_are_refused_and_the_reader_is_told_why(bench: Bench) -> None:
    bench.run(1)
    send(bench, "first", S.SUSPENDED)
    before = len(bench.delivered())
    case = bench.run(2)
    assert (case.state, case.code) == (CaseState.REFUSED, "model-suspended")
    (root,) = [one for one in bench.delivered() if WHY in one]
    assert "suspended" in root
    assert len(bench.delivered()) == before + 1
    assert models_of(bench, case) == ["second"], "what runs in the shadow goes on"


@pytest.mark.slow
def test_a_case_of_that_time_runs_again_when_the_model_is_back(bench: Bench) -> None:
    bench.run(1)
    send(bench, "first", S.SUSPENDED)
    case = bench.run(2)
    bench.ledger.standing.move(
        bench.placement("first"), S.ACTIVE, person=PERSON, reason="Mended.", evidence="{}"
    )
    again = bench.go_on(bench.ledger.cases.retry(case.case_id))
    assert again.state is CaseState.DELIVERED
    assert models_of(bench, again) == ["first", "second"]


@pytest.mark.parametrize("ways", [(S.SHADOW,), (S.SUSPENDED, S.SHADOW)])
def test_a_pipeline_with_shadows_only_logs_and_sends_nothing(
    bench: Bench, ways: tuple[ModelState, ...]
) -> None:
    bench.line().pipeline("brain")
    send(bench, "first", *ways)
    case = bench.run(1)
    assert (case.state, case.code) == (CaseState.REFUSED, "model-in-shadow")
    assert "nothing goes to the PACS" in case.reason
    assert models_of(bench, case) == ["first", "second"]
    assert bench.delivered() == []
    assert bench.ledger.deliveries.results(case.case_id) == ()


@pytest.mark.slow
def test_a_case_that_was_only_watched_runs_again_once_a_model_is_active(bench: Bench) -> None:
    bench.line().pipeline("brain")
    send(bench, "first", S.SHADOW)
    case = bench.run(1)
    bench.ledger.standing.move(
        bench.placement("second"), S.ACTIVE, person=PERSON, reason="Good.", evidence="{}"
    )
    again = bench.go_on(bench.ledger.cases.retry(case.case_id))
    assert again.state is CaseState.DELIVERED
    assert any("Grey" in one for one in bench.delivered())


@pytest.mark.parametrize("ways", [(S.SHADOW, S.TESTING), (S.RETIRED,)])
def test_a_model_that_is_tested_or_retired_sees_no_live_traffic(
    bench: Bench, ways: tuple[ModelState, ...]
) -> None:
    bench.name_models("first")
    bench.line().pipeline("brain")
    send(bench, "first", *ways)
    case = bench.run(1)
    assert (case.state, case.code) == (CaseState.REFUSED, "no-active-model")
    assert models_of(bench, case) == []
    assert bench.delivered() == []


def test_where_persons_decide_a_fresh_site_sends_nothing(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, states="accepted")
    case = bench.run(1)
    assert (case.state, case.code) == (CaseState.REFUSED, "no-active-model")
    assert bench.states() == {"first": S.INSTALLED, "second": S.INSTALLED}


def test_a_challenger_that_breaks_or_refuses_is_counted(bench: Bench) -> None:
    toml = TOML.replace('modality = "MR"', 'modality = "CT"')
    write_package(bench.folder / "models" / "second", toml=toml)
    write_package(bench.folder / "models" / "third", slopes=(0, 10, float("nan")))
    bench.name_models("first", "second", "third")
    assert bench.run(1).state is CaseState.DELIVERED
    since = datetime.now(UTC) - timedelta(hours=1)
    told = [
        (failure.code, failure.refused)
        for event in bench.ledger.standing.history("brain")
        for failure in bench.ledger.shadows.failures("brain", event.placement.digest, since)
    ]
    assert sorted(told) == [("modality-unsupported", True), ("network-not-finite", False)]


def test_a_broken_challenger_does_not_keep_the_others_from_watching(bench: Bench) -> None:
    write_package(bench.folder / "models" / "broken")
    (bench.folder / "models" / "broken" / "model.onnx").write_bytes(b"no network")
    bench.name_models("first", "broken", "second")
    bench.line().pipeline("brain")
    send(bench, "first", S.SUSPENDED)
    case = bench.run(1)
    assert (case.state, case.code) == (CaseState.REFUSED, "model-suspended")
    assert models_of(bench, case) == ["second"]


@pytest.mark.slow
def test_an_active_challenger_speaks_though_the_files_model_is_broken(bench: Bench) -> None:
    bench.run(1)
    bench.ledger.standing.move(
        bench.placement("second"), S.ACTIVE, person=PERSON, reason="Good.", evidence="{}"
    )
    (bench.folder / "models" / "first" / "model.onnx").write_bytes(b"broken")
    case = bench.run(2)
    assert case.state is CaseState.DELIVERED
    assert models_of(bench, case) == ["second"]


def test_a_broken_model_that_nobody_replaces_is_looked_at_by_a_person(bench: Bench) -> None:
    (bench.folder / "models" / "first" / "model.onnx").write_bytes(b"broken")
    case = bench.run(1)
    assert (case.state, case.code) == (CaseState.QUARANTINED, "model-changed")


# --- a model that moves while a case is under way


def halfway(bench: Bench, line: Line, *stages: Stage) -> Case:
    """Return a case that has gone through some stages, as an attempt that is still running."""
    case = bench.admit(1)
    for stage in stages:
        assert settle(stage, case.case_id, 0, line=line) == CaseState.RUNNING
    return case


def test_what_was_predicted_before_a_suspension_is_not_told(bench: Bench) -> None:
    line = bench.line()
    case = halfway(bench, line, accept, predict)
    send(bench, "first", S.SUSPENDED)
    after = bench.go_on(case, line)
    assert (after.state, after.code) == (CaseState.REFUSED, "model-suspended")
    (root,) = bench.delivered()
    assert WHY in root


def test_images_that_were_answered_before_a_suspension_are_not_told_either(bench: Bench) -> None:
    write_image_package(bench.folder / "models" / "first")
    path = bench.folder / "pipelines" / "brain.toml"
    toml = path.read_text().replace('["MR"]', '["XC"]').replace('"basic"', '"photographs"')
    path.write_text(toml.replace('["second"]', "[]"))
    for index, red in enumerate((1.0, 0.2)):
        shot = make_shot(Shots(patient=patient(1), laterality="L"), skin(red=red), index)
        shot.save_as(bench.folder / "studies" / "1" / f"{index}.dcm", enforce_file_format=True)
    for slices in (bench.folder / "studies" / "1").glob("*.dcm"):
        if slices.stem not in {"0", "1"}:
            slices.unlink()
    line = bench.line()
    case = halfway(bench, line, accept, predict)
    (model,) = bench.ledger.standing.standing("brain").values()
    move(bench.ledger.standing, model.placement, S.SUSPENDED, person=PERSON, reason=WHY)
    after = bench.go_on(case, line)
    assert (after.state, after.code) == (CaseState.REFUSED, "model-suspended")
    (root,) = bench.delivered()
    assert WHY in root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ways", "code"),
    [
        ((S.SUSPENDED,), "model-suspended"),
        ((S.SHADOW,), "model-in-shadow"),
        ((S.RETIRED,), "model-in-shadow"),
    ],
)
def test_results_that_wait_for_the_pacs_do_not_leave_once_their_model_is_stopped(
    bench: Bench, ways: tuple[ModelState, ...], code: str
) -> None:
    line = bench.line()
    case = halfway(bench, line, accept, predict, write)
    send(bench, "first", *ways)
    waiting = bench.go_on(case, line)
    assert (waiting.state, waiting.code) == (CaseState.WAITING, "model-moved")
    after = bench.go_on(waiting, line)
    assert (after.state, after.code) == (CaseState.REFUSED, code)
    assert [one for one in bench.delivered() if "Grey" in one] == []


@pytest.mark.slow
@pytest.mark.parametrize("challengers", [(), ("second",)])
def test_results_of_a_suspended_model_do_not_leave_because_its_package_is_broken(
    bench: Bench, challengers: tuple[str, ...]
) -> None:
    bench.name_models("first", *challengers)
    line = bench.line()
    case = halfway(bench, line, accept, predict, write)
    send(bench, "first", S.SUSPENDED)
    (bench.folder / "models" / "first" / "model.toml").write_text("broken")
    restarted = replace(bench.line(), archive=line.archive)
    waiting = bench.go_on(case, restarted)
    assert (waiting.state, waiting.code) == (CaseState.WAITING, "model-moved")
    assert bench.go_on(waiting, restarted).state is CaseState.QUARANTINED
    assert bench.delivered() == []


def test_results_of_a_model_that_is_active_leave_though_its_package_is_broken(
    bench: Bench,
) -> None:
    line = bench.line()
    case = halfway(bench, line, accept, predict, write)
    (bench.folder / "models" / "first" / "model.toml").write_text("broken")
    after = bench.go_on(case, replace(bench.line(), archive=line.archive))
    assert after.state is CaseState.DELIVERED


@pytest.mark.slow
def test_a_swap_between_attempts_does_not_mix_two_models(bench: Bench) -> None:
    line = bench.line()
    case = halfway(bench, line, accept, predict, write)
    bench.ledger.standing.move(
        bench.placement("second"), S.ACTIVE, person=PERSON, reason="Better.", evidence="{}"
    )
    after = bench.go_on(bench.go_on(case, line), line)
    assert after.state is CaseState.DELIVERED
    second = {bench.placement("second").digest}
    assert bench.ledger.deliveries.models(case.case_id) == second
    assert len(bench.delivered()) == 2, "nothing of the first model has left"


def test_a_package_that_is_replaced_before_it_is_loaded_speaks_by_its_own_state(
    bench: Bench,
) -> None:
    line = bench.line()
    line.pipeline("brain")  # its states were asked for
    toml = TOML.replace('id = "brightness"', 'id = "first"').replace('"0.1"', '"0.2"')
    write_package(bench.folder / "models" / "first", toml=toml)
    waiting = bench.go_on(bench.admit(1), line)
    assert (waiting.state, waiting.code) == (CaseState.WAITING, "model-moved")
    after = bench.go_on(waiting, line)
    assert after.state is CaseState.DELIVERED
    versions = [one.placement.version for one in bench.ledger.standing.history("brain")]
    assert versions == ["0.1", "0.1", "0.1", "0.2"], "first, second, first steps down, the new one"


# --- two workers with different files


def test_workers_whose_files_differ_do_not_take_turns_and_the_second_says_so(bench: Bench) -> None:
    ours = bench.line()
    (pipeline,) = ours.pipelines
    enrol(pipeline, bench.ledger.standing, by=Serving(instance="1", name="edge"))
    bench.name_models("second", "first")
    theirs = bench.line()
    (other,) = theirs.pipelines
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            enrol(other, bench.ledger.standing, by=Serving(instance="2", name="edge"))
        assert caught.value.code == "pipeline-differs"
        for line in (theirs, ours):
            line.pipeline("brain")
            assert bench.states() == {"first": S.ACTIVE, "second": S.SHADOW}
    bench.ledger.standing.end_serving("1")
    enrol(other, bench.ledger.standing, by=Serving(instance="2", name="edge"))
    assert bench.states() == {"first": S.SHADOW, "second": S.ACTIVE}


# --- memory


def test_a_case_waits_while_memory_is_short_and_the_worker_goes_on(bench: Bench) -> None:
    folder = bench.folder / "models" / "first"
    sample = Sample(device="cpu", batch=2, voxels=1, peak_bytes=1000, seconds=1)
    write_note(folder, load_package(folder).digest, (sample,))
    appliance, free = bench.appliance, [0]
    admission = Admission(room_of=lambda _: Room(lambda: free[0], total=5000))
    (pipeline,) = appliance.pipelines
    made = make_ready(appliance.settings, pipeline, Reports(), admission=admission)
    line = replace(bench.line(), pipelines=(made,))
    waiting = bench.go_on(bench.admit(1), line)
    assert (waiting.state, waiting.code) == (CaseState.WAITING, "memory-short")
    assert "0.00 GB are free" in waiting.reason
    free[0] = 5000
    assert bench.go_on(waiting, line).state is CaseState.DELIVERED


# --- who may decide


@pytest.mark.parametrize(
    ("person", "reason", "code"),
    [
        ("", "why", "person-unnamed"),
        ("  ", "why", "person-unnamed"),
        ("Configuration", "why", "person-reserved"),
        (" stop rule", "why", "person-reserved"),
        ("Stop-Rule", "why", "person-reserved"),
        ("ＳＴＯＰ　ｒｕｌｅ", "why", "person-reserved"),
        ("A" * 65, "why", "person-unnamed"),
        (PERSON, " ", "reason-missing"),
    ],
)
def test_somebody_stands_for_a_move_and_says_why(
    bench: Bench, person: str, reason: str, code: str
) -> None:
    bench.line().pipeline("brain")
    with pytest.raises(ConfigError) as caught:
        move(
            bench.ledger.standing,
            bench.placement("first"),
            S.SUSPENDED,
            person=person,
            reason=reason,
        )
    assert caught.value.code == code
    assert bench.states()["first"] is S.ACTIVE
