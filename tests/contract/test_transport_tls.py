"""DICOM over TLS, out and in, with DCMTK, pynetdicom and Orthanc at the other end."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from authorities import Authority, Machine
from factories import Patient, Stack, file_bytes, make_datasets, ramp
from faulty_pacs import deaf_port
from lines import a_pipeline
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # defined by a loop
from results_in_code import make_results
from servers import OrthancOptions, free_port, kill, orthanc_server, require, wait_for

from clic_edge.assembly import commitment_ports
from clic_edge.config import load_settings
from clic_edge.config.archive import archive_configuration
from clic_edge.config.receiving import Orthanc, OrthancTls
from clic_edge.config.settings import DestinationTls
from clic_edge.config.settings import DimseDestination as Settings
from clic_edge.conformance.facts import facts
from clic_edge.conformance.statement import statement
from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs.acceptor import acceptor
from clic_edge.pacs.association import DimsePeer
from clic_edge.pacs.commitment import CommitmentTerms, CommitmentWitness, Reports, listening
from clic_edge.pacs.dimse import DimseDestination, echo
from clic_edge.pacs.rest import HttpRest, OrthancPeer
from clic_edge.pacs.tls import Tls
from clic_edge.readiness.files import dicom_tls
from clic_edge.readiness.finding import Verdict
from clic_edge.reporting.document import Table
from clic_edge.transports import dimse_peer, orthanc_tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pynetdicom.transport import ThreadedAssociationServer
    from servers import OrthancServer

pytestmark = pytest.mark.servers
STUDY = Patient().study_instance_uid
OLD = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
"""Python warns of what is asked for here to see that it is refused."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A hospital's certificates, and those of somebody else."""

    ours: Authority
    other: Authority
    edge: Machine
    pacs: Machine

    def tls(self) -> Tls:
        """Return what the appliance has."""
        return told(self.ours.path, self.edge)

    def peer(self, port: int) -> DimsePeer:
        """Return a PACS of this machine."""
        return DimsePeer(
            host="127.0.0.1", port=port, called_ae_title="PACS", timeout_s=60, tls=self.tls()
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("authorities")
    ours, other = Authority(folder, "ours"), Authority(folder, "other")
    return Site(ours=ours, other=other, edge=ours.certify("edge"), pacs=ours.certify("pacs"))


def told(ca: Path, machine: Machine | None, hostname: str = "127.0.0.1") -> Tls:
    """Return what an appliance has that shows the certificate of `machine`."""
    if machine is None:
        return Tls(ca=ca, hostname=hostname)
    return Tls(ca=ca, certificate=machine.certificate, key=machine.key, hostname=hostname)


def hindrance(peer: DimsePeer) -> str:
    """Return the code of what hinders a C-ECHO; the sentence names the address and nobody."""
    with pytest.raises(Transient) as caught:
        echo(peer)
    told_of = f"The PACS at 127.0.0.1:{peer.port} "
    assert caught.value.sentence.startswith(told_of)
    assert not any(name in caught.value.sentence for name in ("stranger", "edge", "CN="))
    return caught.value.code


# --- out


@pytest.fixture(scope="module")
def storescp(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Start a PACS of DCMTK that wants certificates of the hospital; yield its port and folder."""
    folder, port = tmp_path_factory.mktemp("pacs"), free_port()
    secured = ["+tls", site.pacs.key, site.pacs.certificate, "+cf", site.ours.path]
    process = subprocess.Popen(
        [require("storescp"), *secured, "-od", folder, str(port)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: _answers(port), "storescp listens")
        yield port, folder
    finally:
        kill(process)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_results_go_under_tls_to_a_pacs_that_asks_for_our_certificate(
    site: Site, storescp: tuple[int, Path]
) -> None:
    port, folder = storescp
    receipts = DimseDestination("pacs", site.peer(port)).deliver(make_results())
    assert all(one.accepted for one in receipts)
    assert len(list(folder.iterdir())) == len(receipts) == 2


def test_each_thing_that_is_wrong_with_a_certificate_has_a_code_of_its_own(
    site: Site, storescp: tuple[int, Path]
) -> None:
    ca, peer = site.ours.path, site.peer(storescp[0])
    ended, stranger = site.ours.certify("ended", days=-1), site.other.certify("stranger")
    for tls, code in (
        (told(site.other.path, site.edge), "tls-peer-untrusted"),
        (told(ca, site.edge, "pacs.example"), "tls-peer-name"),
        (told(ca, site.edge, "192.0.2.9"), "tls-peer-name"),
        (told(ca, None), "tls-refused"),
        (told(ca, stranger), "tls-refused"),
        (told(ca, ended), "tls-refused"),
    ):
        assert hindrance(replace(peer, tls=tls)) == code


@pytest.fixture(scope="module")
def scp() -> Iterator[ThreadedAssociationServer]:
    """Start a PACS of pynetdicom; `ssl_context` is what its next connection speaks."""
    ae = AE("PACS")
    ae.add_supported_context(Verification)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    assert server
    try:
        yield server
    finally:
        server.shutdown()


def serving(
    machine: Machine, ca: Path | None = None, only: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """Return TLS of a PACS in one version; with `ca`, it wants a certificate of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else OpenSSL itself refuses what is old
    context.minimum_version = context.maximum_version = only
    context.load_cert_chain(machine.certificate, machine.key)
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
    return context


def test_a_refusal_that_comes_after_our_part_of_the_handshake_is_understood(
    site: Site, scp: ThreadedAssociationServer
) -> None:
    # In TLS 1.3 the peer looks at our certificate when the association is asked for already.
    peer = site.peer(scp.server_address[1])
    scp.ssl_context = serving(site.pacs, site.ours.path)
    echo(peer)
    assert hindrance(replace(peer, tls=told(site.ours.path, None))) == "tls-refused"


@OLD
def test_an_ended_certificate_an_old_version_and_no_tls_at_all_are_told_apart(
    site: Site, scp: ThreadedAssociationServer
) -> None:
    peer = site.peer(scp.server_address[1])
    scp.ssl_context = serving(site.ours.certify("old", days=-1))
    assert hindrance(peer) == "tls-peer-expired"
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        scp.ssl_context = serving(site.pacs, only=version)
        assert hindrance(peer) == "tls-absent"
    scp.ssl_context = serving(site.pacs, only=ssl.TLSVersion.TLSv1_2)
    echo(peer)
    scp.ssl_context = None
    assert hindrance(peer) == "tls-absent"
    with deaf_port() as port:
        assert hindrance(replace(site.peer(port), timeout_s=0.3)) == "tls-absent"
    with pytest.raises(Transient, match="destination-unreachable"):
        echo(site.peer(free_port()))


def test_a_renewed_certificate_counts_at_once_and_one_that_is_gone_makes_cases_wait(
    site: Site, scp: ThreadedAssociationServer, tmp_path: Path
) -> None:
    ours, gone = tmp_path / "ours.pem", tmp_path / "gone.pem"
    ours.write_bytes(site.ours.certify("before", days=-1).certificate.read_bytes())
    machine = Machine(certificate=ours, key=site.edge.key)
    scp.ssl_context = serving(site.pacs, site.ours.path)
    peer = replace(site.peer(scp.server_address[1]), tls=told(site.ours.path, machine))
    assert hindrance(peer) == "tls-refused"
    ours.write_bytes(site.edge.certificate.read_bytes())
    echo(peer)
    ours.rename(gone)
    with pytest.raises(Transient, match=r"ours\.pem: No such file") as caught:
        echo(peer)
    assert caught.value.code == "tls-files"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ca": "no.pem"}, "tls-unreadable"),
        ({"ca": "edge.key"}, "tls-unreadable"),
        ({"certificate": "no.pem"}, "tls-unreadable"),
        ({"key": "no.pem"}, "tls-unreadable"),
        ({"key": "edge.pem"}, "tls-unreadable"),
        ({"key": "other.key"}, "tls-mismatch"),
    ],
    ids=str,
)
def test_files_that_are_no_use_stop_the_start_by_name(
    site: Site, tmp_path: Path, wrong: dict[str, str], code: str
) -> None:
    for name, path in (
        ("ca.pem", site.ours.path),
        ("edge.pem", site.edge.certificate),
        ("edge.key", site.edge.key),
        ("other.key", site.other.certify("x").key),
    ):
        (tmp_path / name).write_bytes(path.read_bytes())
    right = {"ca": "ca.pem", "certificate": "edge.pem", "key": "edge.key"}

    def settings(**files: str) -> Settings:
        tls = DestinationTls.model_validate({key: tmp_path / one for key, one in files.items()})
        return Settings(kind="dimse", host="pacs", port=104, called_ae_title="PACS", tls=tls)

    peer = dimse_peer(settings(**right))
    assert peer.tls
    assert peer.tls.hostname == "pacs"
    with pytest.raises(ConfigError) as caught:
        dimse_peer(settings(**right | wrong))
    assert caught.value.code == code
    assert str(tmp_path / next(iter(wrong.values()))) in caught.value.sentence


