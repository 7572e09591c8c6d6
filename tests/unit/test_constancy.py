"""Constancy: what is made, how it is compared, when it is due, and that it meets no patient."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from lines import STUDY_ID, Shelf, a_ledger, a_pipeline, a_series, a_study
from sites import ROOT

from clic_edge.config import Settings
from clic_edge.config.protocol import Protocol, load_protocols
from clic_edge.constancy.chain import Chain
from clic_edge.constancy.comparing import changed, compare, judge, same_model
from clic_edge.constancy.night import Night
from clic_edge.constancy.phantoms import Stack, stacks
from clic_edge.constancy.schedule import is_due
from clic_edge.constancy.studies import make_study
from clic_edge.deid import deidentify
from clic_edge.deid.keys import DeidKey
from clic_edge.deid.profile import load_profile
from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import (
    Announced,
    Component,
    Measured,
    Outcome,
    Record,
    Run,
    Verdict,
    constancy_pipeline,
)
from clic_edge.domain.monitoring import Severity
from clic_edge.domain.standing import Placement
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import ConfigError
from clic_edge.pacs.phantoms import PhantomShelf, handle_of
from clic_edge.pacs.rest import OrthancPeer
from clic_edge.pipeline.clock import last_moment
from clic_edge.pipeline.intake import intake
from clic_edge.results.readback import outline_of, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clic_edge.domain.volume import Volume
    from clic_edge.ledger import Ledger

HIPPOCAMPUS = ROOT / "models" / "hippocampus"
BODY = {"centre": [2, 3, 4], "radii": [1.5, 2, 3], "value": 400.0}
PHANTOM = {"modality": "MR", "shape": [6, 8, 10], "background": 100.0, "noise": 5, "bodies": [BODY]}
COPENHAGEN = ZoneInfo("Europe/Copenhagen")
NIGHT = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def protocol(*cases: dict[str, object]) -> Protocol:
    made = {
        "name": "phantoms",
        "version": 1,
        "pipeline": "brain",
        "responsible": "Physics",
        "cases": cases or ({"name": "body", "phantom": PHANTOM},),
    }
    return Protocol.model_validate_json(json.dumps(made))


PERTURBED = protocol(
    {"name": "sealed", "sealed": "icbm152-left"},
    {"name": "body", "phantom": PHANTOM},
    *(
        {"name": one, "like": "body", "perturb": one, "expect": "like"}
        for one in ("turned", "mirrored", "thicker", "other-part", "noisier")
    ),
)


def volume_of(stack: Stack) -> Volume:
    """Return what the line's own reader makes of a phantom, cleaned as a patient's images are."""
    study = make_study(stack, protocol="phantoms", case="body", run_id="r")
    series = Series(
        study_instance_uid=study.study_instance_uid,
        series_instance_uid="",
        patient_id=study.patient_id,
        issuer_of_patient_id="",
        instances=tuple(Instance(content=one) for one in study.files),
    )
    profile = load_profile(ROOT / "configs" / "deid" / "basic.toml")
    pseudonym = DeidKey(b"k" * 32).pseudonym(study.patient_id, "")
    return build_volume(deidentify(series, profile, pseudonym), VolumePolicy())


# --- what is made


@pytest.fixture(scope="module")
def made() -> dict[str, Stack]:
    return dict(stacks(PERTURBED, HIPPOCAMPUS))


def test_the_same_protocol_makes_the_same_images(made: dict[str, Stack]) -> None:
    again = stacks(PERTURBED, HIPPOCAMPUS)
    for name, stack in made.items():
        assert np.array_equal(stack.voxels, again[name].voxels)
        assert np.array_equal(stack.affine, again[name].affine)


@pytest.mark.parametrize("name", ["sealed", "body", "turned", "mirrored", "noisier"])
def test_a_phantom_comes_out_of_the_chain_as_it_was_made(made: dict[str, Stack], name: str) -> None:
    stack, volume = made[name], volume_of(made[name])
    # The reader sorts slices along their normal, so corners are compared as places.
    there = volume.geometry.affine
    places = np.linalg.inv(there) @ stack.affine @ np.array([1, 2, 3, 1.0])
    k, i, j = np.rint(places[:3]).astype(int)
    assert np.allclose(places[:3], (k, i, j), atol=1e-3)
    slack = np.ptp(stack.voxels) / 30_000
    assert abs(float(volume.voxels[k, i, j]) - float(stack.voxels[1, 2, 3])) <= slack


def test_a_mirrored_phantom_lies_where_the_plain_one_lies(made: dict[str, Stack]) -> None:
    plain, mirrored = made["body"], made["mirrored"]
    assert np.allclose(plain.affine @ [1, 2, 3, 1], mirrored.affine @ [1, 2, 9 - 3, 1])
    assert plain.voxels[1, 2, 3] == mirrored.voxels[1, 2, 9 - 3]


def test_thicker_slices_are_half_as_many_and_twice_as_thick(made: dict[str, Stack]) -> None:
    thick = volume_of(made["thicker"])
    assert thick.geometry.shape == (3, 8, 10)
    assert thick.geometry.spacing_mm == pytest.approx((2, 1, 1))


def test_noise_is_a_tenth_of_the_images_own_spread(made: dict[str, Stack]) -> None:
    plain, noisier = made["body"].voxels, made["noisier"].voxels
    assert (noisier - plain).std() == pytest.approx(0.1 * plain.std(), rel=0.3)


def test_a_run_sends_its_own_studies_of_a_patient_that_nobody_can_be(
    made: dict[str, Stack],
) -> None:
    one, other = (
        make_study(made["body"], protocol="phantoms", case="body", run_id=run) for run in "ab"
    )
    assert one.patient_id == other.patient_id == "CLICEDGE-QA-phantoms"
    assert one.study_instance_uid != other.study_instance_uid


@pytest.mark.parametrize(
    ("case", "complaint"),
    [
        ({"name": "a"}, "should have one of"),
        ({"name": "a", "sealed": "b", "phantom": PHANTOM}, "should have one of"),
        ({"name": "a", "like": "b", "perturb": "turned"}, "names an earlier one"),
        ({"name": "a", "sealed": "b", "perturb": "turned"}, "go together"),
    ],
)
def test_a_case_that_makes_no_sense_is_no_case(case: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        protocol(case)


def test_a_protocol_is_called_as_its_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(
        'name = "one"\nversion = 1\npipeline = "brain"\nresponsible = "P"\n'
        '[[cases]]\nname = "a"\nsealed = "b"\n'
    )
    with pytest.raises(ConfigError, match=r"should be 'other'"):
        load_protocols(tmp_path)


def test_the_protocol_that_ships_can_be_made() -> None:
    (shipped,) = load_protocols(ROOT / "configs" / "constancy")
    assert stacks(shipped, HIPPOCAMPUS).keys() == {one.name for one in shipped.cases}
    assert {one.expect for one in shipped.cases} == {"recorded", "refused", "like"}


def test_a_sealed_volume_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no sealed volume gone.*icbm152-left"):
        stacks(protocol({"name": "a", "sealed": "gone"}), HIPPOCAMPUS)


# --- how it is compared


def outcome(*, voxels: Sequence[int] = (1, 1, 0, 0), volume: float = 2.0, **told: str) -> Outcome:
    mask = np.array(voxels, bool).reshape(2, 2)
    told = {"case": "body", "state": "delivered", "code": "", "device": "cpu"} | told
    return Outcome(
        **told,
        objects=("SEG", "SR"),
        measured=(
            Measured(name="Body Volume", value=volume, unit="mm3"),
            Measured(name="Body Probability", value=0.5, unit="1"),
        ),
        outlines=(outline_of("Body", (2, 2), {"0,0,0": mask}),),
        seconds=1.0,
    )


def record(*outcomes: Outcome, model: str = "d") -> Record:
    return Record(
        protocol="phantoms",
        version=1,
        protocol_digest="p",
        pipeline="brain",
        model_id="m",
        model_version="1",
        model_digest=model,
        at=NIGHT,
        person="A. Jensen",
        device="cpu",
        environment=(Component(name="onnxruntime", value="1"), Component(name="gpu", value="x")),
        outcomes=outcomes or (outcome(),),
    )


def failed(now: Outcome, before: Outcome | None = None) -> set[str]:
    compared = compare(protocol(), {"body": now}, record(before or outcome()))
    return {one.quantity for one in compared if not one.passed}


def test_on_a_cpu_nothing_may_differ() -> None:
    assert failed(outcome()) == set()
    assert failed(outcome(volume=2.0000001)) == {"Body Volume"}
    assert failed(outcome(voxels=(1, 0, 1, 0))) == {"Body Dice"}
    assert failed(outcome(state="refused", code="x")) == {"state"}


@pytest.mark.parametrize("device", ["cuda", "triton"])
def test_elsewhere_what_lies_within_the_tolerance_is_the_same(device: str) -> None:
    gpu = outcome(device=device)
    assert failed(replace(gpu, measured=outcome(volume=2.03).measured), gpu) == set()
    assert failed(replace(gpu, measured=outcome(volume=2.05).measured), gpu) == {"Body Volume"}
    assert failed(outcome(device=device, voxels=(1, 0, 0, 0)), gpu) == {"Body Dice"}


def test_a_number_that_is_gone_or_new_is_a_failure() -> None:
    (volume, probability) = outcome().measured
    assert failed(replace(outcome(), measured=(volume,))) == {"Body Probability"}
    more = (volume, probability, Measured(name="New", value=1.0, unit="mm"))
    assert failed(replace(outcome(), measured=more)) == {"New"}


def test_a_case_that_was_not_run_or_not_commissioned_fails() -> None:
    (one,) = compare(protocol(), {}, record())
    assert (one.quantity, one.passed) == ("state", False)
    assert failed(outcome(), outcome(case="another")) == {"state"}


def test_a_perturbed_case_is_held_against_the_one_that_it_is_like() -> None:
    asked = protocol(
        {"name": "body", "phantom": PHANTOM},
        {
            "name": "noisier",
            "like": "body",
            "perturb": "noisier",
            "expect": "like",
            "within": {"dice": 0.6, "relative": 0.1},
        },
    )
    close = outcome(case="noisier", volume=2.1, voxels=(1, 0, 0, 0))
    far = replace(close, measured=outcome(volume=3).measured)
    for noisier, passes in ((close, True), (far, False)):
        given = {"body": outcome(), "noisier": noisier}
        assert all(one.passed for one in judge(asked, given)) is passes


def test_a_perturbation_that_must_be_refused_and_is_not_fails() -> None:
    asked = protocol(
        {"name": "body", "phantom": PHANTOM},
        {"name": "turned", "like": "body", "perturb": "turned", "expect": "refused"},
    )
    for state, passes in (("refused", True), ("delivered", False), ("quarantined", False)):
        given = {"body": outcome(), "turned": outcome(case="turned", state=state, code="")}
        assert all(one.passed for one in judge(asked, given)) is passes


def test_a_model_is_not_commissioned_on_a_case_that_broke() -> None:
    given = {"body": outcome(state="quarantined", code="network-nan")}
    assert [one.quantity for one in judge(protocol(), given) if not one.passed] == ["state"]


def test_outlines_come_out_as_they_went_in() -> None:
    masks = {f"{k}": np.random.default_rng(k).random((3, 5)) > 0.5 for k in range(4)}
    back = unpacked(outline_of("a", (3, 5), masks))
    assert back.keys() == masks.keys()
    assert all(np.array_equal(back[one], masks[one]) for one in masks)
    assert unpacked(outline_of("none", (3, 5), {})) == {}


def test_another_model_and_another_machine_are_told() -> None:
    assert same_model(record(), "d").passed
    assert not same_model(record(), "e").passed
    now = (Component(name="onnxruntime", value="2"), Component(name="torch", value="1"))
    assert changed(record(), now) == (
        "gpu: x, now none",
        "onnxruntime: 1, now 2",
        "torch: none, now 1",
    )


# --- when it is due


def run(
    started_at: datetime, verdict: Verdict = Verdict.PASSED, record_id: str | None = "r"
) -> Run:
    return Run(
        run_id="r",
        protocol="phantoms",
        version=1,
        pipeline="brain",
        model_id="m",
        model_version="1",
        model_digest="d",
        record_id=record_id,
        started_at=started_at,
        started_by="schedule",
        verdict=verdict,
    )


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        ("2026-03-02T02:29+00:00", "2026-03-01T02:30+00:00"),
        ("2026-03-02T02:30+00:00", "2026-03-02T02:30+00:00"),
        # 03:30 is 01:30 UTC in summer.
        ("2026-07-02T01:31+00:00", "2026-07-02T01:30+00:00"),
        # Put forward from 02:00 to 03:00 on 29 March, back from 03:00 to 02:00 on 25 October.
        ("2026-03-29T01:30+00:00", "2026-03-29T01:30+00:00"),
        ("2026-10-25T02:30+00:00", "2026-10-25T02:30+00:00"),
    ],
)
def test_a_moment_follows_the_clock_on_the_wall(now: str, moment: str) -> None:
    found = last_moment("03:30", datetime.fromisoformat(now), COPENHAGEN)
    assert found == datetime.fromisoformat(moment)


def test_an_hour_that_is_not_there_comes_once_and_one_that_comes_twice_too() -> None:
    spring = datetime(2026, 3, 29, tzinfo=UTC)
    autumn = datetime(2026, 10, 25, tzinfo=UTC)
    for midnight in (spring, autumn):
        steps = [midnight + timedelta(minutes=10 * n) for n in range(60)]
        moments = {last_moment("02:30", now, COPENHAGEN) for now in steps}
        assert len(moments) == 2, "the day before's, and this one's"


def test_what_was_missed_is_made_up_for_once() -> None:
    assert is_due(NIGHT, [], interval_days=1)
    assert is_due(NIGHT, [run(NIGHT - 9 * DAY)], interval_days=1)
    assert not is_due(NIGHT, [run(NIGHT - 9 * DAY), run(NIGHT + DAY / 3)], interval_days=1)
    assert is_due(NIGHT + DAY, [run(NIGHT + DAY / 3)], interval_days=1)


def test_a_run_that_was_cut_off_is_run_once_more_and_no_third_time() -> None:
    cut = run(NIGHT, Verdict.INCOMPLETE)
    assert is_due(NIGHT, [cut], interval_days=1)
    assert not is_due(NIGHT, [cut, cut], interval_days=1)
    assert not is_due(NIGHT, [run(NIGHT, Verdict.FAILED)], interval_days=1)


def test_a_week_is_seven_nights_though_a_run_began_late() -> None:
    for late in (timedelta(0), DAY / 2):
        due = [is_due(NIGHT + n * DAY, [run(NIGHT + late)], interval_days=7) for n in range(1, 8)]
        assert due == [*[False] * 6, True]


def a_night(folder: Path, ledger: Ledger, *, at: str | None = "03:30") -> Night:
    """Return a night with two protocols, of which one is commissioned."""
    for name in ("phantoms", "uncommissioned"):
        (folder / f"{name}.toml").write_text(
            f'name = "{name}"\nversion = 1\npipeline = "brain"\nresponsible = "P"\n'
            '[[cases]]\nname = "a"\nsealed = "b"\n'
        )
    ledger.constancy.seal(record())
    chain = Chain(
        settings=Settings.model_validate({"constancy": {"protocols": str(folder), "at": at}}),
        pipelines=(),
        ledger=ledger,
        archive=Shelf(),
        shelf=PhantomShelf(OrthancPeer(url="http://127.0.0.1:1")),
    )
    return Night(chain, COPENHAGEN)


def test_a_night_runs_what_is_commissioned_and_due(tmp_path: Path) -> None:
    ledger = a_ledger()
    night = a_night(tmp_path, ledger)
    assert a_night(tmp_path, ledger, at=None).due(NIGHT) == []
    assert [one.name for one in night.due(NIGHT)] == ["phantoms"]

    ledger.constancy.begin(run(NIGHT, record_id=record().record_id))
    ledger.constancy.finish("r", Verdict.PASSED, at=NIGHT)
    assert night.due(NIGHT + DAY / 3) == []
    assert [one.name for one in night.due(NIGHT + DAY)] == ["phantoms"]


def test_a_machine_that_is_another_than_at_the_commissioning_is_an_alarm_once(
    tmp_path: Path,
) -> None:
    ledger = a_ledger()
    model = Placement(pipeline="brain", model_id="m", version="1", digest="d")
    ledger.standing.enrol(model, (), decides=True)
    night = a_night(tmp_path, ledger)

    for later in (NIGHT, NIGHT + DAY):
        night.look(later)
    (alarm,) = [one for one in ledger.monitoring.alarms() if one.chart == "environment phantoms"]
    assert alarm.severity is Severity.WARNING
    assert "gpu: x, now none" in alarm.sentence
    a_night(tmp_path, ledger).look(NIGHT)  # another worker, or this one after a restart
    assert len(ledger.monitoring.alarms(is_open=True)) == 1


def test_what_cannot_be_run_is_tried_once_a_night(tmp_path: Path) -> None:
    night = a_night(tmp_path, a_ledger())

    night.look(NIGHT)  # no model of the pipeline is active

    assert night.due(NIGHT + DAY / 3) == []
    assert [one.name for one in night.due(NIGHT + DAY)] == ["phantoms"]


def test_a_commissioning_is_no_check() -> None:
    assert is_due(NIGHT, [run(NIGHT + DAY / 9, record_id=None)], interval_days=1)


# --- phantoms and patients never meet


def test_a_phantom_is_routed_only_where_constancy_announced_it() -> None:
    pipelines = (a_pipeline("brain"), a_pipeline("other"))
    shelf, ledger = Shelf(), a_ledger()
    phantom = replace(a_series(), is_constancy=True)
    shelf.studies[STUDY_ID] = a_study(phantom)

    (unknown,) = intake(STUDY_ID, pipelines, archive=shelf, ledger=ledger)
    assert (unknown.state, unknown.code, unknown.pipeline) == (
        CaseState.REFUSED,
        "no-pipeline",
        "-",
    )

    name = constancy_pipeline("brain", "d" * 64)
    ledger.constancy.begin(replace(run(NIGHT), record_id=None))
    ledger.constancy.announce(
        Announced(study_id=STUDY_ID, run_id="r", case="body", pipeline=name, at=NIGHT)
    )
    (taken,) = intake(STUDY_ID, pipelines, archive=shelf, ledger=ledger)
    assert (taken.state, taken.pipeline) == (CaseState.RECEIVED, name)


def test_an_announcement_does_not_make_a_phantom_of_a_patient() -> None:
    shelf, ledger = Shelf(), a_ledger()
    shelf.studies[STUDY_ID] = a_study()
    ledger.constancy.begin(replace(run(NIGHT), record_id=None))
    name = constancy_pipeline("brain", "d" * 64)
    ledger.constancy.announce(
        Announced(study_id=STUDY_ID, run_id="r", case="body", pipeline=name, at=NIGHT)
    )

    (case,) = intake(STUDY_ID, (a_pipeline("brain"),), archive=shelf, ledger=ledger)

    assert case.pipeline == "brain"


def test_the_handle_of_a_study_is_known_before_it_is_sent() -> None:
    handle = handle_of("CLICEDGE-QA-x", "1.2.3")
    assert [len(part) for part in handle.split("-")] == [8] * 5
