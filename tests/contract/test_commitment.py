"""Whether a PACS holds what it accepted: storage commitment, C-FIND, QIDO-RS."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING

import pytest
from factories import CANARY, Patient
from faulty_pacs import AE_TITLE, Commitment, Fault, FaultyPacs, answering_http, faulty_pacs
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from results_in_code import make_result, make_results
from servers import (
    START_SECONDS,
    OrthancOptions,
    OrthancServer,
    free_port,
    orthanc_server,
    wait_for,
)

from clic_edge.domain.confirmation import Confirmation, Proof, is_proven
from clic_edge.domain.result import Receipt, ResultKind
from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs.association import associated, listen
from clic_edge.pacs.commitment import (
    CONTEXTS,
    CommitmentTerms,
    CommitmentWitness,
    Report,
    Reports,
    listening,
)
from clic_edge.pacs.dicomweb import DicomwebDestination, DicomwebPeer, DicomwebWitness
from clic_edge.pacs.dimse import DimseDestination, DimsePeer, DimseWitness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pynetdicom.evt import Event

    from clic_edge.pacs.transport import Destination, Witness

pytestmark = pytest.mark.servers
STUDY = Patient().study_instance_uid
SEG, SR = make_results()
BOTH = (SEG, SR)
SAME = CommitmentTerms(same_association=True, listens=False, timeout_s=60)
OWN = CommitmentTerms(same_association=False, listens=True, timeout_s=60)
HASTY = CommitmentTerms(same_association=False, listens=True, timeout_s=0.1)


def _peer(pacs: FaultyPacs) -> DimsePeer:
    return DimsePeer(host="127.0.0.1", port=pacs.port, called_ae_title=AE_TITLE, timeout_s=60)


def _orthanc_peer(server: OrthancServer) -> DimsePeer:
    return DimsePeer(
        host="127.0.0.1", port=server.dicom_port, called_ae_title=server.ae_title, timeout_s=60
    )


def _witness(pacs: FaultyPacs, terms: CommitmentTerms, reports: Reports) -> CommitmentWitness:
    return CommitmentWitness("pacs", _peer(pacs), terms=terms, reports=reports)


def _says(confirmations: Sequence[Confirmation]) -> list[tuple[bool, str]]:
    return [(one.held, one.status) for one in confirmations]


@contextmanager
def _pacs_with_both(fault: Fault) -> Iterator[FaultyPacs]:
    with faulty_pacs(fault) as pacs:
        receipts = DimseDestination("pacs", _peer(pacs)).deliver(BOTH)
        assert all(receipt.accepted for receipt in receipts)
        yield pacs


# --- every witness


@contextmanager
def _orthanc_that_commits() -> Iterator[tuple[Destination, Witness, OrthancServer]]:
    port, reports = free_port(), Reports()
    ours = {"AET": "CLICEDGE", "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
    options = OrthancOptions(ae_title="PACS", configuration={"DicomModalities": {"edge": ours}})
    with orthanc_server(options) as server, listening(port, reports):
        peer = _orthanc_peer(server)
        witness = CommitmentWitness("pacs", peer, terms=OWN, reports=reports)
        yield DimseDestination("pacs", peer), witness, server


@contextmanager
def _orthanc_by_c_find() -> Iterator[tuple[Destination, Witness, OrthancServer]]:
    with orthanc_server() as server:
        peer = _orthanc_peer(server)
        yield DimseDestination("pacs", peer), DimseWitness("pacs", peer), server


@contextmanager
def _orthanc_by_qido_rs() -> Iterator[tuple[Destination, Witness, OrthancServer]]:
    with orthanc_server() as server:
        peer = DicomwebPeer(url=f"{server.url}/dicom-web", timeout_s=60)
        yield DicomwebDestination("pacs", peer), DicomwebWitness("pacs", peer), server


@pytest.mark.parametrize(
    "start",
    [_orthanc_that_commits, _orthanc_by_c_find, _orthanc_by_qido_rs],
    ids=lambda start: start.__name__.strip("_"),
)
def test_a_real_pacs_confirms_what_it_holds_and_nothing_else(
    start: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    results = [make_result(kind, patient=CANARY) for kind in (ResultKind.SEG, ResultKind.SR)]
    study = CANARY.study_instance_uid
    with start() as (destination, witness, server):  # type: ignore[attr-defined] # as above
        nothing = witness.confirm(results, study_instance_uid=study)
        destination.deliver(results)
        both = witness.confirm(results, study_instance_uid=study)
        server.delete(f"/instances/{server.get('/instances')[0]}")
        one = witness.confirm(results, study_instance_uid=study)
    assert [each.held for each in nothing] == [False, False]
    assert [each.held for each in both] == [True, True]
    assert sorted(each.held for each in one) == [False, True]
    assert [each.sop_instance_uid for each in one] == [each.sop_instance_uid for each in results]
    assert len({each.how for each in (*nothing, *both, *one)}) == 1
    for secret in (CANARY.name, CANARY.patient_id, CANARY.study_instance_uid, CANARY.uid_root):
        assert secret not in caplog.text


def test_a_confirmation_takes_the_place_of_the_receipt() -> None:
    def receipt(*, held: bool, status: str) -> Receipt:
        return Confirmation(
            destination="pacs",
            sop_instance_uid="1.2",
            held=held,
            how=Proof.COMMITMENT,
            status=status,
        ).receipt

    stored = Receipt(destination="pacs", sop_instance_uid="1.2", accepted=True, status="0x0000")
    assert not is_proven(stored)
    committed = receipt(held=True, status="committed")
    assert committed.status == "commitment: committed"
    assert is_proven(committed)
    lost = receipt(held=False, status="0x0112 no such object")
    assert not lost.accepted
    assert not is_proven(lost)


# --- storage commitment


def test_a_report_on_the_association_of_the_request_counts() -> None:
    with _pacs_with_both(Fault(commitment=Commitment())) as pacs:
        confirmations = _witness(pacs, SAME, Reports()).confirm(BOTH, study_instance_uid=STUDY)
        wait_for(lambda: bool(pacs.answers), "our answer to the report")
    assert _says(confirmations) == [(True, "committed")] * 2
    assert {one.how for one in confirmations} == {Proof.COMMITMENT}
    assert pacs.answers == [0x0000]


class _GoesOnBeforeItAnswers(Reports):
    """Whoever waits for a report has it, and a moment, before its answer is made."""

    def __init__(self) -> None:
        super().__init__()
        self._has_it = threading.Event()

    def receive(self, event: Event) -> tuple[int, None]:
        answer = super().receive(event)
        assert self._has_it.wait(START_SECONDS)
        sleep(0.2)
        return answer

    def wait(
        self, transaction: str, seconds: float, holds_out: Callable[[], bool]
    ) -> Report | None:
        report = super().wait(transaction, seconds, holds_out)
        self._has_it.set()
        return report


def test_a_report_on_the_association_of_the_request_is_answered_before_that_is_released() -> None:
    with _pacs_with_both(Fault(commitment=Commitment())) as pacs:
        witness = _witness(pacs, SAME, _GoesOnBeforeItAnswers())
        confirmations = witness.confirm(BOTH, study_instance_uid=STUDY)
        wait_for(lambda: bool(pacs.answers), "our answer to the report")
    assert _says(confirmations) == [(True, "committed")] * 2
    assert pacs.answers == [0x0000]


def test_a_report_that_comes_when_the_association_is_released_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, the_real_one = threading.Event(), Association.release

    def release(association: Association) -> None:
        association.dimse.msg_queue.put((1, N_EVENT_REPORT()))
        wait_for(association.dimse.msg_queue.empty, "the report to be taken")
        the_real_one(association)

    def open_and_release() -> None:
        with associated(_peer(pacs), CONTEXTS) as association:
            listen(association)
        ended.set()

    with faulty_pacs(Fault(commitment=Commitment())) as pacs:
        monkeypatch.setattr(Association, "release", release)
        threading.Thread(target=open_and_release, daemon=True).start()
        assert ended.wait(START_SECONDS)


@pytest.mark.parametrize("proposes_roles", [True, False])
def test_a_report_on_another_association_counts(*, proposes_roles: bool) -> None:
    port, reports = free_port(), Reports()
    commitment = Commitment(report_port=port, proposes_roles=proposes_roles)
    with listening(port, reports), _pacs_with_both(Fault(commitment=commitment)) as pacs:
        confirmations = _witness(pacs, OWN, reports).confirm(BOTH, study_instance_uid=STUDY)
        wait_for(lambda: bool(pacs.answers), "our answer to the report")
    assert _says(confirmations) == [(True, "committed")] * 2
    assert pacs.answers == [0x0000]


def test_a_pacs_that_ends_the_association_and_reports_on_another_counts_too() -> None:
    port, reports = free_port(), Reports()
    either = CommitmentTerms(same_association=True, listens=True, timeout_s=60)
    commitment = Commitment(report_port=port)
    with listening(port, reports), _pacs_with_both(Fault(commitment=commitment)) as pacs:
        confirmations = _witness(pacs, either, reports).confirm(BOTH, study_instance_uid=STUDY)
    assert _says(confirmations) == [(True, "committed")] * 2


def test_a_report_that_comes_twice_is_answered_twice_and_counts_once() -> None:
    port, reports = free_port(), Reports()
    fault = Fault(commitment=Commitment(report_port=port, reports=2))
    with listening(port, reports), _pacs_with_both(fault) as pacs:
        witness = _witness(pacs, OWN, reports)
        assert _says(witness.confirm(BOTH, study_instance_uid=STUDY)) == [(True, "committed")] * 2
        wait_for(lambda: len(pacs.answers) == 2, "our answers to the reports")
        witness.confirm(BOTH, study_instance_uid=STUDY)
    assert set(pacs.answers) == {0x0000}
    assert len(set(pacs.requests)) == 2


def test_a_report_that_comes_late_counts_when_we_ask_again() -> None:
    port, reports, time = free_port(), Reports(), threading.Event()
    fault = Fault(commitment=Commitment(report_port=port, after=time))
    with listening(port, reports), _pacs_with_both(fault) as pacs:
        witness = _witness(pacs, HASTY, reports)
        with pytest.raises(Transient) as caught:
            witness.confirm(BOTH, study_instance_uid=STUDY)
        assert caught.value.code == "commitment-pending"
        time.set()
        wait_for(lambda: bool(pacs.answers), "the late report")
        assert _says(witness.confirm([SR], study_instance_uid=STUDY)) == [(True, "committed")]
        assert len(pacs.requests) == 1
        time.clear()
        with pytest.raises(Transient):
            witness.confirm([SR], study_instance_uid=STUDY)
        time.set()
    assert len(set(pacs.requests)) == 2


def test_without_a_report_the_case_waits_and_a_new_request_is_asked() -> None:
    with _pacs_with_both(Fault(commitment=Commitment(report_port=free_port(), reports=0))) as pacs:
        for _ in range(2):
            with pytest.raises(Transient) as caught:
                _witness(pacs, HASTY, Reports()).confirm(BOTH, study_instance_uid=STUDY)
            assert caught.value.code == "commitment-pending"
    assert len(set(pacs.requests)) == 2


def test_a_report_on_a_request_from_before_a_restart_is_answered_and_forgotten() -> None:
    port, before, after, time = free_port(), Reports(), Reports(), threading.Event()
    fault = Fault(commitment=Commitment(report_port=port, after=time))
    with _pacs_with_both(fault) as pacs:
        with pytest.raises(Transient):
            _witness(pacs, HASTY, before).confirm(BOTH, study_instance_uid=STUDY)
        with listening(port, after):
            time.set()
            wait_for(lambda: bool(pacs.answers), "the report after the restart")
            witness = _witness(pacs, OWN, after)
            assert _says(witness.confirm([SR], study_instance_uid=STUDY)) == [(True, "committed")]
    assert pacs.answers[0] == 0x0000
    assert len(pacs.requests) == 2


REASONS = {
    0x0112: "0x0112 no such object",
    0x0119: "0x0119 other SOP class",
    0x0110: "0x0110 processing failure",
    0x0213: "0x0213 resource limitation",
    0xC001: "0xC001 failed",
}


@pytest.mark.parametrize("reason", REASONS)
def test_an_instance_that_was_lost_is_named_and_the_others_are_committed(reason: int) -> None:
    fault = Fault(loses=frozenset({0}), commitment=Commitment(reason=reason))
    with _pacs_with_both(fault) as pacs:
        confirmations = _witness(pacs, SAME, Reports()).confirm(BOTH, study_instance_uid=STUDY)
    assert _says(confirmations) == [(False, REASONS[reason]), (True, "committed")]


def test_an_instance_that_the_report_does_not_name_is_not_committed() -> None:
    port, reports = free_port(), Reports()
    with listening(port, reports):
        transaction = reports.open(frozenset({"1.2.1", "1.2.2"}))
        report = Dataset()
        report.TransactionUID = transaction
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", "1.2.1"
        report.ReferencedSOPSequence = [item]
        assert _send_report(port, report) == 0x0000
        found = reports.wait(transaction, 60, lambda: True)
    assert found
    assert [found.status(uid) for uid in ("1.2.1", "1.2.2")] == ["committed", "not named"]


def test_a_report_that_nobody_asked_for_proves_nothing() -> None:
    port, reports = free_port(), Reports()
    with listening(port, reports):
        reports.open(frozenset({"1.2.1"}))
        for transaction in ("2.25.1", None):
            report = Dataset()
            report.TransactionUID = transaction
            report.ReferencedSOPSequence = []
            assert _send_report(port, report) == 0x0000
        assert reports.late(frozenset({"1.2.1"})) is None


def _send_report(port: int, report: Dataset) -> int:
    ae = AE("STRANGER")
    ae.add_requested_context(StorageCommitmentPushModel)
    association = ae.associate("127.0.0.1", port)
    status, _ = association.send_n_event_report(
        report, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    association.release()
    return int(status.Status)


def test_a_pacs_without_storage_commitment_is_named() -> None:
    with _pacs_with_both(Fault()) as pacs, pytest.raises(Transient) as caught:
        _witness(pacs, SAME, Reports()).confirm(BOTH, study_instance_uid=STUDY)
    assert caught.value.code == "commitment-refused"
    assert "does not offer" in caught.value.sentence


def test_a_request_that_is_not_taken_is_named() -> None:
    fault = Fault(commitment=Commitment(status=0x0213))
    with _pacs_with_both(fault) as pacs, pytest.raises(Transient) as caught:
        _witness(pacs, SAME, Reports()).confirm(BOTH, study_instance_uid=STUDY)
    assert caught.value.code == "commitment-refused"
    assert "0x0213" in caught.value.sentence


def test_a_pacs_that_hangs_up_instead_of_reporting_is_not_waited_for() -> None:
    longer_than_the_test = CommitmentTerms(same_association=True, listens=False, timeout_s=3600)
    fault = Fault(commitment=Commitment(hangs_up=True))
    with _pacs_with_both(fault) as pacs, pytest.raises(Transient) as caught:
        _witness(pacs, longer_than_the_test, Reports()).confirm(BOTH, study_instance_uid=STUDY)
    assert caught.value.code == "commitment-pending"


def test_of_two_late_reports_the_newest_counts_and_the_older_never() -> None:
    port, reports = free_port(), Reports()
    instances = frozenset({"1.2.1"})
    with listening(port, reports):
        first, second = reports.open(instances), reports.open(instances)
        for transaction, committed in ((first, True), (second, False)):
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", "1.2.1"
            item.FailureReason = 0x0112
            report = Dataset()
            report.TransactionUID = transaction
            report.ReferencedSOPSequence = [item] if committed else []
            report.FailedSOPSequence = [] if committed else [item]
            _send_report(port, report)
    newest = reports.late(instances)
    assert newest
    assert newest.status("1.2.1") == "0x0112 no such object"
    assert reports.late(instances) is None


def test_nobody_is_asked_about_nothing() -> None:
    nobody = DimsePeer(host="127.0.0.1", port=free_port(), called_ae_title="NOBODY")
    witness = CommitmentWitness("pacs", nobody, terms=OWN, reports=Reports())
    assert witness.confirm([], study_instance_uid=STUDY) == ()
    assert DimseWitness("pacs", nobody).confirm([], study_instance_uid=STUDY) == ()


def test_requests_without_a_report_do_not_pile_up() -> None:
    reports = Reports()
    for number in range(1100):
        reports.open(frozenset({str(number)}))
    assert len(reports._asked) == 1000
    assert frozenset({"1099"}) in reports._asked.values()


def test_threads_get_the_report_on_their_own_request() -> None:
    port, reports = free_port(), Reports()
    fault = Fault(loses=frozenset({0}), commitment=Commitment(report_port=port))
    said: dict[str, list[tuple[bool, str]]] = {}
    with listening(port, reports), _pacs_with_both(fault) as pacs:
        witness = _witness(pacs, OWN, reports)

        def ask(result: object, name: str) -> None:
            said[name] = _says(witness.confirm([result], study_instance_uid=STUDY))  # type: ignore[list-item] # as made

        threads = [
            threading.Thread(target=ask, args=[result, result.kind.value]) for result in BOTH
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert said == {"SEG": [(False, REASONS[0x0112])], "SR": [(True, "committed")]}


def test_a_port_that_is_taken_stops_the_start() -> None:
    port = free_port()
    with (
        listening(port, Reports()),
        pytest.raises(ConfigError) as caught,
        listening(port, Reports()),
    ):
        pass
    assert caught.value.code == "port-in-use"


# --- C-FIND and QIDO-RS


def test_a_pacs_that_lost_what_it_accepted_is_found_out_by_c_find() -> None:
    with _pacs_with_both(Fault(loses=frozenset({0}))) as pacs:
        confirmations = DimseWitness("pacs", _peer(pacs)).confirm(BOTH, study_instance_uid=STUDY)
    assert _says(confirmations) == [(False, "not found"), (True, "found")]


def test_an_instance_under_another_sop_class_is_not_ours() -> None:
    match = Dataset()
    match.SOPInstanceUID, match.SOPClassUID = SEG.sop_instance_uid, "1.2.840.10008.5.1.4.1.1.7"
    with faulty_pacs(Fault(matches=(("IMAGE", match),))) as pacs:
        (seg,) = DimseWitness("pacs", _peer(pacs)).confirm([SEG], study_instance_uid=STUDY)
    assert (seg.held, seg.status) == (False, "other SOP class")


def test_a_query_that_fails_proves_nothing() -> None:
    with faulty_pacs(Fault(statuses=(0xA700,))) as pacs, pytest.raises(Transient) as caught:
        DimseWitness("pacs", _peer(pacs)).confirm(BOTH, study_instance_uid=STUDY)
    assert caught.value.code == "query-refused"


@pytest.mark.parametrize(("status", "code"), [(500, "destination-unavailable"), (404, None)])
def test_a_web_query_that_fails_proves_nothing_and_an_unknown_series_holds_nothing(
    status: int, code: str | None
) -> None:
    with answering_http(status) as url:
        witness = DicomwebWitness("pacs", DicomwebPeer(url=url, timeout_s=60))
        if code is None:
            assert _says(witness.confirm([SEG], study_instance_uid=STUDY)) == [(False, "not found")]
            return
        with pytest.raises(Transient) as caught:
            witness.confirm([SEG], study_instance_uid=STUDY)
    assert caught.value.code == code
    assert STUDY not in str(caught.value)
