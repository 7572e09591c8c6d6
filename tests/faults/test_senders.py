"""A sender errs, or what it sends does.

While it does a study of another sender comes in and is delivered.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from factories import Stack, make_datasets
from faults.bench import NOT_HELD_UP, Outcome
from faults.peers import STEADY, Here, light_study, site_with
from model_packages import known_labels, volume_of
from pydicom import dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import MRImageStorage
from servers import send_datasets, wait_for
from sites import CASE_SECONDS, ours_in, patient, pipeline_toml, study_handle

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydicom.dataset import Dataset

pytestmark = [pytest.mark.servers, pytest.mark.faults]
MAIN = "main"
"""The pipeline of the studies with which something is wrong; others are for `STEADY`."""
COUNTED = pipeline_toml(
    "counted", 'expected_from = "pacs"', description='"^counted$"', quiet_seconds="0"
)
WAITING = pipeline_toml(MAIN, description=f'"^{MAIN}$"', quiet_seconds="1")
"""What the worker finds while a study comes waits, and the whole takes its place."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    pipelines = {"counted": COUNTED, MAIN: WAITING}
    with site_with(tmp_path_factory.mktemp("senders"), {}, pipelines) as here:
        yield here


def _only_delivered(here: Here, study_id: str) -> None:
    here.await_quiet(study_id)
    last = here.site.cases(study_id)[-1]
    (results,) = {len(here.site.ledger.deliveries.results(last.case_id))}
    assert results == 3