TOML = """
[appliance]
destination_profiles = "."
[destinations.pacs]
kind = "dimse"
host = "127.0.0.1"
port = 2762
called_ae_title = "PACS"
profile = "reports"
[destinations.pacs.tls]
ca = "ca.pem"
certificate = "edge.pem"
key = "edge.key"
"""


def test_check_says_until_when_certificates_hold_and_which_file_is_missing(
    site: Site, tmp_path: Path
) -> None:
    def said(days: int) -> list[tuple[str, Verdict]]:
        machine = site.ours.certify("short", days=days)
        (tmp_path / "edge.pem").write_bytes(machine.certificate.read_bytes())
        return [(one.what, one.verdict) for one in dicom_tls(load_settings(settings))]

    settings = tmp_path / "clic-edge.toml"
    settings.write_text(TOML)
    (tmp_path / "edge.key").write_bytes(site.edge.key.read_bytes())
    (missing,) = dicom_tls(load_settings(settings))
    assert (missing.verdict, missing.exit_code) == (Verdict.NO, ConfigError.exit_code)
    assert missing.seen == f"{tmp_path / 'ca.pem'}: No such file or directory."
    (tmp_path / "ca.pem").write_bytes(site.ours.path.read_bytes())
    assert said(days=60) == [("TLS to pacs", Verdict.OK)]
    assert said(days=20) == [("TLS to pacs", Verdict.LOOK)]
    assert said(days=-1) == [("TLS to pacs", Verdict.NO)]


