"""The appliance's pages over a real archive and ledger, asked as a browser asks."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import httpx
import pytest
from factories import CANARY, Stack, make_datasets
from logins import signed_in
from pages import Pages, open_appliance, served, serving
from results_in_code import make_result
from servers import (
    START_SECONDS,
    OrthancOptions,
    OrthancServer,
    free_port,
    kill,
    orthanc_server,
    send_datasets,
    wait_for,
)
from sites import hippocampus, hippocampus_study, study_handle

from clic_edge.app import Appliance
from clic_edge.config import load_settings
from clic_edge.deid.keys import create_key
from clic_edge.domain.result import ResultKind
from clic_edge.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder like the one that the installation makes."""
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "index.html").write_text("<!doctype html>the viewer")
    (folder / "app.bundle.0123456789abcdef0123.js").write_text("run()")
    (folder / "app.bundle.css").write_text("a {}")
    (folder / "0123456789abcdef0123.wasm").write_bytes(b"\0asm")
    (folder.parent / "secret.txt").write_text("what no page shows")
    return folder


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory, archive: OrthancServer, viewer: Path
) -> Iterator[Pages]:
    with served(tmp_path_factory.mktemp("pages"), archive, viewer=viewer) as pages:
        yield pages


@pytest.fixture
def browser(pages: Pages) -> Iterator[httpx.Client]:
    with pages.browser() as client:
        yield client


# --- health


def test_health_says_that_archive_and_ledger_are_there(browser: httpx.Client) -> None:
    answer = browser.get("/health")
    assert answer.status_code == httpx.codes.OK
    assert answer.json() == {"archive": "ok", "ledger": "ok"}


def test_health_names_what_is_away(tmp_path: Path, viewer: Path) -> None:
    with orthanc_server() as gone:
        pass
    with served(tmp_path, gone, viewer=viewer) as pages:
        pages.appliance.engine.dispose()
        for file in tmp_path.glob("clic-edge.sqlite*"):
            file.unlink()
        answer = httpx.get(f"{pages.url}/health", trust_env=False)
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.json() == {"archive": "away", "ledger": "away"}


# --- from a case to the viewer


def test_a_case_opens_its_study_with_the_segmentation(
    browser: httpx.Client, pages: Pages, study: list[Dataset]
) -> None:
    case_id = pages.admit(study_handle(study[0]))
    results = [make_result(kind) for kind in (ResultKind.SR, ResultKind.SEG)]
    Ledger.on(pages.appliance.engine).deliveries.record(case_id, tuple(results))
    answer = browser.get(f"/open/{case_id}")
    assert answer.status_code == httpx.codes.SEE_OTHER
    assert answer.next_request
    assert answer.next_request.url.path == "/viewer/viewer"
    assert dict(answer.next_request.url.params) == {
        "StudyInstanceUIDs": study[0].StudyInstanceUID,
        "initialSeriesInstanceUID": results[1].series_instance_uid,
    }


def test_a_case_that_is_unknown_or_gone_has_a_page_that_says_so(
    browser: httpx.Client, pages: Pages
) -> None:
    unknown = browser.get("/open/<b>nothing")
    assert unknown.status_code == httpx.codes.NOT_FOUND
    assert "There is no case &lt;b&gt;nothing" in unknown.text
    gone = browser.get(f"/open/{pages.admit('0000-no-study')}")
    assert gone.status_code == httpx.codes.NOT_FOUND
    assert "was deleted in the archive" in gone.text


# --- DICOMweb


def test_what_is_read_through_the_pages_is_what_the_archive_answers(
    browser: httpx.Client, archive: OrthancServer, study: list[Dataset]
) -> None:
    first = study[0]
    instance = (
        f"studies/{first.StudyInstanceUID}/series/{first.SeriesInstanceUID}"
        f"/instances/{first.SOPInstanceUID}"
    )
    frame = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    for path, accept in (
        (f"{instance}/metadata", "application/dicom+json"),
        (f"{instance}/rendered", "image/png"),
        (f"{instance}/frames/1", frame),
        (instance, 'multipart/related; type="application/dicom"'),
        (f"series?StudyInstanceUID={first.StudyInstanceUID}", "application/dicom+json"),
    ):
        through = browser.get(f"/dicom-web/{path}", headers={"Accept": accept})
        direct = httpx.get(
            f"{archive.url}/dicom-web/{path}", headers={"Accept": accept}, trust_env=False
        )
        assert through.status_code == direct.status_code == httpx.codes.OK, path
        assert plain(through, browser.base_url) == plain(direct, httpx.URL(archive.url)), path


