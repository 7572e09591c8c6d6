"""The Debian packages of a bundle, with all that they need down to an empty disk, as an archive."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

ASKED = (
    *("orthanc", "orthanc-python", "orthanc-dicomweb", "orthanc-gdcm", "dcmtk"),
    *("python3-venv", "openssl", "systemd-sysv", "systemd-timesyncd", "postgresql", "nftables"),
)
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = "".join(
    f"deb [signed-by={KEYRING}] http://deb.debian.org/{archive} {suite} main\n"
    for archive, suite in (
        ("debian", "bookworm"),
        ("debian", "bookworm-updates"),
        ("debian-security", "bookworm-security"),
    )
)


def packages(cache: Path) -> Path:
    """Return a folder with the packages and their index, as `deb file:` sources want it."""
    digest = hashlib.sha256(" ".join(ASKED).encode()).hexdigest()[:12]
    folder, apt = cache / f"packages-{digest}", cache / "apt"
    if (folder / "Packages").exists():
        return folder
    options = _private(apt)
    _run("apt-get", *options, "update", "-qq")
    _run("apt-get", *options, "install", "-qq", "--download-only", "--yes", *ASKED)
    folder.mkdir(parents=True, exist_ok=True)
    for path in (apt / "archives").glob("*.deb"):
        # Unquoted: what apt writes as %3a would be another name in a URL.
        path.rename(folder / path.name.replace("%3a", "-"))
    index = subprocess.run(
        ("dpkg-scanpackages", "--multiversion", "."),
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (folder / "Packages").write_text(index)
    return folder


def _private(apt: Path) -> list[str]:
    """Return options by which apt resolves against an empty disk, and touches nothing of ours."""
    for name in ("lists/partial", "archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "status").write_text("")
    (apt / "sources.list").write_text(SOURCES)
    settings = {
        "Dir::State": apt,
        "Dir::State::status": apt / "status",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt,
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "Acquire::Languages": "none",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
