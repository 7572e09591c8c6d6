"""Which results may teach, where their outlines lie, and what a package that learned more must prove."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import analysis_of
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_highdicom import plain_highdicom
from training_lessons import RECIPE, Quiet, write_boxes, write_lesson

from clic_edge.domain.assessment import ADDED, Assessment, Source, Verdict
from clic_edge.errors import ClicEdgeError, Defect
from clic_edge.inference.lineage import Part, read_lineage
from clic_edge.inference.package import load_package
from clic_edge.results.assessment import findings_in
from clic_edge.results.drawn import labels_of
from clic_edge.results.seg import SegWriter
from clic_edge.results.seg_labelmap import SegLabelmapWriter
from clic_edge.retraining.choosing import LeftOut, Lesson, judged
from clic_edge.training.cohort import CohortCase, TrainingCohort, Truth, write_cohort
from clic_edge.training.material import case_digest, read_material
from clic_edge.training.recipe import Described
from clic_edge.validation.folder import case_files, read_case, write_case

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from clic_edge.training.planning import Order, plan_training  # noqa: E402 - needs the extra
from clic_edge.training.retraining import Candidacy, plan_retraining  # noqa: E402 - as above
from clic_edge.training.train import Trained, train  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.dataset import Dataset

    from clic_edge.results.writer import Analysis
    from clic_edge.training.planning import Plan

pytestmark = pytest.mark.slow
A, M, R = Verdict.ACCEPTED, Verdict.MODIFIED, Verdict.REJECTED
PAGE, SEG = Source.PAGE, Source.SEGMENTATION
START = datetime(2026, 11, 1, tzinfo=UTC)
SEGMENTS = ("one", "two")


def said(
    *words: tuple[str, Verdict, Source] | tuple[str, Verdict, Source, str],
) -> list[Assessment]:
    """Return assessments in order; a SEG's has a Dice, 1 where it is the same."""
    return [
        Assessment(
            case_id="case",
            prediction_id="prediction",
            finding=finding,
            verdict=verdict,
            reason=None,
            reader=reader[0] if reader else "a",
            source=source,
            at=START + timedelta(minutes=number),
            dice=None if source is PAGE else 1.0 if verdict is A else 0.8,
        )
        for number, (finding, verdict, source, *reader) in enumerate(words)
    ]


EDIT = (("one", M, SEG), ("two", A, SEG))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), LeftOut.UNASSESSED),
        ((("one", A, PAGE), ("two", R, PAGE)), LeftOut.REJECTED),
        ((("one", M, SEG), ("two", R, SEG)), LeftOut.REJECTED),
        ((("one", M, PAGE), ("two", A, PAGE)), LeftOut.NOT_DRAWN),
        ((*EDIT, (ADDED, M, SEG)), LeftOut.ADDED),
        ((("one", M, SEG),), LeftOut.NOT_WHOLE),
        ((("one", A, PAGE),), LeftOut.NOT_WHOLE),
        ((("one", M, SEG), ("two", A, PAGE)), LeftOut.NOT_WHOLE),
        ((("one", A, PAGE), ("two", A, PAGE)), LeftOut.ACCEPTED_ONLY),
        ((("one", A, SEG), ("two", A, SEG)), LeftOut.ACCEPTED_ONLY),
        ((*EDIT, ("one", A, PAGE, "b")), LeftOut.DISAGREED),
        ((*EDIT, ("two", R, PAGE, "b")), LeftOut.DISAGREED),
        ((*EDIT, ("two", R, PAGE)), LeftOut.REJECTED),
    ],
)
def test_what_readers_left_open_teaches_nothing(words: tuple, reason: LeftOut) -> None:
    assert judged(said(*words), SEGMENTS, accepted_masks=False) is reason