def plain(answer: httpx.Response, base: httpx.URL) -> tuple[str, bytes]:
    """Return type and body without what differs each time: boundaries, and our addresses."""
    kind, _, rest = answer.headers["Content-Type"].partition("boundary=")
    boundary = rest.strip('"').split(";")[0].strip('"')
    body = answer.content.replace(boundary.encode(), b"*") if boundary else answer.content
    return kind, body.replace(str(base).rstrip("/").encode(), b"")


def test_links_of_the_archive_lead_through_the_pages(browser: httpx.Client, pages: Pages) -> None:
    found = browser.get("/dicom-web/studies", params={"limit": "5"}).json()
    links = [value for one in found for value in one["00081190"]["Value"]]
    assert links
    assert all(link.startswith(f"{pages.url}/dicom-web/") for link in links)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"PatientID": "CPR-ÆØÅ-1"}, ["CPR-ÆØÅ-1"]),
        ({"00100020": "CPR-ÆØÅ-1"}, ["CPR-ÆØÅ-1"]),
        ({"PatientID": "CPR-æøå-?"}, ["CPR-ÆØÅ-1"]),
        ({"PatientID": "CPR-É-1"}, ["CPR-É-1"]),
        ({"PatientName": "*åse*"}, ["CPR-ÆØÅ-1", "CPR-É-1"]),
        ({"PatientName": "*åse*", "limit": "1"}, ["CPR-ÆØÅ-1"]),
        ({"PatientName": "*åse*", "limit": "5", "offset": "1"}, ["CPR-É-1"]),
        ({"PatientName": "*åse*", "PatientID": "CPR-É*"}, ["CPR-É-1"]),
        ({"PatientName": "*ørsted*"}, []),
        ({"PatientName": "testesen^åse^ærlig"}, ["CPR-ÆØÅ-1", "CPR-É-1"]),
        ({"PatientName": "Testesen^*"}, ["CPR-ÆØÅ-1", "CPR-É-1"]),
        ({"PatientID": "CPR-É 1"}, []),
        ({"AccessionNumber": "ACC 2"}, []),
        ({"AccessionNumber": "ACC00002", "includefield": "00081030,StudyTime"}, ["CPR-É-1"]),
        ({"PatientID": "CPR-?-1"}, []),
    ],
)
def test_a_patient_is_found_by_letters_beyond_ascii(
    named: httpx.Client, query: dict[str, str], found: list[str]
) -> None:
    answer = named.get("/dicom-web/studies", params=query)
    assert answer.status_code == httpx.codes.OK
    assert sorted(one["00100020"]["Value"][0] for one in answer.json()) == found


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, viewer: Path) -> Iterator[httpx.Client]:
    """Return a browser on pages over an archive with two patients."""
    with orthanc_server() as archive:
        for number, patient_id in ((1, "CPR-ÆØÅ-1"), (2, "CPR-É-1")):
            datasets = hippocampus_study(number)[:1]
            datasets[0].PatientID = patient_id
            send_datasets(datasets, archive)
        with (
            served(tmp_path_factory.mktemp("named"), archive, viewer=viewer) as pages,
            pages.browser() as browser,
        ):
            yield browser


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_nothing_but_reading_is_let_through(
    browser: httpx.Client, archive: OrthancServer, study: list[Dataset], method: str
) -> None:
    for path in ("studies", f"studies/{study[0].StudyInstanceUID}"):
        answer = browser.request(method, f"/dicom-web/{path}")
        assert answer.status_code == httpx.codes.METHOD_NOT_ALLOWED
    assert archive.get("/statistics")["CountInstances"] == len(study)  # type: ignore[index] # JSON