@pytest.mark.parametrize(
    ("files", "words"),
    [("ca = 'a'\ncertificate = 'b'", "come together"), ("hostname = 'pacs'", "ca")],
)
def test_half_of_a_pair_and_no_authority_are_no_settings(
    tmp_path: Path, files: str, words: str
) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(TOML.partition("ca =")[0] + files)
    with pytest.raises(ConfigError, match=words):
        load_settings(settings)


def test_one_port_for_reports_speaks_in_one_way_to_all(tmp_path: Path) -> None:
    path = tmp_path / "clic-edge.toml"
    (tmp_path / "reports.toml").write_text('[commitment]\nway = "own-association"\nport = 11113\n')
    both = (a_pipeline().model_copy(update={"destinations": ("pacs", "archive")}),)
    twin = TOML.partition("[destinations")[1] + TOML.partition("[destinations")[2]
    path.write_text(TOML + twin.replace(".pacs", ".archive").replace("host =", "host = 'b' #"))
    settings = load_settings(path)
    (tls,) = commitment_ports(settings, both).values()
    assert tls
    path.write_text(TOML + twin.replace(".pacs", ".archive").replace("edge.pem", "other.pem"))
    with pytest.raises(ConfigError, match="port-shared"):
        commitment_ports(load_settings(path), both)


def test_the_conformance_statement_says_where_tls_is_used(tmp_path: Path) -> None:
    path = tmp_path / "clic-edge.toml"
    (tmp_path / "reports.toml").write_text("")
    plain = TOML.partition("[destinations.pacs.tls]")[0]
    for text, protection in (
        (plain, "none: in the clear"),
        (TOML, "TLS 1.2 or 1.3; certificates: both"),
        (TOML.partition("certificate")[0], "TLS 1.2 or 1.3; certificates: who accepts"),
    ):
        path.write_text(text)
        site = facts(load_settings(path), (a_pipeline(),), version="1", acceptor=None)
        (security,) = (
            section
            for section in statement(site, day="2026-01-01").sections
            if section.heading == "7 Security"
        )
        (table,) = (block for block in security.blocks if isinstance(block, Table))
        assert table.rows == (("into the archive", "none: in the clear"), ("to pacs", protection))


# --- the port for reports of storage commitment


def test_the_port_for_reports_hears_who_is_certified_and_nobody_keeps_it_waiting(
    site: Site,
) -> None:
    port = free_port()
    with listening(port, Reports(), site.tls()), socket.create_connection(("127.0.0.1", port)):
        echo(site.peer(port))
        for tls in (told(site.ours.path, None), told(site.ours.path, site.other.certify("y"))):
            assert hindrance(replace(site.peer(port), tls=tls)) == "tls-refused"
        with pytest.raises(Transient):
            echo(replace(site.peer(port), tls=None, timeout_s=5))


