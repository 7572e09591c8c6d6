"""Whoever knocks on a port of the appliance without credentials gets nothing."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from factories import Stack, make_datasets, ramp
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from servers import PLUGINS, require, wait_for
from source import ROOT

from clic_edge.app import Appliance
from clic_edge.demo.site import Site, Visitor, running_pages, running_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.uid import UID

pytestmark = pytest.mark.doors
ORTHANCS = (
    *("/", "/app/explorer.html", "/system", "/statistics", "/changes", "/plugins", "/modalities"),
    *("/patients", "/studies", "/series", "/instances", "/jobs", "/tools/now", "/tools/log-level"),
    *("/dicom-web/studies", "/dicom-web/servers", "/wado?requestType=WADO", "/ui/app/"),
    *(f"/clic-edge/studies/{'-'.join(['01234567'] * 5)}", "/webdav/"),
)
POSTED = ("/instances", "/tools/find", "/tools/shutdown", "/dicom-web/studies")
PAGES = (
    "/",
    "/cases",
    "/senders",
    "/open/x",
    "/viewer/",
    "/dicom-web/studies",
    "/account",
    "/nothing",
)
REFUSED = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}
NOT_AUTHORIZED = 0x0124


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run the appliance as it ships: Orthanc, worker and pages, beside a PACS."""
    require("Orthanc")
    if not (PLUGINS / "libOrthancPython.so").exists():
        pytest.skip("Orthanc has no Python")
    with running_site(tmp_path_factory.mktemp("ports") / "site") as running:
        yield running


@pytest.fixture(scope="module")
def pages(site: Site) -> Iterator[Visitor]:
    worker = site.settings.parent / "worker.log"
    wait_for(lambda: b"worker-started" in worker.read_bytes(), "the worker runs")
    with running_pages(site) as visitor:
        yield visitor


@pytest.mark.parametrize("log_in", [None, ("clic-edge", "wrong"), ("orthanc", "orthanc")])
def test_orthanc_answers_nobody_without_its_password(
    site: Site, log_in: tuple[str, str] | None
) -> None:
    with httpx.Client(base_url=site.appliance.url, auth=log_in, trust_env=False) as knocking:
        assert {path: knocking.get(path).status_code for path in ORTHANCS} == dict.fromkeys(
            ORTHANCS, httpx.codes.UNAUTHORIZED
        )
        assert {knocking.post(path, content=b"x").status_code for path in POSTED} == {401}


def test_the_pages_and_the_programs_way_in_answer_health_and_the_log_in_alone(
    pages: Visitor,
) -> None:
    described = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text())["paths"]
    with httpx.Client(base_url=pages.url, trust_env=False) as knocking:
        assert knocking.get("/health").status_code == httpx.codes.OK
        assert knocking.get("/login").status_code == httpx.codes.OK
        for path in PAGES:
            answer = knocking.get(path)
            led = answer.headers.get("location", "").startswith("/login")
            assert led or answer.status_code in REFUSED, path
        for path, ways in described.items():
            for way in ways:
                asked = f"/api/v1{path}".replace("{", "x").replace("}", "x")
                assert knocking.request(way, asked).status_code in REFUSED, path


def test_a_stranger_may_echo_and_nothing_else_over_dicom(site: Site) -> None:
    entity = AE("STRANGER")
    asked = (
        PatientRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelMove,
        StudyRootQueryRetrieveInformationModelGet,
    )
    for one in (Verification, MRImageStorage, *asked):
        entity.add_requested_context(one)
    (image,) = make_datasets(Stack(), ramp((1, 4, 4)))
    association = entity.associate("127.0.0.1", site.appliance.dicom_port)
    assert association.send_c_echo().Status == 0
    assert association.send_c_store(image).Status == NOT_AUTHORIZED
    association.release()
    assert {model.name: asked_for(site, model) for model in asked} == {
        model.name: False for model in asked
    }
    ledger = Appliance.open(site.settings).ledger
    wait_for(lambda: bool(ledger.senders.all()), "the stranger is remembered")
    (seen,) = ledger.senders.all()
    assert (seen.ae_title, seen.address, seen.is_allowed) == ("STRANGER", "127.0.0.1", False)
    logged_in = ("clic-edge", site.appliance.password)
    counted = httpx.get(f"{site.appliance.url}/statistics", auth=logged_in, trust_env=False)
    assert counted.json()["CountInstances"] == 0


def asked_for(site: Site, model: UID) -> bool:
    """Return whether a question to the appliance gets any answer but a refusal."""
    entity = AE("STRANGER")
    entity.add_requested_context(model)
    association = entity.associate("127.0.0.1", site.appliance.dicom_port)
    wanted = Dataset()
    wanted.QueryRetrieveLevel, wanted.StudyInstanceUID = "STUDY", ""
    if model == StudyRootQueryRetrieveInformationModelMove:
        answers = association.send_c_move(wanted, "STRANGER", model)
    elif model == StudyRootQueryRetrieveInformationModelGet:
        answers = association.send_c_get(wanted, model)
    else:
        answers = association.send_c_find(wanted, model)
    statuses = [status.get("Status") for status, _ in answers]
    association.abort()
    return any(status in {0x0000, 0xFF00, 0xFF01} for status in statuses)


def test_orthanc_answers_nobody_from_another_machine_not_even_with_the_password(
    site: Site,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks by which address it would
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    url = f"http://{address}:{site.appliance.http_port}/system"
    answer = httpx.get(url, auth=("clic-edge", site.appliance.password), trust_env=False)
    assert answer.status_code in REFUSED


def test_no_port_is_open_that_the_table_does_not_name(site: Site, pages: Visitor) -> None:
    metrics = int(site.settings.read_text().partition("metrics_port = ")[2].split()[0])
    loopback = {metrics, int(pages.url.rpartition(":")[2])}
    everywhere = {site.appliance.dicom_port, site.appliance.http_port}
    found = {address for pid in processes(site) for address in listening(pid)}
    assert {port for _, port in found} == loopback | everywhere
    assert {port for host, port in found if host == "127.0.0.1"} == loopback


def test_no_secret_stands_where_others_look(site: Site, pages: Visitor) -> None:
    secrets = [site.appliance.password.encode(), pages.password.encode()]
    secrets.append((site.settings.parent / "deid.key").read_bytes())
    for pid in processes(site):
        for name in ("environ", "cmdline"):
            content = (Path("/proc") / str(pid) / name).read_bytes()
            assert not any(secret in content for secret in secrets), name
    for log in site.settings.parent.glob("*.log"):
        assert not any(secret in log.read_bytes() for secret in secrets), log.name


def processes(site: Site) -> list[int]:
    """Return the appliance's processes, without the hospital's PACS."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if parent == os.getpid() and str(site.settings.parent) in command:
            found += [] if f"{site.pacs.name}.json" in command else [int(folder.name)]
    assert len(found) >= 3  # Orthanc, worker, pages
    return found


def listening(pid: int) -> Iterator[tuple[str, int]]:
    """Yield where a process listens: this machine, or `*` for every address."""
    folder = Path("/proc") / str(pid)
    mine = {str(one.readlink()) for one in (folder / "fd").iterdir()}
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in (folder / "net" / name).read_text().splitlines()[1:]:
            fields = line.split()
            is_open = fields[3] == "0A" or name.startswith("udp")
            if is_open and f"socket:[{fields[9]}]" in mine:
                host, port = fields[1].split(":")
                yield "127.0.0.1" if host == "0100007F" else "*", int(port, 16)