@pytest.mark.parametrize(
    "path",
    [
        "",
        "servers",
        "../system",
        "studies/../../system",
        "%2e%2e/system",
        "studies/1/../../../tools",
        "studies/1.2/archive",
        "studies/1.2/series/1/instances/1/delete",
        "studies%2f..%2f..%2fsystem",
    ],
)
def test_other_paths_of_the_archive_are_not_there(pages: Pages, path: str) -> None:
    # A client of our own: httpx would tidy the path up before it is sent.
    request = httpx.Request("GET", httpx.URL(pages.url))
    request.url = httpx.URL(pages.url, raw_path=f"/dicom-web/{path}".encode())
    with pages.browser() as client:
        request.headers["Cookie"] = cookie_of(client)
        assert client.send(request).status_code == httpx.codes.NOT_FOUND


def test_the_archive_gets_the_password_of_the_settings_and_the_browser_hears_of_none(
    tmp_path: Path, viewer: Path
) -> None:
    (tmp_path / "password").write_text("right\n")
    more = f'username = "clic"\npassword_file = "{tmp_path}/password"\n'
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"clic": "right", "web": "own"}}
    with orthanc_server(OrthancOptions(configuration=users)) as archive:
        with (
            served(tmp_path, archive, viewer=viewer, more=more) as pages,
            pages.browser() as browser,
        ):
            assert browser.get("/dicom-web/studies").json() == []
        (tmp_path / "password").write_text("wrong\n")
        with (
            served(tmp_path, archive, viewer=viewer, more=more) as pages,
            pages.browser() as browser,
        ):
            refused = browser.get("/dicom-web/studies")
    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "WWW-Authenticate" not in refused.headers


def cookie_of(client: httpx.Client) -> str:
    """Return the session that a request of one's own making sends."""
    return "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)


# --- what the browser is told


@pytest.mark.parametrize(
    "path", ["/health", "/open/nothing", "/viewer/", "/dicom-web/studies", "/nothing"]
)
def test_every_answer_keeps_the_browser_on_the_box(browser: httpx.Client, path: str) -> None:
    headers = browser.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    assert "http" not in policy
    assert "*" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Server" not in headers


def test_a_page_that_points_its_own_name_here_gets_nothing(browser: httpx.Client) -> None:
    for host in ("evil.example", "evil.example:8043", ""):
        answer = browser.get("/dicom-web/studies", headers={"Host": host})
        assert answer.status_code == httpx.codes.BAD_REQUEST


def test_the_address_that_results_carry_is_answered(
    tmp_path: Path, archive: OrthancServer, viewer: Path
) -> None:
    appliance = open_appliance(tmp_path, archive, viewer=viewer)
    settings = tmp_path / "clic-edge.toml"
    text = settings.read_text().replace("[web]", '[web]\nurl = "https://ai.hospital.example:8443"')
    settings.write_text(text)
    create_key(appliance.settings.appliance.deid_key)
    with serving(Appliance.open(settings)) as url:
        for host, status in (("ai.hospital.example", 200), ("hospital.example", 400)):
            answer = httpx.get(f"{url}/health", headers={"Host": host}, trust_env=False)
            assert answer.status_code == status


# --- the viewer's files


