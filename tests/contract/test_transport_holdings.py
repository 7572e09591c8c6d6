"""What an archive and a PACS say that they hold, when they are gone through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from factories import Patient, Stack, make_datasets, ramp
from faulty_pacs import AE_TITLE, Fault, faulty_pacs
from servers import OrthancServer, free_port, orthanc_server, send_datasets
from sites import patient, study_handle

from clic_edge.errors import Transient
from clic_edge.pacs.content import OrthancContent
from clic_edge.pacs.dicomweb import DicomwebPeer
from clic_edge.pacs.dimse import DimsePeer
from clic_edge.pacs.holdings import DicomwebHoldings, DimseHoldings
from clic_edge.pacs.rest import HttpRest, OrthancPeer
from clic_edge.pacs.transport import AskedStudy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from clic_edge.pacs.transport import Holdings

pytestmark = pytest.mark.servers
EVER = datetime(2000, 1, 1, tzinfo=UTC)


def _study(who: Patient) -> list[Dataset]:
    """Return images, and an object beside them that says that we made it."""
    images = make_datasets(Stack(patient=who), ramp((2, 4, 4)))
    ours = make_datasets(Stack(patient=who, series_number=91), ramp((1, 4, 4)))
    for one in ours:
        one.Manufacturer = "clic-edge"
    return [*images, *ours]


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[OrthancServer, list[list[Dataset]]]]:
    studies = [_study(patient(number)) for number in (1, 2)]
    with orthanc_server() as server:
        for datasets in studies:
            send_datasets(datasets, server)
        yield server, studies


def _by_c_find(server: OrthancServer) -> Holdings:
    return DimseHoldings(
        DimsePeer(host="127.0.0.1", port=server.dicom_port, called_ae_title=server.ae_title)
    )


def _by_qido_rs(server: OrthancServer) -> Holdings:
    return DicomwebHoldings(DicomwebPeer(url=f"{server.url}/dicom-web"))


def _asked(uid: str, *series: str) -> AskedStudy:
    return AskedStudy(study_instance_uid=uid, series=frozenset(series))


@pytest.mark.parametrize("holdings_of", [_by_c_find, _by_qido_rs], ids=["c_find", "qido_rs"])
def test_a_pacs_tells_the_patient_and_the_objects_of_series_that_are_ours(
    filled: tuple[OrthancServer, list[list[Dataset]]], holdings_of: object
) -> None:
    assert callable(holdings_of)
    server, (first, second) = filled
    uid = first[0].StudyInstanceUID
    asked = [
        _asked(uid),
        _asked(uid, first[0].SeriesInstanceUID),
        _asked("2.25.7"),
        _asked(second[0].StudyInstanceUID),
    ]
    named, known, unknown, other = holdings_of(server).look(asked)
    assert named.objects == {first[-1].SOPInstanceUID}
    assert known.objects == {one.SOPInstanceUID for one in first}
    assert unknown is None
    assert (named.patient_id, other.patient_id) == (first[0].PatientID, second[0].PatientID)


def test_a_pacs_that_is_away_or_refuses_the_query_says_nothing() -> None:
    away = DimseHoldings(DimsePeer(host="127.0.0.1", port=free_port(), called_ae_title="NOBODY"))
    with pytest.raises(Transient, match="destination-unreachable"):
        next(away.look([_asked("2.25.7")]))
    with faulty_pacs(Fault(statuses=(0xA700,))) as pacs:
        peer = DimsePeer(host="127.0.0.1", port=pacs.port, called_ae_title=AE_TITLE)
        with pytest.raises(Transient, match="query-refused"):
            next(DimseHoldings(peer).look([_asked("2.25.7")]))
    with pytest.raises(Transient, match="destination-unreachable"):
        next(
            DicomwebHoldings(DicomwebPeer(url=f"http://127.0.0.1:{free_port()}")).look(
                [_asked("2.25.7")]
            )
        )


def test_the_archive_lists_its_studies_and_which_of_them_came_in_a_period(
    filled: tuple[OrthancServer, list[list[Dataset]]],
) -> None:
    server, studies = filled
    handles = {study_handle(datasets[0]) for datasets in studies}
    content = OrthancContent(HttpRest(OrthancPeer(url=server.url)))
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert {one for part in content.studies() for one in part} == handles
    assert set(content.arrived(EVER, tomorrow)) == handles
    assert set(content.arrived(datetime.now(UTC) - timedelta(hours=1), tomorrow)) == handles
    assert not list(content.arrived(tomorrow, tomorrow + timedelta(days=1)))
    assert not list(content.arrived(EVER, EVER + timedelta(days=1)))
    held = content.study(study_handle(studies[0][0]))
    assert held
    assert held.study_instance_uid == studies[0][0].StudyInstanceUID
    assert held.patient_id == studies[0][0].PatientID
    assert studies[0][0].PatientID not in repr(held)
    assert content.study("0" * 8) is None
