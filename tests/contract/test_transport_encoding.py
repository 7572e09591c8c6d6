"""Objects in the encoding that a destination wants: other bytes, the same content."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import Patient, file_bytes
from faulty_pacs import AE_TITLE, Fault, FaultyPacs, faulty_pacs
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from results_in_code import make_result, make_results
from servers import OrthancServer, dcmtk_receiver, orthanc_server

from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.pacs.dicomweb import DicomwebDestination, DicomwebPeer
from clic_edge.pacs.dimse import DimseDestination, DimsePeer
from clic_edge.pacs.encoding import Encoding
from clic_edge.pacs.rest import HttpRest, OrthancPeer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.pacs.transport import Destination

pytestmark = pytest.mark.servers
SEG, SR = make_results()
PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
DEFLATED = Encoding(compression=((ResultKind.SEG, "deflated"), (ResultKind.SR, "deflated")))
PACKED = {"rle": RLELossless, "jpeg-2000": JPEG2000Lossless}
LATIN = Encoding(character_set="ISO_IR 100")
POLE = Patient(name="Łukasz^Żółć", uid_root="1.2.826.0.1.3680043.10.1561.5")


def _read(result: ResultObject) -> Dataset:
    return dcmread(DicomBytesIO(result.content))


def _fractional() -> ResultObject:
    """Return a result of three frames of bytes."""
    ds = _read(SEG)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    values = np.arange(ds.NumberOfFrames * ds.Rows * ds.Columns) // 500 % 256
    ds.PixelData = values.astype(np.uint8).tobytes()
    return replace(SEG, kind=ResultKind.SEG_FRACTIONAL, content=file_bytes(ds))


def _packing(way: str) -> Encoding:
    return Encoding(compression=((ResultKind.SEG, way), (ResultKind.SEG_FRACTIONAL, way)))


def _to(pacs: FaultyPacs, encoding: Encoding) -> DimseDestination:
    peer = DimsePeer(host="127.0.0.1", port=pacs.port, called_ae_title=AE_TITLE, timeout_s=60)
    return DimseDestination("pacs", peer, encoding)


def _in_orthanc(server: OrthancServer) -> list[Dataset]:
    with closing(HttpRest(OrthancPeer(url=server.url))) as rest:
        return [
            dcmread(DicomBytesIO(rest.get(f"/instances/{instance}/file")))
            for instance in server.get("/instances")
        ]


def _statuses(destination: Destination, results: Sequence[ResultObject]) -> list[str]:
    return [receipt.status for receipt in destination.deliver(results)]


def test_an_object_is_deflated_where_the_pacs_takes_it_and_plain_where_not() -> None:
    takes_all = Fault(transfer_syntaxes=(*PLAIN, DeflatedExplicitVRLittleEndian))
    for fault, expected in (
        (takes_all, DeflatedExplicitVRLittleEndian),
        (Fault(), ExplicitVRLittleEndian),
        (Fault(transfer_syntaxes=(ImplicitVRLittleEndian,)), ImplicitVRLittleEndian),
    ):
        with faulty_pacs(fault) as pacs:
            assert _statuses(_to(pacs, DEFLATED), [SEG, SR]) == ["0x0000"] * 2
        assert {ds.file_meta.TransferSyntaxUID for ds in pacs.received} == {expected}
        assert pacs.received[0].PixelData == _read(SEG).PixelData
        assert pacs.received[0].PatientName == _read(SEG).PatientName


def test_what_was_written_deflated_is_unpacked_where_the_pacs_takes_it_plain_only() -> None:
    deflated = make_result(syntax=DeflatedExplicitVRLittleEndian)
    for syntax in (*PLAIN, DeflatedExplicitVRLittleEndian):
        with faulty_pacs(Fault(transfer_syntaxes=(syntax,))) as pacs:
            assert _statuses(_to(pacs, Encoding()), [deflated]) == ["0x0000"]
        (arrived,) = pacs.received
        assert arrived.file_meta.TransferSyntaxUID == syntax
        assert arrived.PixelData == _read(deflated).PixelData


def test_implicit_vr_changes_no_attribute_of_an_object() -> None:
    ds = _read(SR)
    outer, inner = Dataset(), Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "mm3", "UCUM", "mm³"
    outer.NumericValue, outer.FloatingPointValue = ["1234.5"], [1234.5]
    outer.MeasurementUnitsCodeSequence = [inner]
    ds.ContentSequence = [Dataset(), outer]
    with faulty_pacs(Fault(transfer_syntaxes=(ImplicitVRLittleEndian,))) as pacs:
        results = [SEG, replace(SR, content=file_bytes(ds))]
        assert _statuses(_to(pacs, Encoding()), results) == ["0x0000"] * 2
    for arrived, result in zip(pacs.received, results, strict=True):
        assert arrived.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
        sent = _read(result)
        assert arrived.get("PixelData") == sent.get("PixelData")
        for ds in (arrived, sent):
            ds.pop("PixelData", None)  # OB, and OW in implicit VR (PS3.5 A.1): the same bytes
        assert arrived.to_json_dict() == sent.to_json_dict()


def test_a_real_pacs_reads_what_was_deflated() -> None:
    with dcmtk_receiver("+xd") as receiver:
        peer = DimsePeer(
            host="127.0.0.1", port=receiver.port, called_ae_title=receiver.ae_title, timeout_s=60
        )
        assert _statuses(DimseDestination("pacs", peer, DEFLATED), [SEG]) == ["0x0000"]
        (path,) = receiver.folder.iterdir()
        arrived = dcmread(path)
    assert arrived.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert arrived.PixelData == _read(SEG).PixelData


@pytest.mark.parametrize("web", [False, True], ids=["c_store", "stow_rs"])
@pytest.mark.parametrize("way", PACKED)
def test_bytes_are_packed_and_bits_go_as_they_are(way: str, *, web: bool) -> None:
    fractional = replace(_fractional(), sop_instance_uid=f"{SEG.sop_instance_uid}.1")
    ds = _read(fractional)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = fractional.sop_instance_uid
    fractional = replace(fractional, content=file_bytes(ds))
    with orthanc_server() as server:
        destination: Destination
        if web:
            peer = DicomwebPeer(url=f"{server.url}/dicom-web", timeout_s=60)
            destination = DicomwebDestination("pacs", peer, _packing(way))
        else:
            dimse = DimsePeer(
                host="127.0.0.1", port=server.dicom_port, called_ae_title=server.ae_title
            )
            destination = DimseDestination("pacs", dimse, _packing(way))
        assert all(receipt.accepted for receipt in destination.deliver([SEG, fractional]))
        arrived = {ds.SOPInstanceUID: ds for ds in _in_orthanc(server)}
    binary, packed = arrived[SEG.sop_instance_uid], arrived[fractional.sop_instance_uid]
    assert binary.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert packed.file_meta.TransferSyntaxUID == PACKED[way]
    assert np.array_equal(packed.pixel_array, ds.pixel_array)


def test_pixels_are_not_packed_for_a_pacs_that_only_takes_them_plain() -> None:
    with faulty_pacs(Fault()) as pacs:
        assert _statuses(_to(pacs, _packing("rle")), [_fractional()]) == ["0x0000"]
    (arrived,) = pacs.received
    assert arrived.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert arrived.PixelData == _read(_fractional()).PixelData


def test_text_arrives_in_the_character_set_that_was_asked_for() -> None:
    with faulty_pacs(Fault()) as pacs:
        assert _statuses(_to(pacs, LATIN), [SEG, SR]) == ["0x0000"] * 2
    for arrived in pacs.received:
        assert arrived.SpecificCharacterSet == "ISO_IR 100"
        assert arrived.PatientName == "Testesen^Åse^Ærlig"
        raw = arrived.get_item("PatientName").value
        assert b"\xc5se" in (raw if isinstance(raw, bytes) else raw.original_string)


def test_a_name_that_the_character_set_lacks_is_not_sent_wrongly() -> None:
    foreign = make_result(ResultKind.SR, patient=POLE)
    with faulty_pacs(Fault()) as pacs:
        statuses = _statuses(_to(pacs, LATIN), [foreign, SEG])
    assert statuses == ["not writable in ISO_IR 100", "0x0000"]
    assert [ds.SOPInstanceUID for ds in pacs.received] == [SEG.sop_instance_uid]


def test_over_the_web_too() -> None:
    foreign = make_result(ResultKind.SR, patient=POLE)
    with orthanc_server() as server:
        peer = DicomwebPeer(url=f"{server.url}/dicom-web", timeout_s=60)
        destination = DicomwebDestination("pacs", peer, LATIN)
        assert _statuses(destination, [foreign]) == ["not writable in ISO_IR 100"]
        statuses = _statuses(destination, [foreign, SEG])
        (arrived,) = _in_orthanc(server)
    assert statuses == ["not writable in ISO_IR 100", "HTTP 200"]
    assert arrived.PatientName == "Testesen^Åse^Ærlig"


def test_items_that_name_a_character_set_of_their_own_are_rewritten_with_the_rest() -> None:
    ds = _read(SR)
    person, place = Dataset(), Dataset()
    person.SpecificCharacterSet = "ISO_IR 192"
    person.PersonName = "Øster^Ågot"
    place.CodeMeaning = "hjerte på venstre side"
    ds.VerifyingObserverSequence, ds.ConceptNameCodeSequence = [person], [place]
    with faulty_pacs(Fault()) as pacs:
        _to(pacs, LATIN).deliver([replace(SR, content=file_bytes(ds))])
    (arrived,) = pacs.received
    assert arrived.VerifyingObserverSequence[0].PersonName == "Øster^Ågot"
    assert arrived.VerifyingObserverSequence[0].SpecificCharacterSet == "ISO_IR 100"
    assert arrived.ConceptNameCodeSequence[0].CodeMeaning == "hjerte på venstre side"
    assert b"\xc3\x85" not in file_bytes(arrived)
