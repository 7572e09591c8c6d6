"""The bundle's signature, and what is looked at before anything is installed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from clic_edge.inference.signing import create_signing_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

BODY = b"0123  a file\n"
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'


def script(root: Path, name: str) -> ModuleType:
    """Return a program of the bundle as a module: they are no package."""
    specification = importlib.util.spec_from_file_location(
        f"bundle_{name}", root / "appliance" / "bundle" / f"{name}.py"
    )
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_gpgv_knows_the_signature_of_a_key_like_those_of_model_packages(
    root: Path, tmp_path: Path
) -> None:
    if not shutil.which("gpgv"):
        pytest.skip("gpgv is not installed")
    openpgp = script(root, "openpgp")
    create_signing_key(tmp_path / "release.pem")
    key = openpgp.read_key(tmp_path / "release.pem")
    (tmp_path / "key.gpg").write_bytes(openpgp.public_key(key, "a release"))
    (tmp_path / "sums.sig").write_bytes(openpgp.signature(key, BODY, at=1_795_000_000))
    (tmp_path / "sums").write_bytes(BODY)
    words = ["gpgv", "--keyring", "./key.gpg", "sums.sig", "sums"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "sums").write_bytes(BODY.replace(b"0", b"1"))
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_what_lies_in_a_bundle_beside_what_was_signed_is_found_whatever_it_is(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/ours.whl").write_bytes(BODY)
    (tmp_path / "wheels/SHA256SUMS.more").write_bytes(BODY)
    (tmp_path / "wheels/theirs.whl").symlink_to("SHA256SUMS.more")
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(BODY).hexdigest()}  wheels/ours.whl\n")
    (tmp_path / "SHA256SUMS.sig").touch()
    lines = (root / "appliance/bundle/install.sh").read_text().splitlines()
    begin = lines.index("unlisted() {")
    asked = "\n".join([*lines[begin : lines.index("}", begin) + 1], "unlisted"])
    words = ("bash", "-c", asked)
    told = subprocess.run(
        words, env={**os.environ, "here": str(tmp_path)}, capture_output=True, text=True, check=True
    ).stdout
    assert told.split() == ["wheels/SHA256SUMS.more", "wheels/theirs.whlSHA256SUMS.more"]


def test_the_bundle_compiles_what_orthancs_unit_loads(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    monkeypatch.syspath_prepend(root / "appliance" / "bundle")
    build, library = script(root, "build"), tmp_path / "nesting.so"
    build.guard(root / build.GUARD, library)
    loaded = {**os.environ, "LD_PRELOAD": str(library)}
    assert not subprocess.run(["true"], env=loaded, capture_output=True, check=True).stderr
    unit = (root / "appliance" / "systemd" / "clic-edge-orthanc.service").read_text()
    there = build.GUARD.replace(".cpp", ".so")
    assert f"\nEnvironment=LD_PRELOAD=/opt/clic-edge/current/{there}\n" in unit


def test_no_image_is_made_of_a_machine_with_a_site(root: Path, tmp_path: Path) -> None:
    site = tmp_path / "etc/clic-edge.toml"
    site.parent.mkdir()
    site.touch()
    script = (root / "appliance/bundle/install.sh").read_text()
    here = script.replace("etc=/etc/clic-edge", f"etc={tmp_path}/etc")
    assert here != script
    lines = here.replace('main "$@"\n', "verify_bundle() { exit 3; }\ndo_image\n")
    ended = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=False)
    assert (ended.returncode, "A site is here" in ended.stderr) == (1, True)
    assert site.exists()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the root of a bare machine, as far as it is looked at."""
    for name in ("etc/orthanc", "var/lib/dpkg", "lib64", "proc/net", "opt", "bundle"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text(DEBIAN)
    (tmp_path / "lib64/ld-linux-x86-64.so.2").touch()
    (tmp_path / "bundle/VERSION").write_text("1.9.0\n")
    (tmp_path / "bundle/ledger-revisions").write_text("0001\n0002\n")
    shipped = b"{}"
    (tmp_path / "etc/orthanc/orthanc.json").write_bytes(shipped)
    digest = hashlib.md5(shipped).hexdigest()  # noqa: S324 - as dpkg keeps it
    known = f"Package: orthanc\nConffiles:\n /etc/orthanc/orthanc.json {digest}\n"
    (tmp_path / "var/lib/dpkg/status").write_text(known)
    return tmp_path


def said(root: Path, machine: Path) -> str:
    """Return why nothing may be installed on a machine; empty where it may."""
    words = (root / "appliance/bundle/preflight.py", machine / "bundle", "--root", machine)
    ended = subprocess.run(
        [sys.executable, "-I", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode == 0) == (ended.stderr == "")
    return ended.stderr.strip()


def another_debian(machine: Path) -> None:
    (machine / "etc/os-release").write_text(
        DEBIAN.replace("12", "13").replace("bookworm", "trixie")
    )


def taken_port(machine: Path) -> None:
    row = "   0: 0100007F:1F6A 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1"
    (machine / "proc/net/tcp").write_text(f"  sl  local_address\n{row}\n")


def changed_orthanc(machine: Path) -> None:
    (machine / "etc/orthanc/orthanc.json").write_text('{"Name": "ours"}')


def folder_of_orthanc(machine: Path) -> None:
    (machine / "etc/orthanc/scripts").mkdir()


def studies_in_orthanc(machine: Path) -> None:
    (machine / "var/lib/orthanc/db-v6").mkdir(parents=True)
    (machine / "var/lib/orthanc/db-v6/index").touch()


def newer_version(machine: Path) -> None:
    (machine / "opt/clic-edge/current").mkdir(parents=True)
    (machine / "opt/clic-edge/current/VERSION").write_text("1.10.0\n")


def newer_ledger(machine: Path) -> None:
    path = machine / "var/lib/clic-edge/ledger/clic-edge.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as ledger:
        ledger.execute("CREATE TABLE alembic_version (version_num)")
        ledger.execute("INSERT INTO alembic_version VALUES ('0003')")
        ledger.commit()


UNFIT: dict[str, tuple[Callable[[Path], None], str]] = {
    "another Debian": (another_debian, "This is Debian GNU/Linux 13 (trixie)"),
    "a port in use": (taken_port, "Port 8042, which Orthanc needs, is in use"),
    "an Orthanc whose file was changed": (changed_orthanc, "An Orthanc was set up by hand"),
    "an Orthanc with a folder of its own": (folder_of_orthanc, "An Orthanc was set up by hand"),
    "an Orthanc with studies": (studies_in_orthanc, "An Orthanc of this machine holds studies"),
    "a newer version": (newer_version, "Version 1.10.0 is installed, and this is 1.9.0"),
    "a newer ledger": (newer_ledger, "The ledger is of a newer version (revision 0003)"),
}


def test_nothing_speaks_against_a_bare_debian(root: Path, machine: Path) -> None:
    assert said(root, machine) == ""


@pytest.mark.parametrize("name", UNFIT)
def test_what_speaks_against_a_machine_is_one_sentence(
    root: Path, machine: Path, name: str
) -> None:
    spoil, why = UNFIT[name]
    spoil(machine)
    sentence = said(root, machine)
    assert sentence.startswith(why)
    assert sentence.count("\n") == 0


@pytest.mark.parametrize("there", ["1.9.0rc2", "1.9.0", "1.8.11"])
def test_a_release_takes_the_place_of_its_candidates_and_no_candidate_that_of_it(
    root: Path, machine: Path, there: str
) -> None:
    newer_version(machine)
    (machine / "opt/clic-edge/current/VERSION").write_text(f"{there}\n")
    assert said(root, machine) == ""
    (machine / "bundle/VERSION").write_text("1.9.0rc1\n")
    assert (said(root, machine) == "") == (there == "1.8.11")


@pytest.mark.parametrize("words", [("--forse",), ("--trust",), ("--certificate", "one.pem")])
def test_install_takes_no_word_that_it_does_not_know(root: Path, words: tuple[str, ...]) -> None:
    command = ["bash", str(root / "appliance/bundle/install.sh"), *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("clic-edge: --")
    assert ended.stderr.endswith(" Nothing was changed.\n")


@pytest.mark.slow
def test_shellcheck_finds_nothing_in_the_script_that_installs(root: Path) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    words = ["shellcheck", str(root / "appliance/bundle/install.sh")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.stdout == ""
