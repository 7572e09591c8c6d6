"""A study becomes cases: the same study, in the same state, becomes the same cases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import STUDY_ID, Shelf, a_ledger, a_line, a_pipeline, a_series, a_study

from clic_edge.deid.page_key import PageKey
from clic_edge.domain.case import CaseState
from clic_edge.errors import Defect
from clic_edge.pipeline.delivery import deliver
from clic_edge.pipeline.intake import NO_PIPELINE, intake, propose
from clic_edge.pipeline.invitation import invitation, invited
from clic_edge.pipeline.reconcile import CURSOR, reconcile
from clic_edge.pipeline.stages import accept
from clic_edge.pipeline.supersession import superseded

if TYPE_CHECKING:
    from clic_edge.ledger import Ledger

PIPELINES = (a_pipeline("brain", description="T1"), a_pipeline("spine", description="spine"))


def test_each_pipeline_that_takes_a_series_gets_a_case_with_those_it_takes() -> None:
    study = a_study(
        a_series("one", description="T1 brain"),
        a_series("two", description="T1 spine"),
        a_series("three", description="T2"),
    )
    brain, spine = propose(study, PIPELINES)
    assert (brain.pipeline, brain.series_ids) == ("brain", ("one", "two"))
    assert (spine.pipeline, spine.series_ids) == ("spine", ("two",))
    assert brain.case_id != spine.case_id


def test_a_study_that_no_pipeline_takes_is_refused_with_the_reason_of_each() -> None:
    (refused,) = propose(a_study(a_series(description="T2 knee")), PIPELINES)
    assert (refused.pipeline, refused.code) == (NO_PIPELINE, "no-pipeline")
    assert "brain: 1 of 1 series: " in refused.reason
    assert "spine: 1 of 1 series: " in refused.reason
    assert "knee" not in refused.reason


def test_our_own_results_are_no_study_and_change_no_case() -> None:
    ours = a_series("ours", maker="clic-edge")
    assert propose(a_study(ours), PIPELINES) == ()
    assert propose(a_study(a_series(), ours), PIPELINES) == propose(a_study(), PIPELINES)


def test_a_series_that_is_not_taken_changes_no_case() -> None:
    other = a_series("other", description="T2")
    assert propose(a_study(a_series(), other), PIPELINES) == propose(a_study(), PIPELINES)


@settings(deadline=None, max_examples=30)
@given(order=st.permutations(range(4)), extra=st.integers(0, 3))
def test_a_case_is_named_by_its_instances_in_whatever_order_they_come(
    order: list[int], extra: int
) -> None:
    series = a_series(instances=4)
    shuffled = replace(series, instance_ids=tuple(series.instance_ids[i] for i in order))
    grown = a_series(instances=4 + extra)
    (as_it_is,), (as_shuffled,), (as_grown,) = (
        propose(a_study(one), PIPELINES) for one in (series, shuffled, grown)
    )
    assert as_shuffled.case_id == as_it_is.case_id
    assert (as_grown.case_id == as_it_is.case_id) == (extra == 0)


def _delivered(ledger: Ledger, shelf: Shelf, study_id: str = STUDY_ID) -> str:
    (case,) = intake(study_id, PIPELINES[:1], archive=shelf, ledger=ledger)
    begun = ledger.cases.begin(case.case_id, 0)
    assert begun is not None
    ledger.cases.close(begun, CaseState.DELIVERED)
    return case.case_id


def test_a_study_whose_patient_was_corrected_under_the_same_uids_is_a_new_case() -> None:
    ledger, shelf = a_ledger(), Shelf(studies={STUDY_ID: a_study()})
    old = _delivered(ledger, shelf)
    corrected = replace(a_series(), identity_digest="another name")
    shelf.studies[STUDY_ID] = a_study(corrected)
    (new,) = intake(STUDY_ID, PIPELINES[:1], archive=shelf, ledger=ledger)
    assert new.case_id != old
    assert ledger.cases.case(old).state is CaseState.SUPERSEDED


def test_a_study_that_lies_under_two_patients_changes_nothing_by_itself() -> None:
    ledger, shelf = a_ledger(), Shelf(studies={"wrong": a_study(study_id="wrong")})
    old = _delivered(ledger, shelf, "wrong")
    shelf.studies["right"] = a_study(study_id="right")
    intake("right", PIPELINES[:1], archive=shelf, ledger=ledger)
    assert ledger.cases.case(old).state is CaseState.DELIVERED  # it lies under both: a person knows


def test_nothing_of_a_study_that_lies_under_two_patients_leaves_until_one_is_deleted() -> None:
    shelf = Shelf(studies={"first": a_study(study_id="first")})
    line = a_line(PIPELINES[0], shelf=shelf)
    _delivered(line.ledger, shelf, "first")
    shelf.studies["second"] = a_study(study_id="second")
    (second,) = intake("second", PIPELINES[:1], archive=shelf, ledger=line.ledger)
    for stage in (accept, deliver):
        with pytest.raises(Defect) as caught:
            stage(line, second)
        assert caught.value.code == "study-of-two-patients"
    del shelf.studies["first"]
    accept(line, second)


def test_a_study_that_left_its_first_patient_is_a_new_case_in_its_place() -> None:
    ledger, shelf = a_ledger(), Shelf(studies={"wrong": a_study(study_id="wrong")})
    old = _delivered(ledger, shelf, "wrong")
    shelf.studies = {"right": a_study(study_id="right")}
    (new,) = intake("right", PIPELINES[:1], archive=shelf, ledger=ledger)
    assert ledger.cases.case(old).state is CaseState.SUPERSEDED
    assert new.state is CaseState.RECEIVED


def test_a_merge_that_is_undone_is_a_new_case_that_runs() -> None:
    ledger, shelf = a_ledger(), Shelf(studies={"right": a_study(study_id="right")})
    first = _delivered(ledger, shelf, "right")
    shelf.studies = {"wrong": a_study(study_id="wrong")}
    merged = _delivered(ledger, shelf, "wrong")
    shelf.studies = {"right": a_study(study_id="right")}
    (again,) = intake("right", PIPELINES[:1], archive=shelf, ledger=ledger)
    assert (again.case_id, again.state) == (f"{first}.2", CaseState.RECEIVED)
    assert ledger.cases.case(merged).state is CaseState.SUPERSEDED
    line = replace(a_line(PIPELINES[0], shelf=shelf), ledger=ledger)
    assert not superseded(line, again, shelf.study("right"))


def test_a_case_under_way_speaks_no_more_once_another_does_though_its_study_is_as_it_was() -> None:
    ledger, shelf = a_ledger(), Shelf(studies={STUDY_ID: a_study()})
    line = replace(a_line(PIPELINES[0], shelf=shelf), ledger=ledger)
    (first,) = intake(STUDY_ID, PIPELINES[:1], archive=shelf, ledger=ledger)
    running = ledger.cases.begin(first.case_id, 0)
    assert running
    assert not superseded(line, running, shelf.study(STUDY_ID))
    for instances in (3, 2):  # an image came, and was taken away again
        shelf.studies[STUDY_ID] = a_study(a_series(instances=instances))
        (again,) = intake(STUDY_ID, PIPELINES[:1], archive=shelf, ledger=ledger)
    assert again.case_id == f"{first.case_id}.2"
    assert superseded(line, running, shelf.study(STUDY_ID))
    states = {one.case_id: one.state for one in ledger.cases.of_study(STUDY_ID)}
    assert states[first.case_id] is CaseState.SUPERSEDED
    assert states[again.case_id] is CaseState.RECEIVED


@pytest.mark.parametrize("case_id", ["0a1b2c", "0a1b2c.2"])
def test_a_reader_is_invited_to_a_case_whatever_its_name(case_id: str) -> None:
    key = PageKey.of(a_line().key)
    assert invited(key, invitation(key, case_id)) == case_id


def test_two_studies_are_never_one_case() -> None:
    (one,), (other,) = (propose(a_study(study_id=name), PIPELINES) for name in ("one", "other"))
    assert one.case_id != other.case_id


def test_a_study_that_is_gone_or_empty_is_no_case() -> None:
    empty = replace(a_study(), series=())
    for shelf in (Shelf(), Shelf(studies={STUDY_ID: empty})):
        ledger = a_ledger()
        assert intake(STUDY_ID, PIPELINES, archive=shelf, ledger=ledger) == ()
        assert ledger.cases.all() == ()


def test_taking_a_study_in_twice_admits_it_once() -> None:
    ledger, shelf = a_ledger(), Shelf(studies={STUDY_ID: a_study()})
    (first,) = intake(STUDY_ID, PIPELINES, archive=shelf, ledger=ledger)
    (second,) = intake(STUDY_ID, PIPELINES, archive=shelf, ledger=ledger)
    assert first == second
    assert ledger.cases.all() == (first,)
    assert [event.action for event in ledger.records.audit(first.case_id)] == ["received"]


def test_somebody_who_asks_for_it_now_makes_a_known_case_urgent_once() -> None:
    ledger, shelf = a_ledger(), Shelf(studies={STUDY_ID: a_study()})
    (case,) = intake(STUDY_ID, PIPELINES, archive=shelf, ledger=ledger)
    assert not case.expedited
    (case,) = intake(STUDY_ID, PIPELINES, archive=shelf, ledger=ledger, expedited=True)
    assert case.expedited
    assert case.state is CaseState.RECEIVED
    assert len(ledger.cases.all()) == 1


def test_late_images_make_a_new_case_and_close_the_one_that_has_not_begun() -> None:
    ledger, shelf = a_ledger(), Shelf(studies={STUDY_ID: a_study()})
    (half,) = intake(STUDY_ID, PIPELINES, archive=shelf, ledger=ledger)
    shelf.studies[STUDY_ID] = a_study(a_series(instances=5))
    (whole,) = intake(STUDY_ID, PIPELINES, archive=shelf, ledger=ledger)
    assert whole.case_id != half.case_id
    assert ledger.cases.case(half.case_id).state is CaseState.SUPERSEDED
    assert whole.state is CaseState.RECEIVED


def test_a_study_that_a_pipeline_takes_after_all_is_refused_no_longer() -> None:
    ledger, shelf = a_ledger(), Shelf(studies={STUDY_ID: a_study(a_series(description="T2"))})
    (refused,) = intake(STUDY_ID, PIPELINES, archive=shelf, ledger=ledger)
    assert refused.state is CaseState.REFUSED
    shelf.studies[STUDY_ID] = a_study(a_series(description="T2"), a_series("late"))
    (case,) = intake(STUDY_ID, PIPELINES, archive=shelf, ledger=ledger)
    assert (case.pipeline, case.state) == ("brain", CaseState.RECEIVED)


def test_the_reconciler_takes_every_study_once_and_remembers_how_far_it_came() -> None:
    ledger = a_ledger()
    shelf = Shelf(studies={name: a_study(study_id=name) for name in ("one", "two", "three")})
    assert reconcile(PIPELINES, archive=shelf, ledger=ledger) == 3
    assert ledger.records.cursor(CURSOR) == 3
    assert reconcile(PIPELINES, archive=shelf, ledger=ledger) == 0
    assert sorted(case.study_id for case in ledger.cases.all()) == ["one", "three", "two"]
