"""The appliance's pages over a real archive and ledger, asked as a browser asks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from pages import Pages, served
from servers import OrthancServer, orthanc_server, send_datasets
from sites import hippocampus_study, study_handle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def archive() -> Iterator[OrthancServer]:
    with orthanc_server() as server:
        yield server


@pytest.fixture(scope="module")
def study(archive: OrthancServer) -> list[Dataset]:
    datasets = hippocampus_study(1)
    send_datasets(datasets, archive)
    return datasets


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, archive: OrthancServer) -> Iterator[Pages]:
    with served(tmp_path_factory.mktemp("pages"), archive) as pages:
        yield pages


@pytest.fixture
def browser(pages: Pages) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=pages.url, trust_env=False, timeout=30) as client:
        yield client


def test_health_says_that_archive_and_ledger_are_there(browser: httpx.Client) -> None:
    answer = browser.get("/health")
    assert answer.status_code == httpx.codes.OK
    assert answer.json() == {"archive": "ok", "ledger": "ok"}


def test_a_case_opens_its_study(browser: httpx.Client, pages: Pages, study: list[Dataset]) -> None:
    case_id = pages.admit(study_handle(study[0]))
    answer = browser.get(f"/open/{case_id}")
    assert answer.status_code == httpx.codes.SEE_OTHER
    assert answer.next_request
    assert answer.next_request.url.path == "/viewer/viewer"
    assert answer.next_request.url.params["StudyInstanceUIDs"] == study[0].StudyInstanceUID


def test_links_of_the_archive_lead_through_the_pages(
    browser: httpx.Client, pages: Pages, study: list[Dataset]
) -> None:
    answer = browser.get(f"/dicom-web/studies/{study[0].StudyInstanceUID}/metadata")
    assert answer.status_code == httpx.codes.OK
    assert len(answer.json()) == len(study)
    found = browser.get("/dicom-web/studies", params={"limit": "5"}).json()
    links = [value for one in found for value in one["00081190"]["Value"]]
    assert links
    assert all(link.startswith(f"{pages.url}/dicom-web/") for link in links), json.dumps(links)
