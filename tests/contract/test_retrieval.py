"""What a StudySource finds and brings: the own Orthanc, C-MOVE, WADO-RS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from factories import Patient, Stack, make_datasets, ramp
from servers import OrthancOptions, OrthancServer, free_port, orthanc_server, send_datasets

from clic_edge.errors import Transient
from clic_edge.pacs import retrieval
from clic_edge.pacs.association import DimsePeer
from clic_edge.pacs.dicomweb import DicomwebPeer
from clic_edge.pacs.rest import HttpRest, OrthancPeer
from clic_edge.pacs.retrieval import DicomwebSource, DimseSource, HereSource
from clic_edge.pacs.transport import StudySource

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.servers

QUERY = {"ModalitiesInStudy": "MR"}
Kinds = dict[str, StudySource]


def studies() -> dict[str, list[object]]:
    """Return the instances of a study for each way to bring it, by UID."""
    found = {}
    for number in range(3):
        patient = replace(
            Patient(), study_instance_uid=f"1.2.3.{number}", uid_root=f"1.2.4.{number}"
        )
        datasets = make_datasets(Stack(patient=patient), ramp())
        found[patient.study_instance_uid] = list(datasets)
    return found


@pytest.fixture(scope="module")
def sources() -> Iterator[tuple[Kinds, OrthancServer]]:
    port = free_port()
    modalities = {
        "DicomModalities": {"here": ["HERE", "127.0.0.1", port]},
        "DicomAlwaysAllowMove": True,
    }
    with (
        orthanc_server(OrthancOptions(ae_title="HERE", dicom_port=port, dicomweb=False)) as here,
        orthanc_server(OrthancOptions(ae_title="PACS", configuration=modalities)) as pacs,
    ):
        for datasets in studies().values():
            send_datasets(datasets, pacs)  # type: ignore[arg-type]
        rest = HttpRest(OrthancPeer(url=here.url))
        dimse = DimsePeer(host="127.0.0.1", port=pacs.dicom_port, called_ae_title="PACS")
        web = DicomwebPeer(url=f"{pacs.url}/dicom-web")
        yield (
            {
                "dimse": DimseSource(dimse, rest),
                "dicomweb": DicomwebSource(web, rest),
                "here": HereSource(rest),
            },
            here,
        )
        rest.close()


@pytest.mark.parametrize(("kind", "uid"), [("dimse", "1.2.3.0"), ("dicomweb", "1.2.3.1")])
def test_a_study_is_found_and_brought_whole_and_again_changes_nothing(
    sources: tuple[Kinds, OrthancServer], kind: str, uid: str
) -> None:
    source, here = sources[0][kind], sources[1]
    assert source.brings
    assert sorted(source.find(QUERY)) == sorted(studies())
    assert not list(source.find({"ModalitiesInStudy": "CT"}))
    handles = {source.fetch(uid), source.fetch(uid)}
    (handle,) = handles
    assert handle
    assert (source.here(uid), source.here("1.2.3.99")) == (handle, None)
    held = here.get(f"/studies/{handle}/instances")
    assert isinstance(held, list)
    assert len(held) == len(studies()[uid])
    assert uid in set(sources[0]["here"].find(QUERY))


def test_an_archive_of_more_than_one_page_is_found_whole(
    sources: tuple[Kinds, OrthancServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "_PAGE", 2)
    source = sources[0]["dicomweb"]
    assert sorted(source.find(QUERY)) == sorted(studies())
    assert sorted(source.find({"ModalitiesInStudy": "M*"})) == sorted(studies())


def test_what_is_not_in_the_own_archive_has_no_handle(
    sources: tuple[Kinds, OrthancServer],
) -> None:
    assert sources[0]["here"].fetch("1.2.3.99") is None


@pytest.mark.parametrize("kind", ["dimse", "dicomweb"])
def test_a_pacs_that_is_away_is_told_as_that(
    sources: tuple[Kinds, OrthancServer], kind: str
) -> None:
    rest = HttpRest(OrthancPeer(url=sources[1].url))
    nowhere = free_port()
    away: StudySource = DimseSource(
        DimsePeer(host="127.0.0.1", port=nowhere, called_ae_title="PACS"), rest
    )
    if kind == "dicomweb":
        away = DicomwebSource(DicomwebPeer(url=f"http://127.0.0.1:{nowhere}/dicom-web"), rest)
    for act in (lambda: list(away.find(QUERY)), lambda: away.fetch("1.2.3.2")):
        with pytest.raises(Transient):
            act()
