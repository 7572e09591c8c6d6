"""What speaks against an installation is said in one sentence, and nothing is changed."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from install.bare import booted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from install.bare import Host
    from install.bundles import Bundle

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]
PACS = "--pacs PACS@pacs.example:104"
ITS_OWN = ("var/log", "var/lib/systemd", "var/tmp", "tmp", "run", "etc/machine-id", "etc/.updated")
"""What systemd writes of itself at any moment."""
UNFIT = {
    "another Debian": (
        'sed -i "s/bookworm/trixie/g; s/12/13/g" /etc/os-release',
        "This is Debian GNU/Linux 13 (trixie); the bundle is for Debian 12 (bookworm).",
    ),
    "a port in use": (
        "systemd-run --quiet systemd-socket-activate -l 4242 cat; sleep 1",
        (
            "Port 4242, which DICOM needs, is in use; stop what listens there "
            "(ss -ltnp 'sport = :4242' names it)."
        ),
    ),
    "an Orthanc that was set up by hand": (
        "mkdir /etc/orthanc; echo {} > /etc/orthanc/orthanc.json",
        (
            "An Orthanc was set up by hand on this machine (/etc/orthanc/orthanc.json); take another "
            "machine, or move its configuration and its storage away first."
        ),
    ),
    "a changed byte": (
        "printf x >> BUNDLE/tree/configs/clic-edge.toml",
        "tree/configs/clic-edge.toml is not the file that was signed; fetch the bundle again.",
    ),
    "a changed list": (
        "echo >> BUNDLE/SHA256SUMS",
        "The signature of the bundle is not over its list of checksums; fetch the bundle again.",
    ),
    "one more file": (
        "touch BUNDLE/wheels/more-1-py3-none-any.whl",
        (
            "wheels/more-1-py3-none-any.whl is not in the list of what was signed; unpack the bundle "
            "into an empty folder."
        ),
    ),
}


@pytest.fixture
def host(bare: tuple[Path, ...], shared: Path) -> Iterator[Host]:
    """Return a bare Debian of its own, with the bundle unpacked."""
    with booted(bare, shared) as host:
        yield host


def contents(host: Host) -> dict[str, str]:
    """Return what is other than in the root that the host began with: path and digest."""
    found = {}
    for path in sorted(host.upper.rglob("*")):
        name = str(path.relative_to(host.upper))
        if path.is_file() and not path.is_symlink() and not name.startswith(ITS_OWN):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def assert_refused(host: Host, bundle: Bundle, *, why: str, options: str = PACS) -> None:
    """Assert that the installation ends with that sentence, and that the host is as before."""
    before = contents(host)
    ended = host.run(f"{bundle.name}/install.sh --trust {bundle.trust} {options}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"clic-edge: {why} Nothing was changed.\n"
    assert contents(host) == before


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_unfit_is_told_in_one_sentence_and_nothing_is_changed(
    host: Host, bundle: Bundle, name: str
) -> None:
    prepare, why = UNFIT[name]
    host.done(prepare.replace("BUNDLE", bundle.name))
    assert_refused(host, bundle, why=why)


def test_a_bundle_is_taken_only_from_whom_the_site_trusts(host: Host, bundle: Bundle) -> None:
    other = "0" * 64
    ended = host.run(f"{bundle.name}/install.sh --trust {other} {PACS}")
    assert ended.returncode == 1
    assert f"signed with the key {bundle.trust}, and not the one that you trust" in ended.stderr
    unknown = host.run(f"{bundle.name}/install.sh {PACS}")
    assert unknown.returncode == 1
    assert "Say whom you trust" in unknown.stderr


def test_who_does_not_name_the_pacs_is_asked_for_it(host: Host, bundle: Bundle) -> None:
    why = "Say which PACS takes the results: --pacs AETITLE@HOST:PORT."
    assert_refused(host, bundle, why=why, options="--pacs pacs.example")


def test_a_certificate_that_ends_tomorrow_is_not_taken(
    host: Host, bundle: Bundle, shared: Path
) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    files = ["-subj", "/CN=site", "-keyout", str(shared / "soon.key"), "-out"]
    subprocess.run([*words, *files, str(shared / "soon.pem")], check=True, capture_output=True)
    asked = ["openssl", "x509", "-in", str(shared / "soon.pem"), "-noout", "-enddate"]
    ends = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    assert_refused(
        host,
        bundle,
        why=f"The certificate /shared/soon.pem ends on {ends.partition('=')[2].strip()}, within 7 "
        "days; give one that lasts.",
        options=f"{PACS} --certificate /shared/soon.pem --certificate-key /shared/soon.key",
    )


def test_a_ledger_of_a_newer_version_is_left_alone(
    host: Host, bundle: Bundle, shared: Path
) -> None:
    with closing(sqlite3.connect(shared / "newer.sqlite")) as ledger:
        ledger.execute("CREATE TABLE alembic_version (version_num)")
        ledger.execute("INSERT INTO alembic_version VALUES ('9999')")
        ledger.commit()
    host.done("install -D /shared/newer.sqlite /var/lib/clic-edge/ledger/clic-edge.sqlite")
    why = "The ledger is of a newer version (revision 9999); install that version or a later one."
    assert_refused(host, bundle, why=why)
