"""What we say and do when a PACS misbehaves."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from factories import CANARY, file_bytes
from faulty_pacs import AE_TITLE, Fault, FaultyPacs, answering_http, deaf_port, faulty_pacs
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.uid import Comprehensive3DSRStorage, ImplicitVRLittleEndian, RLELossless
from results_in_code import make_result, make_results
from servers import orthanc_server

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Transient
from clic_edge.pacs.dicomweb import DicomwebCensus, DicomwebDestination, DicomwebPeer
from clic_edge.pacs.dimse import DimseCensus, DimseDestination, DimsePeer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.domain.result import Receipt, ResultObject

pytestmark = pytest.mark.servers
SEG, SR = make_results()


def _peer(pacs: FaultyPacs, timeout_s: float = 60) -> DimsePeer:
    return DimsePeer(
        host="127.0.0.1", port=pacs.port, called_ae_title=AE_TITLE, timeout_s=timeout_s
    )


def _answers(receipts: Sequence[Receipt]) -> list[tuple[bool, str]]:
    return [(receipt.accepted, receipt.status) for receipt in receipts]


STATUSES = {
    0x0000: True,
    0xB000: True,
    0xB006: True,
    0xB007: True,
    0x0111: True,
    0xA700: False,
    0xA900: False,
    0xC000: False,
    0x0122: False,
    0xFFFF: False,
}


def test_the_status_of_each_instance_decides_about_it_alone() -> None:
    results = [make_result(ResultKind.SR, number=number) for number in range(len(STATUSES))]
    with faulty_pacs(Fault(statuses=tuple(STATUSES))) as pacs:
        receipts = DimseDestination("pacs", _peer(pacs)).deliver(results)
    assert _answers(receipts) == [
        (accepted, f"0x{status:04X}") for status, accepted in STATUSES.items()
    ]


def test_a_pacs_that_takes_no_seg_still_takes_the_sr() -> None:
    with faulty_pacs(Fault(sop_classes=(Comprehensive3DSRStorage,))) as pacs:
        receipts = DimseDestination("pacs", _peer(pacs)).deliver([SEG, SR])
    assert _answers(receipts) == [(False, "context rejected"), (True, "0x0000")]
    assert [ds.SOPInstanceUID for ds in pacs.received] == [SR.sop_instance_uid]


def test_a_pacs_that_takes_neither_rejects_each() -> None:
    with faulty_pacs(Fault(sop_classes=())) as pacs:
        receipts = DimseDestination("pacs", _peer(pacs)).deliver([SEG, SR])
    assert _answers(receipts) == [(False, "context rejected")] * 2


def test_implicit_vr_is_sent_where_nothing_else_is_taken() -> None:
    with faulty_pacs(Fault(transfer_syntaxes=(ImplicitVRLittleEndian,))) as pacs:
        receipts = DimseDestination("pacs", _peer(pacs)).deliver([SEG])
    (got,) = pacs.received
    assert _answers(receipts) == [(True, "0x0000")]
    assert got.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert got.PixelData == dcmread(DicomBytesIO(SEG.content)).PixelData


def test_compressed_pixels_are_not_sent_to_who_cannot_take_them() -> None:
    with faulty_pacs(Fault(transfer_syntaxes=(ImplicitVRLittleEndian,))) as pacs:
        ds = dcmread(DicomBytesIO(SEG.content))
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        ds.PixelData = bytes(ds.NumberOfFrames * ds.Rows * ds.Columns)
        ds.compress(RLELossless, generate_instance_uid=False)
        compressed = replace(SEG, content=file_bytes(ds))
        receipts = DimseDestination("pacs", _peer(pacs)).deliver([compressed])
    assert _answers(receipts) == [(False, "context rejected")]
    assert pacs.received == []


def test_a_refused_association_is_tried_again_later() -> None:
    with faulty_pacs(Fault(refuse_association=True)) as pacs, pytest.raises(Transient) as caught:
        DimseDestination("pacs", _peer(pacs)).deliver([SEG])
    assert caught.value.code == "association-refused"


def test_an_association_aborted_at_the_first_object_is_tried_again_later() -> None:
    with faulty_pacs(Fault(abort_at=0)) as pacs, pytest.raises(Transient) as caught:
        DimseDestination("pacs", _peer(pacs)).deliver([SEG, SR])
    assert caught.value.code == "association-aborted"
    assert pacs.received == []


def test_what_was_answered_before_the_association_was_aborted_is_not_forgotten() -> None:
    with faulty_pacs(Fault(abort_at=1)) as pacs:
        receipts = DimseDestination("pacs", _peer(pacs)).deliver([SEG, SR, make_result(number=3)])
    assert _answers(receipts) == [(True, "0x0000"), *[(False, "association ended")] * 2]
    assert len(pacs.received) == 1


def test_a_pacs_that_aborts_while_the_next_object_is_encoded_does_not_hang_us() -> None:
    large = make_result(ResultKind.SEG, number=2, frames=40_000)
    with faulty_pacs(Fault(abort_after_answer=True)) as pacs:
        receipts = DimseDestination("pacs", _peer(pacs)).deliver([SR, large])
    assert _answers(receipts) == [(True, "0x0000"), (False, "association ended")]


def test_a_slow_pacs_is_waited_for_and_one_too_slow_is_tried_again_later() -> None:
    time = threading.Event()
    with faulty_pacs(Fault(answer_after=time)) as pacs:
        with pytest.raises(Transient) as caught:
            DimseDestination("pacs", _peer(pacs, timeout_s=0.2)).deliver([SEG])
        threading.Timer(0.3, time.set).start()
        receipts = DimseDestination("pacs", _peer(pacs)).deliver([SEG])
        assert _answers(receipts) == [(True, "0x0000")]
    assert caught.value.code == "association-aborted"


def test_a_host_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    with deaf_port() as port:
        peer = DimsePeer(host="127.0.0.1", port=port, called_ae_title="DEAF", timeout_s=0.3)
        with pytest.raises(Transient) as caught:
            DimseDestination("pacs", peer).deliver([SEG])
        assert caught.value.code == "association-aborted"
        web = DicomwebPeer(url=f"http://127.0.0.1:{port}/dicom-web", timeout_s=0.3)
        with pytest.raises(Transient) as caught:
            DicomwebDestination("pacs", web).deliver([SEG])
        assert caught.value.code == "destination-unreachable"


def test_nothing_of_the_patient_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    result = make_result(patient=CANARY)
    with faulty_pacs(Fault(statuses=(0xC000,))) as pacs:
        DimseDestination("pacs", _peer(pacs)).deliver([result])
    with orthanc_server() as server:
        peer = DimsePeer(host="127.0.0.1", port=server.dicom_port, called_ae_title=server.ae_title)
        DimseDestination("pacs", peer).deliver([result])
        DimseCensus(peer).count_instances(CANARY.study_instance_uid)
        web = DicomwebPeer(url=f"{server.url}/dicom-web")
        DicomwebDestination("pacs", web).deliver([result])
        DicomwebCensus(web).count_instances(CANARY.study_instance_uid)
    for secret in (CANARY.name, CANARY.patient_id, CANARY.study_instance_uid, CANARY.uid_root):
        assert secret not in caplog.text


def _item(result: ResultObject, **reason: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = result.sop_class_uid
    item.ReferencedSOPInstanceUID = result.sop_instance_uid
    for keyword, value in reason.items():
        setattr(item, keyword, value)
    return item


def _response(stored: Sequence[Dataset] = (), failed: Sequence[Dataset] = ()) -> bytes:
    response = Dataset()
    response.ReferencedSOPSequence = list(stored)
    response.FailedSOPSequence = list(failed)
    return response.to_json().encode()


def _stow(status: int, body: bytes = b"", **headers: str) -> tuple[Receipt, ...]:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    with answering_http(status, named, body) as url:
        return DicomwebDestination("pacs", DicomwebPeer(url=url, timeout_s=60)).deliver([SEG, SR])


@pytest.mark.parametrize(
    "kind", ["application/dicom+json", "application/dicom+json; charset=utf-8"]
)
@pytest.mark.parametrize("status", [202, 409])
def test_the_reason_of_a_failed_store_is_in_the_receipt(status: int, kind: str) -> None:
    body = _response(stored=[_item(SR)], failed=[_item(SEG, FailureReason=0xA700)])
    assert _answers(_stow(status, body, Content_Type=kind)) == [
        (False, "0xA700"),
        (True, "HTTP 200"),
    ]


def test_an_object_stored_with_a_warning_was_accepted() -> None:
    body = _response(stored=[_item(SEG, WarningReason=0xB000), _item(SR)])
    receipts = _stow(202, body, Content_Type="application/dicom+json")
    assert _answers(receipts) == [(True, "0xB000"), (True, "HTTP 200")]


def test_an_object_that_the_answer_does_not_name_was_not_accepted() -> None:
    assert _answers(_stow(200)) == [(False, "not answered")] * 2


@pytest.mark.parametrize("status", [400, 409, 413, 415])
def test_a_request_that_will_never_be_taken_is_a_rejection(status: int) -> None:
    assert _answers(_stow(status, b"<html>no</html>", Content_Type="text/html")) == [
        (False, f"HTTP {status}"),
        (False, f"HTTP {status}"),
    ]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_server_that_may_come_back_is_tried_again_later(status: int) -> None:
    with pytest.raises(Transient) as caught:
        _stow(status, Retry_After="120")
    assert caught.value.code == "destination-unavailable"
    assert caught.value.retry_after == timedelta(seconds=120)