def test_a_readers_edit_teaches_and_an_accepted_mask_only_where_the_site_says_so() -> None:
    edited = judged(said(*EDIT), SEGMENTS, accepted_masks=False)
    assert edited == Lesson(drawn={"one": 0.8, "two": 1.0}, accepted=frozenset())
    both = said(("one", A, PAGE), ("two", A, PAGE))
    taken = judged(both, SEGMENTS, accepted_masks=True)
    assert taken == Lesson(drawn={}, accepted=frozenset(SEGMENTS))
    half = said(("one", M, SEG), ("two", A, PAGE))
    assert judged(half, SEGMENTS, accepted_masks=True) == Lesson(
        drawn={"one": 0.8}, accepted=frozenset({"two"})
    )
    changed_mind = said(("one", R, PAGE), *EDIT)
    assert judged(changed_mind, SEGMENTS, accepted_masks=False) == edited, "the last word counts"


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(SEGMENTS), st.sampled_from(Verdict), st.sampled_from([PAGE, SEG])
        ),
        max_size=5,
    )
)
def test_only_what_was_drawn_is_truth_while_accepted_masks_are_not(words: list) -> None:
    found = judged(said(*words), SEGMENTS, accepted_masks=False)
    if isinstance(found, Lesson):
        assert not found.accepted
        assert found.drawn.keys() == set(SEGMENTS)
        last = {finding: (verdict, source) for finding, verdict, source in words}
        assert all(source is SEG for _, source in last.values())
        assert M in {verdict for verdict, _ in last.values()}


# --- outlines


def dataset(analysis: Analysis, writer: type[SegWriter | SegLabelmapWriter] = SegWriter) -> Dataset:
    (result,) = writer().write(analysis, ())
    return pydicom.dcmread(io.BytesIO(result.content))


def labels(theirs: Dataset, ours: Dataset, analysis: Analysis) -> np.ndarray:
    by_name = {one.definition.name: one.definition.number for one in analysis.prediction.segments}
    numbers = {one.tracking_uid: by_name[one.name] for one in findings_in(ours)}
    found, told = labels_of(theirs, ours, analysis.prediction.geometry, numbers=numbers)
    assert set(np.unique(found)) - {0} <= told
    return found