@pytest.mark.parametrize(
    ("path", "kind", "kept"),
    [
        ("", "text/html", False),
        ("viewer?StudyInstanceUIDs=1.2.3", "text/html", False),
        ("app.bundle.0123456789abcdef0123.js", "text/javascript", True),
        ("app.bundle.css", "text/css", False),
        ("0123456789abcdef0123.wasm", "application/wasm", True),
        ("app-config.js", "text/javascript", False),
        ("boot.js", "text/javascript", False),
    ],
)
def test_a_file_has_its_type_and_is_kept_when_its_name_says_its_content(
    browser: httpx.Client,
    path: str,
    kind: str,
    kept: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    answer = browser.get(f"/viewer/{path}")
    assert answer.status_code == httpx.codes.OK
    assert answer.headers["Content-Type"].startswith(kind)
    assert ("immutable" in answer.headers["Cache-Control"]) == kept
    assert ("no-cache" in answer.headers["Cache-Control"]) != kept


def test_a_file_that_is_not_there_is_not_the_page(browser: httpx.Client) -> None:
    assert browser.get("/viewer/nothing.js").status_code == httpx.codes.NOT_FOUND


@pytest.mark.parametrize("path", ["../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt"])
def test_no_path_leads_out_of_the_viewers_folder(pages: Pages, path: str) -> None:
    request = httpx.Request("GET", httpx.URL(pages.url))
    request.url = httpx.URL(pages.url, raw_path=f"/viewer/{path}".encode())
    with pages.browser() as client:
        request.headers["Cookie"] = cookie_of(client)
        assert "what no page shows" not in client.send(request).text


def test_a_site_without_viewer_is_told_what_to_run(tmp_path: Path, archive: OrthancServer) -> None:
    with (
        served(tmp_path, archive, viewer=tmp_path / "none") as pages,
        pages.browser() as browser,
    ):
        answer = browser.get("/viewer/")
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert re.search("make viewer.*clic-edge viewer install", answer.text)


# --- the log


def test_no_log_names_a_study_whatever_is_asked(tmp_path: Path, viewer: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    datasets = make_datasets(Stack(patient=CANARY, description="Kanarie"), hippocampus())
    with orthanc_server() as archive:
        send_datasets(datasets, archive)
        appliance = open_appliance(tmp_path, archive, viewer=viewer)
        settings = tmp_path / "clic-edge.toml"
        settings.write_text(settings.read_text().replace("[web]", f"[web]\nport = {port}"))
        case_id = Pages(url=url, appliance=appliance).admit(study_handle(datasets[0]))
        with log.open("wb") as output, web_process(settings, output):
            ask_everything(url, case_id, datasets[0])
            os.kill(archive.pid, signal.SIGKILL)
            ask_everything(url, case_id, datasets[0])
    written = log.read_text()
    assert "foreign-log" in written, "the log is written, so an empty one proves nothing"
    for value in (CANARY.study_instance_uid, CANARY.uid_root, CANARY.patient_id, "Kanarie"):
        assert value not in written


def ask_everything(url: str, case_id: str, dataset: Dataset) -> None:
    """Ask each page, with identity in path, query and headers; in vain or not."""
    study = f"studies/{dataset.StudyInstanceUID}"
    with signed_in(url) as browser:
        for path in (
            f"/open/{case_id}",
            f"/open/{dataset.StudyInstanceUID}",
            f"/viewer/viewer?StudyInstanceUIDs={dataset.StudyInstanceUID}",
            f"/viewer/{dataset.StudyInstanceUID}.js",
            f"/dicom-web/{study}/metadata",
            f"/dicom-web/{study}/series/{dataset.SeriesInstanceUID}/rendered",
            f"/dicom-web/studies?PatientID={dataset.PatientID}",
            f"/dicom-web/studies?{dataset.PatientID}=%ff%00",
            f"/dicom-web/{study}/{dataset.PatientID}",
            f"/{dataset.StudyInstanceUID}",
        ):
            for method in ("GET", "POST", "DELETE"):
                browser.request(method, path, headers={"Referer": f"{url}{path}"})
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as broken:
        broken.sendall(f"GET /{study} HTTP/9.9 {study}\r\n\r\n".encode())
        broken.recv(1000)


@contextmanager
def web_process(settings: Path, output: IO[bytes]) -> Iterator[None]:
    """Run `clic-edge web` with all that it can log, until it ends at SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "clic_edge", "-c", str(settings), "--debug", "web"],
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    port = load_settings(settings).web.port
    try:
        wait_for(
            lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/health"),
            "the pages are served",
        )
        assert process.poll() is None
        yield
        process.terminate()
        assert process.wait(START_SECONDS) in {0, -signal.SIGTERM}
    finally:
        kill(process)


def answers(url: str) -> bool:
    """Return whether anybody answers."""
    try:
        httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return False
    return True