# --- in: the appliance's own Orthanc, with the files that are shipped


@dataclass(frozen=True, kw_only=True)
class Appliance:
    """Its Orthanc, what it was told, and the port to which it reports as if it were a PACS."""

    server: OrthancServer
    orthanc: Orthanc
    report_port: int


@pytest.fixture(scope="module")
def appliance(
    site: Site, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Appliance]:
    folder, report_port = tmp_path_factory.mktemp("configuration"), free_port()
    orthanc = Orthanc(
        username="clic-edge",
        password_file=folder / "password",
        tls=OrthancTls(
            certificate=site.pacs.certificate,
            key=site.pacs.key,
            ca=site.ours.path,
            worker_certificate=site.edge.certificate,
            worker_key=site.edge.key,
        ),
    )
    reports = {"AET": "CLICEDGE", "Host": "127.0.0.1", "Port": report_port, "UseDicomTls": True}
    shipped, nobody = (root / "appliance" / "orthanc.json").read_text(), '"DicomModalities" : {}'
    assert nobody in shipped
    known = f'"DicomModalities" : {json.dumps({"edge": reports})}'
    (folder / "10-appliance.json").write_text(shipped.replace(nobody, known))
    (folder / "20-site.json").write_text(archive_configuration(orthanc, "a secret"))
    plugin = folder / "takes_all.py"
    plugin.write_text("")
    options = OrthancOptions(
        template=folder,
        python_plugin=plugin,
        environment={"OPENSSL_CONF": str(root / "appliance" / "openssl.cnf")},
        log_in=("clic-edge", "a secret"),
    )
    with orthanc_server(options) as server:
        yield Appliance(server=server, orthanc=orthanc, report_port=report_port)


def test_the_appliance_takes_studies_under_tls_from_who_is_certified_and_from_nobody_else(
    site: Site, appliance: Appliance, tmp_path: Path
) -> None:
    image = tmp_path / "image.dcm"
    image.write_bytes(file_bytes(make_datasets(Stack(), ramp((1, 4, 4)))[0]))
    to = ["127.0.0.1", str(appliance.server.dicom_port)]
    ended, stranger = site.ours.certify("late", days=-1), site.other.certify("stranger")

    def accepted(*words: object) -> bool:
        told_by = subprocess.run(list(map(str, words)), check=False, capture_output=True)
        return told_by.returncode == 0

    def shown(machine: Machine, ca: Path = site.ours.path) -> list[object]:
        return ["+tls", machine.key, machine.certificate, "+cf", ca, *to]

    scu = require("storescu")
    assert not accepted(scu, *to, image), "in the clear"
    assert not accepted(scu, "+tla", "-ic", *to, image), "without a certificate"
    assert not accepted(scu, *shown(stranger), image), "certified by somebody else"
    assert not accepted(scu, *shown(ended), image), "its certificate has ended"
    assert appliance.server.get("/instances") == []
    assert accepted(scu, *shown(site.edge), image)
    assert len(str(appliance.server.get("/instances"))) > len("[]")


@OLD
def test_the_appliance_speaks_no_tls_older_than_1_2(site: Site, appliance: Appliance) -> None:
    def spoken(version: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cafile=str(site.ours.path))
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(site.edge.certificate, site.edge.key)
        address = ("127.0.0.1", appliance.server.dicom_port)
        with (
            socket.create_connection(address) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            return secured.version()

    assert spoken(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
            spoken(version)


def test_the_worker_asks_its_own_orthanc_under_tls(appliance: Appliance) -> None:
    peer = OrthancPeer(url=appliance.server.url, user="clic-edge", password="a secret")  # noqa: S106 - a test's
    with closing(HttpRest(peer)) as rest:
        found = acceptor(rest, host="127.0.0.1", tls=orthanc_tls(appliance.orthanc))
    assert str(Verification) in found.sop_classes


def test_a_real_pacs_commits_itself_and_reports_under_tls(site: Site, appliance: Appliance) -> None:
    reports, results = Reports(), make_results()
    peer = site.peer(appliance.server.dicom_port)
    terms = CommitmentTerms(same_association=False, listens=True, timeout_s=60)
    assert all(one.accepted for one in DimseDestination("pacs", peer).deliver(results))
    with listening(appliance.report_port, reports, site.tls()):
        witness = CommitmentWitness("pacs", peer, terms=terms, reports=reports)
        answers = witness.confirm(results, study_instance_uid=STUDY)
    assert [one.held for one in answers] == [True, True]
