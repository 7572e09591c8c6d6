"""A bundle, the same of a later version, a bare root, and a root on which the first is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from install.bare import bare_root, booted
from install.bundles import ROOT, build, former_source, later_source
from install.sending import hurry
from sites import hippocampus_study

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from install.bare import Host
    from install.bundles import Bundle

PACS = {
    "Name": "PACS",
    "DicomAet": "PACS",
    "HttpPort": 8142,
    "DicomPort": 11112,
    "StorageDirectory": "/var/lib/pacs",
    "IndexDirectory": "/var/lib/pacs",
    "RemoteAccessAllowed": False,
    "AuthenticationEnabled": False,
    "DicomAlwaysAllowStore": True,
}


@pytest.fixture(scope="session", autouse=True)
def _as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces and roots of their own need root")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder for roots, which are large: it goes at the end."""
    made = tmp_path_factory.mktemp("install")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def bundle(folder: Path) -> Bundle:
    """Return the bundle of this tree."""
    return build(ROOT, folder / "bundle")


@pytest.fixture(scope="session")
def later(folder: Path) -> Bundle:
    """Return the bundle of a version to come, whose ledger has one more table."""
    return build(later_source(folder / "later-source"), folder / "later")


@pytest.fixture(scope="session")
def former(folder: Path) -> Bundle:
    """Return the bundle of a version before this one, with an older ledger and another line."""
    return build(former_source(folder / "former-source"), folder / "former")


@pytest.fixture(scope="session")
def bare(folder: Path, bundle: Bundle) -> tuple[Path, ...]:
    """Return the layers of a bare Debian on which the bundle is unpacked in /root."""
    root, unpacked = folder / "bare", folder / "unpacked"
    root.mkdir()
    subprocess.run(["tar", "-xf", str(bare_root()), "-C", str(root)], check=True)
    (unpacked / "root").mkdir(parents=True)
    subprocess.run(["tar", "-xf", str(bundle.archive), "-C", str(unpacked / "root")], check=True)
    return (unpacked, root)


@pytest.fixture(scope="session")
def shared(folder: Path) -> Path:
    """Return a folder that every host sees: studies, and the configuration of a PACS."""
    made = folder / "shared"
    made.mkdir()
    (made / "pacs.json").write_text(json.dumps(PACS))
    for number in (1, 2, 3):
        study = made / f"study{number}"
        study.mkdir()
        for place, dataset in enumerate(hippocampus_study(number)):
            dataset.save_as(study / f"{place:03}.dcm", enforce_file_format=True)
    return made


@pytest.fixture(scope="session")
def installed(
    folder: Path, bare: tuple[Path, ...], bundle: Bundle, shared: Path
) -> tuple[tuple[Path, ...], str]:
    """Return the layers of a site on which the bundle was installed, and what was said."""
    layer = folder / "installed"
    with booted(bare, shared) as host:
        ended = host.run(
            f"{bundle.name}/install.sh --trust {bundle.trust} --pacs PACS@127.0.0.1:11112"
        )
        host.done(
            "systemctl stop clic-edge.target clic-edge-worker clic-edge-web clic-edge-orthanc"
        )
        hurry(host)
        host.done("systemctl stop systemd-journald.socket systemd-journald; sync")
        subprocess.run(["cp", "-a", str(host.upper), str(layer)], check=True)
    return (layer, *bare), ended.stdout + ended.stderr


@pytest.fixture
def site(installed: tuple[tuple[Path, ...], str], shared: Path) -> Iterator[Host]:
    """Return a site of its own, as it is after the installation, its PACS not yet there."""
    with booted(installed[0], shared) as host:
        yield host