def test_a_sender_that_stops_halfway_and_comes_back(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    datasets = here.study("counted")
    half = len(datasets) // 2
    send_datasets(datasets, here.site.pacs)
    association = _associated(here, "MODALITY")
    for ds in datasets[:half]:
        association.send_c_store(ds)
    association.abort()
    study_id = study_handle(datasets[0])
    here.await_told(study_id, f"{half} of the {len(datasets)} instances that the PACS reports")
    other = here.await_beside(study_id)
    here.site.send(datasets)
    _only_delivered(here, study_id)
    found = here.account([study_id, other])
    told(
        found.outcome(
            fault="A sender aborts after half of a study, and sends all of it later",
            where="the pipeline asks the PACS how many images there are",
            others=NOT_HELD_UP,
            note="the case waits (`study-incomplete`) and takes the whole",
        )
    )


def test_a_sender_that_stops_halfway_where_nobody_can_be_asked(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    datasets = here.study(MAIN)
    study_id = here.site.send(datasets[: len(datasets) // 2])
    here.site.await_case(study_id, CaseState.DELIVERED, CaseState.REFUSED)
    half = here.site.cases(study_id)[-1]
    other = here.send(STEADY)
    here.await_quiet(other)
    here.site.send(datasets)
    wait_for(
        lambda: here.site.cases(study_id)[-1].case_id != half.case_id,
        "the whole is a new case",
        CASE_SECONDS,
    )
    _only_delivered(here, study_id)
    assert here.site.ledger.cases.is_superseded(half.case_id)
    told(
        here.account([study_id, other]).outcome(
            fault="A sender stops after half of a study, and sends all of it when the half is reported",
            where="the pipeline waits for a quiet time only",
            others=NOT_HELD_UP,
            note="a new case on the whole supersedes the half's, and its results name those",
        )
    )


def test_the_same_study_five_times_at_once(here: Here, told: Callable[[Outcome], None]) -> None:
    number = next(here.numbers)
    with ThreadPoolExecutor(6) as senders:
        beside = senders.submit(here.send, STEADY)
        # Each has datasets of its own: pynetdicom writes into what it sends.
        studies = [light_study(number, MAIN) for _ in range(5)]
        (study_id,) = set(senders.map(here.site.send, studies))
    other = beside.result()
    here.await_quiet(study_id, other)
    told(
        here.account([study_id, other]).outcome(
            fault="The same study is sent five times at once",
            where="on five associations",
            others=NOT_HELD_UP,
            note="one case on the whole, whatever came first",
        )
    )


def test_four_studies_interleaved_and_out_of_order(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    studies = [here.study(MAIN) for _ in range(4)]
    slices = [ds for number in range(len(studies[0])) for ds in (s[number] for s in studies)]
    slices.sort(key=lambda ds: hash((ds.InstanceNumber * 7) % 5))
    with ThreadPoolExecutor(5) as senders:
        beside = senders.submit(here.send, STEADY)
        parts = [slices[number::4] for number in range(4)]
        list(senders.map(lambda part: send_datasets(part, here.site.orthanc), parts))
    ids = [beside.result(), *(study_handle(study[0]) for study in studies)]
    here.await_quiet(*ids)
    told(
        here.account(ids).outcome(
            fault="Slices of four studies come interleaved and out of order",
            where="on four associations",
            others=NOT_HELD_UP,
        )
    )


def test_one_study_instance_uid_under_two_patients(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    datasets = here.study(MAIN)
    first = here.site.send(datasets)
    here.await_quiet(first)
    for ds in datasets:
        ds.PatientID, ds.PatientName = f"{ds.PatientID}X", "Anden^Patient"
    second = here.site.send(datasets)
    case = here.site.await_case(second, CaseState.QUARANTINED)
    other = here.send(STEADY)
    here.site.await_case(other, CaseState.DELIVERED)
    assert case.code == "study-of-two-patients"
    assert ours_in(here.site.pacs, second) == {}, "nothing of it is in the PACS"
    # A person finds out that the first was wrong, deletes it, and runs the case again.
    here.site.orthanc.delete(f"/studies/{first}")
    here.site.ledger.cases.retry(case.case_id)
    here.await_quiet(second)
    for file in ours_in(here.site.pacs, second).values():
        assert str(dcmread(io.BytesIO(file)).PatientName) == "Anden^Patient"
    told(
        here.account([second, other]).outcome(
            fault="Two studies have one Study Instance UID and different patients",
            where="the second comes when the first is delivered",
            others=NOT_HELD_UP,
            note="the second is quarantined (`study-of-two-patients`) and nothing of it sent, until a "
            "person has deleted the wrong one",
        )
    )


def test_one_sop_instance_uid_with_other_content(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    datasets = here.study(MAIN)
    study_id = here.site.send(datasets)
    here.await_quiet(study_id)
    before = ours_in(here.site.pacs, study_id)
    for ds in datasets:
        ds.PixelData = bytes(len(ds.PixelData))
    here.site.send(datasets)
    other = here.send(STEADY)
    here.await_quiet(study_id, other)
    assert ours_in(here.site.pacs, study_id) == before
    told(
        here.account([study_id, other]).outcome(
            fault="A study comes again with the same SOP Instance UIDs and other pixels",
            where="when the first is delivered",
            others=NOT_HELD_UP,
            note="the first copy stays, in Orthanc and in the results",
        )
    )


def test_a_sender_that_opens_a_hundred_associations(
    here: Here, told: Callable[[Outcome], None]
) -> None:
    associations = [_associated(here, f"MANY{number}") for number in range(100)]
    opened = sum(one.is_established for one in associations)
    other = here.send(STEADY)
    here.await_quiet(other)
    for one in associations:
        one.abort()
    assert opened == len(associations)
    told(
        here.account([other]).outcome(
            fault="A sender opens a hundred associations and sends nothing",
            where="at Orthanc's port",
            others=NOT_HELD_UP,
        )
    )


def test_images_that_come_after_the_result(here: Here, told: Callable[[Outcome], None]) -> None:
    number = next(here.numbers)
    stack = Stack(patient=patient(number), description=MAIN)
    voxels = volume_of(known_labels()).voxels
    datasets = make_datasets(stack, voxels)
    study_id = here.site.send(datasets[:-1])
    first = here.site.await_case(study_id, CaseState.DELIVERED)
    here.site.send(datasets[-1:])
    other = here.send(STEADY)
    wait_for(
        lambda: here.site.cases(study_id)[-1].case_id != first.case_id,
        "the late image makes a new case",
        CASE_SECONDS,
    )
    here.await_quiet(study_id, other)
    assert here.site.ledger.cases.is_superseded(first.case_id)
    told(
        here.account([study_id, other]).outcome(
            fault="An image comes when the study's result is delivered",
            where="one slice",
            others=NOT_HELD_UP,
            note="the first case is superseded; the new results name those that they replace",
        )
    )


@pytest.mark.parametrize("point", ["predicted", "half sent"])
def test_a_study_that_is_deleted_in_orthanc_while_it_runs(
    here: Here, point: str, told: Callable[[Outcome], None]
) -> None:
    holds = here.folder / "holds"
    (holds / point).touch()
    study_id = here.send(MAIN)
    sign = holds / f"{point}.held"
    wait_for(sign.exists, f"the case comes to {point}", CASE_SECONDS)
    here.site.orthanc.delete(f"/studies/{study_id}")
    other = here.send(STEADY)
    here.site.await_case(other, CaseState.DELIVERED)
    sign.unlink()
    wait_for(
        lambda: all(case.state.is_end for case in here.site.cases(study_id)),
        "the case ends",
        CASE_SECONDS,
    )
    told(
        here.account([study_id, other]).outcome(
            fault="A study is deleted in Orthanc while its case runs",
            where={"predicted": "as its prediction is logged", "half sent": "between two objects"}[
                point
            ],
            others=NOT_HELD_UP,
            note=f"`{here.site.cases(study_id)[-1].code or 'delivered: all was read before'}`",
        )
    )


def test_our_own_results_come_back(here: Here, told: Callable[[Outcome], None]) -> None:
    study_id = here.send(MAIN)
    here.await_quiet(study_id)
    cases, results = here.site.cases(study_id), _results(here, study_id)
    _resend(here, results)
    # And of a study that Orthanc no longer has.
    gone = here.send(MAIN)
    here.await_quiet(gone)
    before = [one.case_id for one in here.site.cases(gone)]
    alone = _results(here, gone)
    here.site.orthanc.delete(f"/studies/{gone}")
    _resend(here, alone)
    other = here.send(STEADY)
    here.await_quiet(study_id, gone, other)
    assert here.site.cases(study_id) == cases, "no new case of what we wrote"
    assert [one.case_id for one in here.site.cases(gone)] == before
    told(
        here.account([study_id, gone, other]).outcome(
            fault="The PACS sends our own results back to us",
            where="with the study in Orthanc, and without",
            others=NOT_HELD_UP,
            note="no case is made of them",
        )
    )


def test_results_of_another_ai(here: Here, told: Callable[[Outcome], None]) -> None:
    study_id = here.send(MAIN)
    here.await_quiet(study_id)
    before = [one.case_id for one in here.site.cases(study_id)]
    foreign = _results(here, study_id)
    for ds in foreign:
        ds.Manufacturer = "Another AI"
        ds.SeriesInstanceUID, ds.SOPInstanceUID = generate_uid(), generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    send_datasets(foreign, here.site.orthanc)
    other = here.send(STEADY)
    here.await_quiet(study_id, other)
    assert [one.case_id for one in here.site.cases(study_id)] == before
    told(
        here.account([study_id, other]).outcome(
            fault="Results of another AI come into a study that we have reported on",
            where="SEG and SR",
            others=NOT_HELD_UP,
            note="the case stays as it is",
        )
    )


def _associated(here: Here, calling: str):  # noqa: ANN202 - pynetdicom has no types
    ae = AE(calling)
    ae.connection_timeout = ae.acse_timeout = 2
    ae.add_requested_context(MRImageStorage)
    return ae.associate("127.0.0.1", here.site.orthanc.dicom_port, ae_title="CLICEDGE")


def _results(here: Here, study_id: str) -> list[Dataset]:
    return [dcmread(io.BytesIO(file)) for file in ours_in(here.site.pacs, study_id).values()]


def _resend(here: Here, results: Sequence[Dataset]) -> None:
    assert results
    send_datasets(results, here.site.orthanc)
    study_id = study_handle(results[0])
    wait_for(
        lambda: bool(here.site.orthanc.get(f"/studies/{study_id}")["IsStable"]),  # type: ignore[index] # JSON
        "Orthanc finds the study stable",
        CASE_SECONDS,
    )
