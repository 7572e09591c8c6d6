"""The pages by TLS, and behind a proxy that brings it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from logins import ADMINISTRATOR, csrf_in, submit_login
from pages import appliance_in, serving
from pydantic import ValidationError

from clic_edge.config.settings import Web
from clic_edge.errors import ConfigError
from clic_edge.web.tls import certificate_ends, context_of, names_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate of this machine and its key, as files."""

    certificate: Path
    key: Path

    def settings(self, **more: object) -> Web:
        """Return settings of pages that have it."""
        return Web(certificate=self.certificate, certificate_key=self.key, **more)  # type: ignore[arg-type]  # by name

    def toml(self) -> str:
        """Return the same as they are written."""
        return f'certificate = "{self.certificate}"\ncertificate_key = "{self.key}"\n'


def make_pair(folder: Path, name: str = "web", *, days: int = 90, password: bytes = b"") -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    here = x509.SubjectAlternativeName(
        [
            x509.IPAddress(ip_address("127.0.0.1")),
            x509.DNSName("AI.hospital.example"),
            x509.DNSName("*.hospital.example"),
        ]
    )
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(NOW - timedelta(days=100))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pair = Pair(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return pair


def refusal(settings: Web) -> str:
    with pytest.raises(ConfigError) as caught:
        certificate_ends(settings, NOW)
    return caught.value.code


def test_a_certificate_that_holds_says_until_when(tmp_path: Path) -> None:
    ends = certificate_ends(make_pair(tmp_path, days=12).settings(), NOW)
    assert ends
    assert ends == (NOW + timedelta(days=12))


def test_pages_are_called_by_the_names_that_their_certificate_is_made_out_to(
    tmp_path: Path,
) -> None:
    named = names_of(make_pair(tmp_path).settings())
    assert named == {"127.0.0.1", "ai.hospital.example"}, "a wildcard names no machine"
    assert names_of(Web()) == frozenset()


def test_a_certificate_that_is_no_use_stops_the_start(tmp_path: Path) -> None:
    good = make_pair(tmp_path)
    assert refusal(make_pair(tmp_path, "old", days=-1).settings()) == "tls-expired"
    other = make_pair(tmp_path, "other")
    assert refusal(Pair(certificate=good.certificate, key=other.key).settings()) == "tls-mismatch"
    assert refusal(make_pair(tmp_path, "locked", password=b"x").settings()) == "tls-unreadable"
    for missing in (
        Pair(certificate=tmp_path / "no", key=good.key),
        Pair(certificate=good.certificate, key=tmp_path / "no"),
        Pair(certificate=good.key, key=good.key),
        Pair(certificate=good.certificate, key=good.certificate),
    ):
        assert refusal(missing.settings()) == "tls-unreadable"


def test_an_address_with_colons_is_not_taken_as_a_host() -> None:
    with pytest.raises(ValidationError, match="host"):
        Web(host="::")


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "ai.hospital.example"])  # noqa: S104 - what is refused
def test_without_tls_no_other_machine_is_listened_to(tmp_path: Path, host: str) -> None:
    assert refusal(Web(host=host)) == "web-unencrypted"
    assert certificate_ends(Web(host=host, behind_proxy=True), NOW) is None
    assert certificate_ends(make_pair(tmp_path).settings(host=host), NOW)


def test_older_versions_of_tls_are_not_spoken(tmp_path: Path) -> None:
    context = context_of(make_pair(tmp_path).settings())
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    names = [one["name"] for one in context.get_ciphers()]
    assert all("GCM" in name or "CHACHA20" in name for name in names)
    assert all(name.startswith(("TLS_", "ECDHE")) for name in names)


def test_pages_by_tls_say_so_and_their_cookies_go_by_nothing_else(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    trusting = ssl.create_default_context(cafile=str(pair.certificate))
    with serving(appliance_in(tmp_path, web=pair.toml())) as url:
        secure = url.replace("http:", "https:")
        with httpx.Client(base_url=secure, verify=trusting, trust_env=False) as browser:
            entered = submit_login(browser, ADMINISTRATOR)
            assert entered.status_code == httpx.codes.SEE_OTHER
            assert entered.headers["Strict-Transport-Security"] == "max-age=31536000"
            assert entered.headers["Set-Cookie"].startswith("__Host-clic-edge-session=")
            assert browser.get("/account").status_code == httpx.codes.OK
            asked = {
                name: browser.get("/account", headers={"Host": name}).status_code
                for name in ("ai.hospital.example", "pacs.hospital.example", "evil.example")
            }
            assert list(asked.values()) == [200, 400, 400]
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{url}/health", trust_env=False)


@pytest.mark.parametrize(
    ("web", "seen"),
    [
        ("behind_proxy = true", "203.0.113.9"),
        ('behind_proxy = true\ntrusted_proxies = ["10.0.0.1"]', "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
    ids=["trusted", "another", "none"],
)
def test_a_proxy_that_is_trusted_says_where_a_browser_is_and_nobody_else(
    tmp_path: Path, web: str, seen: str
) -> None:
    appliance = appliance_in(tmp_path, web=web)
    told = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9", "X-Forwarded-Proto": "https"}
    with (
        serving(appliance) as url,
        httpx.Client(base_url=url, headers=told, trust_env=False) as browser,
    ):
        page = browser.get("/login")
        (cookie,) = page.headers.get_list("Set-Cookie")
        assert cookie.startswith("__Host-") == ("Secure" in cookie) == bool(web)
        # As the proxy does it that took the request by TLS.
        form = {"name": "nobody", "csrf": csrf_in(page)}
        sent = {"Cookie": cookie.partition(";")[0]}
        assert browser.post("/login", data=form, headers=sent).status_code == 401
    (failure,) = [one for one in appliance.ledger.records.audit("") if one.action == "login-failed"]
    assert failure.detail == f"by password, from {seen}"
