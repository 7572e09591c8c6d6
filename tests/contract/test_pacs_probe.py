"""`clic-edge pacs`: what a PACS takes, found by asking it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from faulty_pacs import AE_TITLE, Commitment, Fault, answering_http, faulty_pacs
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from servers import OrthancOptions, free_port, orthanc_server
from typer.testing import CliRunner

from clic_edge.cli import app, console
from clic_edge.config import DestinationProfile, destination_profile, load_settings
from clic_edge.config.toml import read_toml
from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs.dicomweb import DicomwebPeer
from clic_edge.pacs.dimse import DimsePeer
from clic_edge.pacs.probe import Offer, offers
from clic_edge.pacs.probe_web import services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

pytestmark = pytest.mark.servers


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a site whose only destination is called ``pacs``, and a wide terminal."""
    monkeypatch.setattr(console.stdout, "width", 200)  # it may have been made before
    return Site(tmp_path)


class Site:
    """A folder with settings, and the command line beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "clic-edge.toml"
        self.profile = folder / "found.toml"

    def dimse(self, port: int, called_ae_title: str, more: str = "") -> None:
        """Let the destination be a PACS on loopback."""
        self.settings.write_text(
            f'[destinations.pacs]\nkind = "dimse"\nhost = "127.0.0.1"\nport = {port}\n'
            f'called_ae_title = "{called_ae_title}"\ntimeout_s = 30\n{more}'
        )

    def web(self, url: str) -> None:
        """Let the destination be a DICOMweb service."""
        self.settings.write_text(
            f'[destinations.pacs]\nkind = "dicomweb"\nurl = "{url}"\ntimeout_s = 30\n'
        )

    def run(self, *words: str) -> Result:
        """Run ``clic-edge pacs``."""
        return CliRunner().invoke(app, ["-c", str(self.settings), "pacs", *words])

    def probe(self, *more: str) -> tuple[str, DestinationProfile]:
        """Run the probe and return what it printed and the profile that it wrote."""
        ran = self.run("probe", "pacs", "--write", str(self.profile), *more)
        assert ran.exit_code == 0, (ran.output, ran.exception)
        return ran.output, read_toml(DestinationProfile, self.profile)


def row(output: str, name: str) -> list[str]:
    """Return the words of the line that begins with `name`."""
    (line,) = re.findall(rf"^{re.escape(name)} {{2,}}(.*)$", output, re.MULTILINE)
    return re.split(r" {2,}", line.strip())


@contextmanager
def _orthanc_that_reports() -> Iterator[tuple[int, int]]:
    port = free_port()
    ours = {"AET": "CLICEDGE", "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
    options = OrthancOptions(ae_title="PACS", configuration={"DicomModalities": {"edge": ours}})
    with orthanc_server(options) as server:
        yield server.dicom_port, port
        assert server.get("/instances") == []


def test_orthanc_is_what_its_profile_says(site: Site, root: Path) -> None:
    with _orthanc_that_reports() as (dicom_port, report_port):
        site.dimse(dicom_port, "PACS")
        output, found = site.probe("--report-port", str(report_port))
    plain = ["yes"] * 5
    assert row(output, "Segmentation") == [*plain, "no", "seg, seg-fractional"]
    assert row(output, "Comprehensive 3D SR") == [*plain, "no", "sr, summary"]
    assert row(output, "Label Map Segmentation")[:6] == ["no"] * 6
    assert "class not known" in output
    assert row(output, "Storage Commitment")[:6] == ["yes", "yes", *["no"] * 4]
    assert row(output, "C-FIND, level IMAGE") == ["yes"]
    assert "on own-association: 0x0112 no such object" in output
    shipped = read_toml(DestinationProfile, root / "configs" / "destinations" / "orthanc.toml")
    assert found.results == shipped.results
    assert found.commitment.way == shipped.commitment.way
    assert found.commitment.port == report_port
    assert found.character_set == shipped.character_set


def test_orthanc_over_the_web(site: Site) -> None:
    with orthanc_server() as server:
        site.web(f"{server.url}/dicom-web")
        output, found = site.probe()
        assert server.get("/instances") == []
    assert row(output, "STOW-RS")[0] == "yes"
    assert row(output, "QIDO-RS, instances")[0] == "yes"
    assert row(output, "WADO-RS")[0] == "yes"
    assert row(output, "TLS") == ["no", "plain HTTP: names travel readable"]
    assert found.confirm == "qido"
    assert found.commitment.way == "none"


@pytest.mark.parametrize("asks", [True, False])
def test_a_report_on_the_same_association_is_told(site: Site, *, asks: bool) -> None:
    with faulty_pacs(Fault(commitment=Commitment())) as pacs:
        site.dimse(pacs.port, AE_TITLE)
        output, found = site.probe(*["--commitment"] * asks)
        assert (len(pacs.requests), pacs.received) == (int(asks), [])
    assert ("on same-association" in output) is asks
    assert found.commitment.way == ("same-association" if asks else "none")
    assert found.confirm == "c-find"
    assert found.commitment.port is None


def test_a_pacs_that_never_reports_gets_no_commitment(site: Site) -> None:
    with faulty_pacs(Fault(commitment=Commitment(hangs_up=True))) as pacs:
        site.dimse(pacs.port, AE_TITLE)
        output, found = site.probe("--commitment")
    assert "has not reported" in output
    assert (found.commitment.way, found.confirm) == ("none", "c-find")


def test_a_pacs_without_seg_gets_pictures_and_a_report(site: Site) -> None:
    classes = (SecondaryCaptureImageStorage, EncapsulatedPDFStorage, Comprehensive3DSRStorage)
    with faulty_pacs(Fault(sop_classes=classes)) as pacs:
        site.dimse(pacs.port, AE_TITLE)
        _, found = site.probe()
    assert found.results == ("sr", "summary", "sc", "pdf")


def test_a_pacs_that_knows_label_maps_only_gets_those(site: Site) -> None:
    labelmap = "1.2.840.10008.5.1.4.1.1.66.7"
    with faulty_pacs(Fault(sop_classes=(labelmap, Comprehensive3DSRStorage))) as pacs:
        site.dimse(pacs.port, AE_TITLE)
        _, found = site.probe()
    assert found.results[:3] == ("seg-labelmap", "sr", "summary")


def test_a_pacs_that_answers_no_query_proves_nothing(site: Site) -> None:
    with faulty_pacs(Fault(statuses=(0xA700,))) as pacs:
        site.dimse(pacs.port, AE_TITLE)
        output, found = site.probe()
    assert row(output, "C-FIND, level STUDY")[0] == "no"
    assert found.confirm == "none"


def test_each_class_has_its_own_answer() -> None:
    fault = Fault(sop_classes=(SegmentationStorage,), transfer_syntaxes=("1.2.840.10008.1.2",))
    with faulty_pacs(fault) as pacs:
        peer = DimsePeer(host="127.0.0.1", port=pacs.port, called_ae_title=AE_TITLE, timeout_s=30)
        found: dict[str, Offer] = {one.sop_class.name: one for one in offers(peer)}
    assert found["Segmentation"].syntaxes == ("implicit",)
    assert found["Segmentation"].accepted
    assert not found["Encapsulated PDF"].accepted
    assert "not known" in found["Encapsulated PDF"].rejection
    assert pacs.received == []


# --- what goes wrong


def test_a_pacs_that_is_not_there_is_said_at_once(site: Site) -> None:
    port = free_port()
    site.dimse(port, "NOBODY")
    ran = site.run("probe", "pacs", "--write", str(site.profile))
    assert isinstance(ran.exception, Transient)
    assert ran.exception.code == "destination-unreachable"
    assert not site.profile.exists()


def test_a_pacs_that_does_not_know_us_is_said_at_once(site: Site) -> None:
    with faulty_pacs(Fault(refuse_association=True)) as pacs:
        site.dimse(pacs.port, AE_TITLE)
        ran = site.run("probe", "pacs")
    assert isinstance(ran.exception, Transient)
    assert ran.exception.code == "association-refused"


def test_a_web_service_that_is_not_there_or_not_for_us_is_said(site: Site) -> None:
    site.web(f"http://127.0.0.1:{free_port()}/dicom-web")
    ran = site.run("probe", "pacs")
    assert isinstance(ran.exception, Transient)
    for status, answer in ((401, "user or password"), (404, "HTTP 404")):
        with answering_http(status) as url:
            found = services(DicomwebPeer(url=url, timeout_s=30))
        store = next(one for one in found if one.name == "STOW-RS")
        assert (store.offered, answer in store.answer) == (False, True)


def test_a_server_that_does_not_speak_tls_is_not_trusted() -> None:
    with answering_http(200) as url, pytest.raises(Transient) as caught:
        services(DicomwebPeer(url=url.replace("http:", "https:"), timeout_s=30))
    assert caught.value.code == "destination-unreachable"
    assert "certificate" in caught.value.sentence


def test_a_port_that_the_worker_holds_is_said(site: Site) -> None:
    with faulty_pacs(Fault(commitment=Commitment())) as pacs:
        site.dimse(pacs.port, AE_TITLE)
        ran = site.run("probe", "pacs", "--report-port", str(pacs.port))
    assert isinstance(ran.exception, ConfigError)
    assert ran.exception.code == "port-in-use"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["pcas"], "no-such-destination"),
        (["pacs", "--write", "{folder}/clic-edge.toml"], "profile-exists"),
    ],
)
def test_a_word_that_cannot_be_meant_is_refused_before_anything_is_asked(
    site: Site, words: list[str], code: str
) -> None:
    site.dimse(free_port(), "NOBODY")
    ran = site.run("probe", *(word.format(folder=site.folder) for word in words))
    assert isinstance(ran.exception, ConfigError)
    assert ran.exception.code == code


def test_a_folder_needs_no_probe(site: Site) -> None:
    site.settings.write_text('[destinations.pacs]\nkind = "folder"\npath = "out"\n')
    ran = site.run("probe", "pacs")
    assert isinstance(ran.exception, ConfigError)
    assert ran.exception.code == "nothing-to-probe"


def test_a_profile_that_cannot_be_written_is_said(site: Site) -> None:
    with faulty_pacs(Fault()) as pacs:
        site.dimse(pacs.port, AE_TITLE)
        ran = site.run("probe", "pacs", "--write", str(site.folder / "no" / "found.toml"))
    assert isinstance(ran.exception, ConfigError)
    assert ran.exception.code == "out-unwritable"


# --- the list, and the way of a profile


def test_what_was_written_is_what_the_destination_then_has(site: Site) -> None:
    with faulty_pacs(Fault(commitment=Commitment())) as pacs:
        site.dimse(pacs.port, AE_TITLE)
        _, found = site.probe("--commitment")
        site.dimse(pacs.port, AE_TITLE, 'profile = "found.toml"\n')
    assert destination_profile(load_settings(site.settings), "pacs") == found
    ran = site.run("list")
    assert ran.exit_code == 0
    assert row(ran.output, "pacs")[0] == "dimse"
    assert "found" in ran.output
    assert "storage commitment (same-association)" in ran.output


def test_the_list_says_what_a_destination_without_profile_gets(site: Site) -> None:
    site.dimse(free_port(), "PACS")
    ran = site.run("list")
    assert ran.exit_code == 0
    assert "seg, sr, summary" in ran.output
    assert "its receipts alone" in ran.output
