"""What every Destination does, with the real thing behind each."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from results_in_code import make_result, make_results
from servers import dcmtk_receiver, free_port, orthanc_server

from clic_edge.errors import Transient
from clic_edge.pacs.dicomweb import DicomwebDestination, DicomwebPeer
from clic_edge.pacs.dimse import DimseDestination, DimsePeer
from clic_edge.pacs.folder import FolderDestination
from clic_edge.pacs.rest import HttpRest, OrthancPeer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset
    from servers import OrthancServer

    from clic_edge.pacs.transport import Destination

pytestmark = pytest.mark.servers


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A destination, and a look at what lies there."""

    destination: Destination
    held: Callable[[], list[Dataset]]

    def held_uids(self) -> list[str]:
        """Return the SOP Instance UIDs there, sorted."""
        return sorted(str(ds.SOPInstanceUID) for ds in self.held())


def _files(folder: Path) -> list[Dataset]:
    return [dcmread(path) for path in folder.iterdir()]


def _instances(server: OrthancServer) -> list[Dataset]:
    with closing(HttpRest(OrthancPeer(url=server.url))) as rest:
        return [
            dcmread(DicomBytesIO(rest.get(f"/instances/{instance}/file")))
            for instance in server.get("/instances")
        ]


@contextmanager
def _orthanc_by_c_store(_: Path) -> Iterator[Setting]:
    with orthanc_server() as server:
        peer = DimsePeer(
            host="127.0.0.1", port=server.dicom_port, called_ae_title=server.ae_title, timeout_s=60
        )
        yield Setting(destination=DimseDestination("pacs", peer), held=lambda: _instances(server))


@contextmanager
def _orthanc_by_stow_rs(_: Path) -> Iterator[Setting]:
    with orthanc_server() as server:
        peer = DicomwebPeer(url=f"{server.url}/dicom-web", timeout_s=60)
        yield Setting(
            destination=DicomwebDestination("pacs", peer), held=lambda: _instances(server)
        )


@contextmanager
def _dcmtk_storescp(_: Path) -> Iterator[Setting]:
    with dcmtk_receiver() as receiver:
        peer = DimsePeer(
            host="127.0.0.1", port=receiver.port, called_ae_title=receiver.ae_title, timeout_s=60
        )
        yield Setting(
            destination=DimseDestination("pacs", peer), held=lambda: _files(receiver.folder)
        )


@contextmanager
def _dcmtk_storescp_that_takes_implicit_vr_only(_: Path) -> Iterator[Setting]:
    with dcmtk_receiver("+xi") as receiver:
        peer = DimsePeer(
            host="127.0.0.1", port=receiver.port, called_ae_title=receiver.ae_title, timeout_s=60
        )
        yield Setting(
            destination=DimseDestination("pacs", peer), held=lambda: _files(receiver.folder)
        )


@contextmanager
def _folder(tmp_path: Path) -> Iterator[Setting]:
    folder = tmp_path / "out" / "results"
    yield Setting(destination=FolderDestination("pacs", folder), held=lambda: _files(folder))


@pytest.fixture(
    params=[
        _orthanc_by_c_store,
        _orthanc_by_stow_rs,
        _dcmtk_storescp,
        _dcmtk_storescp_that_takes_implicit_vr_only,
        _folder,
    ],
    ids=lambda start: start.__name__.strip("_"),
)
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setting]:
    """Return each destination in turn."""
    with request.param(tmp_path) as started:
        yield started


def test_every_object_is_accepted_and_the_receipts_keep_the_order(setting: Setting) -> None:
    results = make_results()
    receipts = setting.destination.deliver(results)
    assert [receipt.sop_instance_uid for receipt in receipts] == [
        result.sop_instance_uid for result in results
    ]
    assert all(receipt.accepted and receipt.destination == "pacs" for receipt in receipts)
    assert {receipt.status for receipt in receipts} <= {"0x0000", "HTTP 200", "written"}
    assert setting.held_uids() == sorted(result.sop_instance_uid for result in results)


def test_what_arrives_is_what_was_sent(setting: Setting) -> None:
    result = make_result(frames=40)
    setting.destination.deliver([result])
    sent, (arrived,) = dcmread(DicomBytesIO(result.content)), setting.held()
    assert arrived.PixelData == sent.PixelData
    assert arrived.PatientName == sent.PatientName == "Testesen^Åse^Ærlig"
    assert {element.tag for element in arrived} == {element.tag for element in sent}


def test_sending_the_same_twice_is_harmless(setting: Setting) -> None:
    results = make_results()
    setting.destination.deliver(results)
    again = setting.destination.deliver(results)
    assert all(receipt.accepted for receipt in again)
    assert setting.held_uids() == sorted(result.sop_instance_uid for result in results)


def test_an_object_of_several_megabytes_arrives_whole(setting: Setting) -> None:
    result = make_result(frames=8000)
    assert len(result.content) > 4_000_000
    (receipt,) = setting.destination.deliver([result])
    assert receipt.accepted
    (arrived,) = setting.held()
    assert arrived.PixelData == dcmread(DicomBytesIO(result.content)).PixelData


def test_nothing_to_deliver_gives_no_receipts(setting: Setting) -> None:
    assert setting.destination.deliver([]) == ()


def _nobody_by_c_store(_: Path) -> Destination:
    return DimseDestination(
        "pacs", DimsePeer(host="127.0.0.1", port=free_port(), called_ae_title="NOBODY")
    )


def _no_such_host_by_c_store(_: Path) -> Destination:
    return DimseDestination(
        "pacs", DimsePeer(host="pacs.invalid", port=104, called_ae_title="NOBODY")
    )


def _nobody_by_stow_rs(_: Path) -> Destination:
    return DicomwebDestination(
        "pacs", DicomwebPeer(url=f"http://127.0.0.1:{free_port()}/dicom-web")
    )


def _folder_below_a_file(tmp_path: Path) -> Destination:
    (tmp_path / "file").touch()
    return FolderDestination("pacs", tmp_path / "file" / "out")


@pytest.mark.parametrize(
    "make",
    [_nobody_by_c_store, _no_such_host_by_c_store, _nobody_by_stow_rs, _folder_below_a_file],
    ids=lambda make: make.__name__.strip("_"),
)
def test_an_unreachable_destination_is_tried_again_later(
    make: Callable[[Path], Destination], tmp_path: Path
) -> None:
    with pytest.raises(Transient) as caught:
        make(tmp_path).deliver(make_results())
    assert caught.value.code == "destination-unreachable"
