"""What a StudyCensus counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from factories import Patient, Stack, make_datasets, ramp
from faulty_pacs import AE_TITLE, Fault, FaultyPacs, answering_http, faulty_pacs
from pydicom.dataset import Dataset
from servers import OrthancServer, free_port, send_datasets

from clic_edge.errors import Transient
from clic_edge.pacs.dicomweb import DicomwebCensus, DicomwebPeer
from clic_edge.pacs.dimse import DimseCensus, DimsePeer, echo

if TYPE_CHECKING:
    from clic_edge.pacs.transport import StudyCensus

pytestmark = pytest.mark.servers
STUDY = Patient().study_instance_uid


def _by_c_find(server: OrthancServer) -> StudyCensus:
    return DimseCensus(
        DimsePeer(
            host="127.0.0.1", port=server.dicom_port, called_ae_title=server.ae_title, timeout_s=60
        )
    )


def _by_qido_rs(server: OrthancServer) -> StudyCensus:
    return DicomwebCensus(DicomwebPeer(url=f"{server.url}/dicom-web", timeout_s=60))


@pytest.mark.parametrize("census_of", [_by_c_find, _by_qido_rs], ids=["c_find", "qido_rs"])
def test_the_instances_of_all_series_are_counted(orthanc: OrthancServer, census_of: object) -> None:
    assert callable(census_of)
    census = census_of(orthanc)
    assert census.count_instances(STUDY) is None
    send_datasets(make_datasets(Stack(), ramp((3, 4, 4))), orthanc)
    assert census.count_instances(STUDY) == 3
    send_datasets(make_datasets(Stack(series_number=2), ramp((4, 4, 4))), orthanc)
    assert census.count_instances(STUDY) == 7


def _match(**values: object) -> Dataset:
    match = Dataset()
    match.StudyInstanceUID = STUDY
    for keyword, value in values.items():
        setattr(match, keyword, value)
    return match


def _peer(pacs: FaultyPacs) -> DimsePeer:
    return DimsePeer(host="127.0.0.1", port=pacs.port, called_ae_title=AE_TITLE, timeout_s=60)


def test_series_and_instances_are_counted_where_the_pacs_leaves_the_number_empty() -> None:
    matches = (
        ("STUDY", _match(NumberOfStudyRelatedInstances=None)),
        ("SERIES", _match(SeriesInstanceUID="1.2.1", NumberOfSeriesRelatedInstances=5)),
        ("SERIES", _match(SeriesInstanceUID="1.2.2")),
        ("IMAGE", _match(SOPInstanceUID="1.2.2.1")),
        ("IMAGE", _match(SOPInstanceUID="1.2.2.2")),
    )
    with faulty_pacs(Fault(matches=matches)) as pacs:
        assert DimseCensus(_peer(pacs)).count_instances(STUDY) == 7


def test_a_failed_query_is_asked_again_later() -> None:
    with faulty_pacs(Fault(statuses=(0xA700,))) as pacs, pytest.raises(Transient) as caught:
        DimseCensus(_peer(pacs)).count_instances(STUDY)
    assert caught.value.code == "query-refused"


def test_a_failed_web_query_is_asked_again_later_and_names_no_study() -> None:
    with answering_http(500) as url, pytest.raises(Transient) as caught:
        DicomwebCensus(DicomwebPeer(url=url, timeout_s=60)).count_instances(STUDY)
    assert caught.value.code == "destination-unavailable"
    assert STUDY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_echo_says_whether_the_pacs_is_there(orthanc: OrthancServer) -> None:
    echo(DimsePeer(host="127.0.0.1", port=orthanc.dicom_port, called_ae_title=orthanc.ae_title))
    with pytest.raises(Transient) as caught:
        echo(DimsePeer(host="127.0.0.1", port=free_port(), called_ae_title="NOBODY"))
    assert caught.value.code == "destination-unreachable"