@pytest.mark.parametrize("form", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("writer", [SegWriter, SegLabelmapWriter])
def test_an_edit_lies_on_the_volume_voxel_for_voxel(
    writer: type[SegWriter | SegLabelmapWriter], form: str
) -> None:
    analysis = analysis_of()
    ours = dataset(analysis, writer)
    assert np.array_equal(labels(ours, ours, analysis), analysis.prediction.label_map)
    after = np.array(analysis.prediction.label_map)
    after[:, :4][after[:, :4] == 1] = 0
    after[0, -1, -1] = 2
    theirs = plain_highdicom(analysis_of(analysis.series, mask=after), form)
    assert np.array_equal(labels(theirs, ours, analysis), after)


def fails(code: str, action: Callable[[], object]) -> str:
    with pytest.raises(ClicEdgeError) as error:
        action()
    assert error.value.code == code
    return error.value.sentence


def test_an_edit_that_lies_elsewhere_or_holds_more_is_no_truth() -> None:
    analysis = analysis_of()
    ours = dataset(analysis)
    moved = plain_highdicom(analysis)
    for frame in moved.PerFrameFunctionalGroupsSequence:
        x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
        frame.PlanePositionSequence[0].ImagePositionPatient = [x, y, float(z) + 0.5]
    fails("edited-elsewhere", lambda: labels(moved, ours, analysis))
    other_frame = plain_highdicom(analysis)
    other_frame.FrameOfReferenceUID = "2.25.1"
    fails("edited-elsewhere", lambda: labels(other_frame, ours, analysis))
    unknown = plain_highdicom(analysis)
    unknown.SegmentSequence[1].SegmentLabel = "Something else"
    fails("edited-unknown", lambda: labels(unknown, ours, analysis))
    twice = plain_highdicom(analysis)
    for frame in twice.PerFrameFunctionalGroupsSequence:
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 2:
            frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 3
    twice.SegmentSequence[2].SegmentLabel = twice.SegmentSequence[1].SegmentLabel
    whole = analysis.prediction.label_map
    assert (labels(twice, ours, analysis) == 2).sum() == ((whole == 2) | (whole == 3)).sum()
    doubled = plain_highdicom(analysis)
    frames = doubled.PerFrameFunctionalGroupsSequence
    frames[1].SegmentIdentificationSequence = frames[-1].SegmentIdentificationSequence
    frames[1].PlanePositionSequence = frames[0].PlanePositionSequence
    doubled.PixelData = b"\xff" * len(doubled.PixelData)
    fails("edited-overlapping", lambda: labels(doubled, ours, analysis))


def test_a_written_case_is_read_as_it_was(tmp_path: Path) -> None:
    case = read_case(write_boxes(tmp_path / "a", "a"), "a", modality="MR")
    for folder in (tmp_path / "b", tmp_path / "c"):
        write_case(folder, case)
    again = read_case(tmp_path / "b", "a", modality="MR")
    assert np.array_equal(again.volume.voxels, case.volume.voxels)
    assert np.array_equal(again.reference, case.reference)
    assert np.allclose(again.volume.geometry.affine, case.volume.geometry.affine)
    assert case_digest(*case_files(tmp_path / "b", "a")) == case_digest(
        *case_files(tmp_path / "c", "a")
    )


# --- learning more


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("first")
    package = write_lesson(folder / "brightness", recipe=RECIPE.replace("epochs = 4", "epochs = 8"))
    data = write_boxes(folder / "data")
    plan = plan_training(Order(package=package, data=data, out=folder))
    return train(plan, Quiet(), resume=False)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cohort of five cases of three subjects."""
    folder = write_boxes(tmp_path_factory.mktemp("cohort"), "vwxyz")
    cases = tuple(
        CohortCase(
            name=name,
            subject=f"CE-{'AABBC'[number]}",
            series_uid=f"2.25.{number}",
            truth=Truth.EDITED,
            model_version="0.2.0",
            digest=case_digest(*case_files(folder, name)),
        )
        for number, name in enumerate("vwxyz")
    )
    write_cohort(
        folder,
        TrainingCohort(
            software="clic-edge",
            model_id="brightness",
            profile="research",
            key_id="ab",
            certificate="cd" * 32,
            accepted_masks=False,
            left_out={"rejected": 2},
            cases=cases,
        ),
    )
    return folder


def planned(trained: Trained, cohort: Path, out: Path, **more: Path) -> Plan:
    order = Order(package=trained.package, data=cohort, out=out)
    return plan_retraining(order, **more)


def original_of(trained: Trained) -> Path:
    return trained.run.parents[1] / "data"


def test_a_package_learns_more_and_says_from_what(
    trained: Trained, cohort: Path, tmp_path: Path
) -> None:
    plan = planned(trained, cohort, tmp_path, original=original_of(trained))
    parent = load_package(trained.package)
    candidacy = Candidacy(parent=parent, margin=0.5)
    done = train(plan, Quiet(), resume=False, accept=candidacy)
    declared = load_package(done.package).declaration
    assert declared.version == "0.2.1"
    lineage = read_lineage(done.package)
    assert lineage
    assert (lineage.parent.weights, lineage.parent.digest) == ("onnx", parent.digest)
    new, old = lineage.data
    assert new.certificate == "cd" * 32
    assert new.manifest
    assert old.count(Part.REPLAYED) == len(plan.replayed) > 0
    assert old.count(Part.TRAIN) == 0
    assert new.count(Part.TRAIN) + new.count(Part.STOPPING) + new.count(Part.HELD_OUT) == 5
    assert "trained further, from the ONNX weights of" in lineage.words()[0][1]
    compared = json.loads((done.run / "against-parent.json").read_text())
    assert compared["against"]["model"]["digest"] == parent.digest
    assert compared["n"] == new.count(Part.HELD_OUT) + old.count(Part.HELD_OUT)
    held_out = {one.name for one in plan.parts.held_out}
    before, after = (
        set(json.loads((one.package / "split.json").read_text())["train"])
        for one in (trained, done)
    )
    assert not held_out & before, "what the parent learned from measures nothing"
    assert before < after, "what it learned from measures no child of it"
    assert not held_out & after
    assert [one.name for one in declared.training] == ["Boxes", "unnamed"]
    learned = new.count(Part.TRAIN) + new.count(Part.STOPPING)
    assert [one.cases for one in declared.training] == [8, learned]


def test_it_begins_as_its_parent(trained: Trained, cohort: Path, tmp_path: Path) -> None:
    onnx = planned(trained, cohort, tmp_path)
    checkpoint = planned(trained, cohort, tmp_path, checkpoint=trained.run / "checkpoint.pt")
    assert onnx.start.weights
    assert checkpoint.start.weights
    assert (onnx.start.kind, checkpoint.start.kind) == ("onnx", "checkpoint")
    for name, weights in onnx.start.weights.items():
        assert torch.allclose(weights, checkpoint.start.weights[name], atol=1e-6), name
    assert onnx.run.name != checkpoint.run.name


def test_a_checkpoint_of_another_run_is_not_the_parent(
    trained: Trained, cohort: Path, tmp_path: Path
) -> None:
    other = Order(
        package=trained.package, data=original_of(trained), out=tmp_path, seed=9, epochs=1
    )
    done = train(plan_training(other), Quiet(), resume=False)
    fails(
        "export-differs",
        lambda: planned(trained, cohort, tmp_path, checkpoint=done.run / "checkpoint.pt"),
    )


def test_one_that_is_worse_is_no_candidate(trained: Trained, cohort: Path, tmp_path: Path) -> None:
    plan = planned(trained, cohort, tmp_path)
    strict = Candidacy(parent=load_package(trained.package), margin=-2)
    sentence = fails("candidate-worse", lambda: train(plan, Quiet(), resume=False, accept=strict))
    assert "margin" in sentence
    assert not list(tmp_path.glob("brightness-*")), "it gets no place"
    assert (plan.run.folder / "candidate" / "model.onnx").exists(), "and can be looked at"


def test_a_case_that_is_held_out_is_not_learned_from_under_another_name(
    trained: Trained, tmp_path: Path
) -> None:
    copied = tmp_path / "data"
    for name in "abcdefghij":
        case = read_case(original_of(trained), name, modality="MR")
        write_case(copied, replace(case, name=f"{name}2"))
        write_case(copied, case)
    order = Order(package=trained.package, data=copied, out=tmp_path)
    assert "under another name" in fails("training-split", lambda: plan_training(order))


def test_too_few_cases_teach_nothing(cohort: Path, tmp_path: Path) -> None:
    few = write_lesson(tmp_path / "p", recipe=RECIPE.replace("least_cases = 2", "least_cases = 9"))
    order = Order(package=few, data=cohort, out=tmp_path)
    assert "5 cases" in fails("retraining-too-few", lambda: plan_retraining(order))


def test_a_cohort_whose_labels_were_touched_is_not_learned_from(tmp_path: Path) -> None:
    folder = write_boxes(tmp_path, "a")
    cohort = TrainingCohort(
        software="clic-edge",
        model_id="m",
        profile="research",
        key_id="ab",
        certificate="cd" * 32,
        accepted_masks=False,
        left_out={},
        cases=(
            CohortCase(
                name="a",
                subject="CE-A",
                series_uid="2.25.1",
                truth=Truth.EDITED,
                model_version="1",
                digest=case_digest(*case_files(folder, "a")),
            ),
        ),
    )
    write_cohort(folder, cohort)
    assert read_material(folder, Described()).cases[0].subject == "CE-A"
    write_boxes(folder, "ab")
    with pytest.raises(Defect, match="cohort-changed"):
        read_material(folder, Described())
    (folder / "cohort.json").write_text("{}")
    fails("cohort-unreadable", lambda: read_material(folder, Described()))
