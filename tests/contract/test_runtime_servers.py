"""Networks on servers: real ones, absent ones, and ones that are not who they say."""

from __future__ import annotations

import http.server
import json
import re
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from model_packages import known_labels, volume_of
from model_servers import mlserver
from runtime_packages import write_remote
from servers import free_port

from clic_edge.config import load_settings
from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.inference.kserve import KserveRuntime, RemoteNetwork, read_remote
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import write_digests
from clic_edge.inference.site import Server, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WINDOWS = np.random.default_rng(2).normal(size=(3, 1, 4, 5, 6)).astype(np.float32)


def package(folder: Path, **where: str) -> Path:
    write_remote(folder)
    told = {"server": "triton", "model": "brightness", "version": "1"} | where
    lines = [f"{key} = {json.dumps(value)}" for key, value in told.items()]
    (folder / "server.toml").write_text("\n".join(lines))
    write_digests(folder)
    return folder


def expected(windows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> object:
    slopes = np.array([0, 10, 30]).reshape(1, 3, 1, 1, 1)
    return windows * slopes + np.array([0, 0, -40]).reshape(1, 3, 1, 1, 1)


@pytest.mark.servers
def test_a_server_that_reads_json_alone_is_spoken_to_in_json(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with mlserver(tmp_path / "server") as site:
        runtime = load_runtime(package(tmp_path / "package", server="mlserver"), site)
        prediction = runtime.predict(volume_of(known_labels()))
    np.testing.assert_array_equal(prediction.label_map, known_labels())
    assert prediction.device == "mlserver"


@pytest.mark.servers
def test_triton_answers_in_either_precision_and_says_what_it_lacks(
    tmp_path: Path, triton_site: Site
) -> None:
    for model, tolerance in (("brightness", 1e-5), ("half", 0.1)):
        remote = read_remote(package(tmp_path / model, model=model) / "server.toml")
        found = RemoteNetwork(remote, triton_site)(WINDOWS)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected(WINDOWS), atol=tolerance)
    for where in ({"model": "absent"}, {"version": "7"}):
        with pytest.raises(Defect) as error:
            KserveRuntime.load(package(tmp_path / "absent", **where), triton_site)
        assert error.value.code == "server-model"


def test_a_server_that_does_not_answer_makes_the_case_wait(tmp_path: Path) -> None:
    site = Site(servers=(Server(name="triton", url=f"http://127.0.0.1:{free_port()}"),))
    with pytest.raises(Transient) as error:
        KserveRuntime.load(package(tmp_path), site)
    assert error.value.code == "server-unreachable"


def test_a_server_that_the_site_does_not_name_is_never_asked(tmp_path: Path) -> None:
    site = Site(servers=(Server(name="tritan", url="http://127.0.0.1:9"),))
    for here, advice in ((site, "'tritan'"), (Site(), "name none")):
        with pytest.raises(ConfigError, match=advice) as error:
            KserveRuntime.load(package(tmp_path), here)
        assert error.value.code == "server-unknown"


@pytest.mark.parametrize("model", ["../../admin", "a/b", "", "a?b"])
def test_a_name_that_leads_elsewhere_is_no_name(tmp_path: Path, model: str) -> None:
    with pytest.raises(ConfigError) as error:
        KserveRuntime.load(package(tmp_path, model=model))
    assert error.value.code == "model-declaration"


def test_the_page_shows_a_file_that_can_be_read(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "how-to" / "model-packages.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(server = .*?)```", page, re.DOTALL)
    (tmp_path / "server.toml").write_text(block)
    assert read_remote(tmp_path / "server.toml").server == "triton"


class _Hostile(http.server.BaseHTTPRequestHandler):
    """Answers every question with what the test put into `content`."""

    status, content, coding = 200, b"", "identity"

    def do_GET(self) -> None:
        """Answer as is asked for."""
        self.send_response(self.status)
        self.send_header("Location", "http://192.0.2.1/")
        self.send_header("Content-Encoding", self.coding)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def hostile(
    status: int = 200,
    content: bytes = b"",
    tls: ssl.SSLContext | None = None,
    *,
    coding: str = "identity",
) -> Iterator[str]:
    told = {"status": status, "content": content, "coding": coding}
    handler = type("Handler", (_Hostile,), told)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "content", "code"),
    [
        (200, b"<html>", "server-model"),
        (200, b'{"inputs": [], "outputs": []}', "server-model"),
        (200, b" " * (2 << 20), "network-failed"),
        (302, b"", "network-failed"),
        (404, b"", "server-model"),
        (401, b"", "network-failed"),
    ],
)
def test_an_answer_that_is_none_is_a_defect(
    tmp_path: Path, status: int, content: bytes, code: str
) -> None:
    with hostile(status, content) as url, pytest.raises(Defect) as error:
        KserveRuntime.load(package(tmp_path), Site(servers=(Server(name="triton", url=url),)))
    assert error.value.code == code


@pytest.mark.slow
def test_an_answer_that_cannot_be_unpacked_is_a_defect(tmp_path: Path) -> None:
    with hostile(content=b"not packed", coding="gzip") as url, pytest.raises(Defect) as error:
        KserveRuntime.load(package(tmp_path), Site(servers=(Server(name="triton", url=url),)))
    assert error.value.code == "network-failed"


@pytest.mark.slow
def test_a_busy_server_makes_the_case_wait(tmp_path: Path) -> None:
    with hostile(503) as url, pytest.raises(Transient):
        KserveRuntime.load(package(tmp_path), Site(servers=(Server(name="triton", url=url),)))


@pytest.mark.slow
def test_a_certificate_is_trusted_where_the_site_says_so_and_nowhere_else(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "triton")])
    address = x509.IPAddress(__import__("ipaddress").ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    folder = package(tmp_path / "package")
    with hostile(404, tls=tls) as url:
        with pytest.raises(ConfigError) as error:
            KserveRuntime.load(folder, Site(servers=(Server(name="triton", url=url),)))
        assert error.value.code == "server-untrusted"
        trusting = Server(name="triton", url=url, ca_file=pem)
        with pytest.raises(Defect) as defect:
            KserveRuntime.load(folder, Site(servers=(trusting,)))
        assert defect.value.code == "server-model"


def test_voxels_cross_a_wire_encrypted_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "clic-edge.toml"
    for url in ("http://127.0.0.1:8000", "https://triton.hospital"):
        path.write_text(f'[runtimes.servers.triton]\nurl = "{url}"\n')
        assert load_settings(path).runtimes.servers["triton"].url == url
    path.write_text('[runtimes.servers.triton]\nurl = "http://triton.hospital"\n')
    with pytest.raises(ConfigError, match="https"):
        load_settings(path)
