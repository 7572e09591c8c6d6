"""May this be installed here? One sentence where it may not; nothing is changed either way.

`install.sh` runs it by the Python of the bundle, which it unpacks beside the machine's own: a bare
Debian has none. So it needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

GIB = 1 << 30
ROOM = {"opt": 3 * GIB, "var/lib": 5 * GIB}
"""Free bytes for the programs, and for a first day of studies."""
PORTS = {4242: "DICOM", 8042: "Orthanc", 8043: "the pages", 9464: "metrics"}
CERTIFICATE_DAYS = 7
_LISTENING = "0A"
_DAY = 86400


class Unfit(Exception):
    """Why not, in one sentence."""


def debian(root: Path) -> None:
    """Return on Debian 12 for amd64."""
    text = (root / "etc/os-release").read_text(encoding="utf-8")
    told = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    if (told.get("ID"), told.get("VERSION_ID")) != ("debian", "12"):
        name = told.get("PRETTY_NAME", "an unknown system")
        raise Unfit(f"This is {name}; the bundle is for Debian 12 (bookworm).")
    if not (root / "lib64/ld-linux-x86-64.so.2").exists():
        raise Unfit("This machine is not amd64, for which the bundle is.")


def room(root: Path) -> None:
    """Return where there is room for programs and studies."""
    for name, least in ROOM.items():
        folder = next(one for one in (root / name, *(root / name).parents) if one.exists())
        free = shutil.disk_usage(folder).free
        if free < least:
            raise Unfit(
                f"/{name} has {free / GIB:.1f} GiB free and needs {least // GIB}; make room."
            )


def ports(root: Path) -> None:
    """Return where nobody listens on a port of ours."""
    taken = set[int]()
    for name in ("proc/net/tcp", "proc/net/tcp6"):
        if (root / name).exists():
            lines = (root / name).read_text().splitlines()[1:]
            rows = [line.split() for line in lines]
            taken |= {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTENING}
    for port, whose in PORTS.items():
        if port in taken:
            raise Unfit(
                f"Port {port}, which {whose} needs, is in use; stop what listens there "
                f"(ss -ltnp 'sport = :{port}' names it)."
            )


def no_other_orthanc(root: Path) -> None:
    """Return where no Orthanc was set up by hand: its configuration would be overruled unseen."""
    known = set(
        re.findall(
            r"^ (/etc/orthanc/\S+) ([0-9a-f]{32})",
            (root / "var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace"),
            re.MULTILINE,
        )
    )
    for path in sorted((root / "etc/orthanc").glob("*")):
        content = path.read_bytes() if path.is_file() else b""
        digest = hashlib.md5(content).hexdigest()  # noqa: S324 - as dpkg keeps it
        if (f"/etc/orthanc/{path.name}", digest) not in known:
            raise Unfit(
                f"An Orthanc was set up by hand on this machine (/etc/orthanc/{path.name}); take "
                "another machine, or move its configuration and its storage away first."
            )
    if any((root / "var/lib/orthanc").rglob("index")):
        raise Unfit(
            "An Orthanc of this machine holds studies (/var/lib/orthanc); take another machine, or "
            "move its storage away first."
        )


def no_newer_ledger(root: Path, known: Path) -> None:
    """Return where there is no ledger, or one that this version can read."""
    path = root / "var/lib/clic-edge/ledger/clic-edge.sqlite"
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as ledger:
            (revision,) = ledger.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError):
        raise Unfit(f"{path} is no ledger of clic-edge; move it away first.") from None
    if revision not in known.read_text().split():
        raise Unfit(
            f"The ledger is of a newer version (revision {revision}); install that version or a "
            "later one."
        )


def no_older_version(root: Path, bundle: Path) -> None:
    """Return where what is installed is not newer than the bundle."""
    installed = root / "opt/clic-edge/current/VERSION"
    if installed.exists():
        there, ours = installed.read_text().strip(), (bundle / "VERSION").read_text().strip()
        if _ordered(there) > _ordered(ours):
            raise Unfit(
                f"Version {there} is installed, and this is {ours}; to go back, use "
                "clic-edge-setup --rollback."
            )


def certificate(path: Path, key: Path) -> None:
    """Return where a certificate holds for a week at least, and the key is its own."""

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ("openssl", *words),
            capture_output=True,
            text=True,
            check=False,
        )

    ends = ask("x509", "-in", str(path), "-noout", "-enddate")
    if ends.returncode:
        raise Unfit(f"{path} holds no certificate in PEM.")
    if ask(
        "x509", "-in", str(path), "-noout", "-checkend", str(CERTIFICATE_DAYS * _DAY)
    ).returncode:
        when = ends.stdout.partition("=")[2].strip()
        raise Unfit(
            f"The certificate {path} ends on {when}, within {CERTIFICATE_DAYS} days; give one that "
            "lasts."
        )
    public = ask("x509", "-in", str(path), "-noout", "-pubkey").stdout
    if ask("pkey", "-in", str(key), "-pubout", "-passin", "pass:").stdout != public:
        raise Unfit(f"{key} is not the key of {path}, or has a password.")


def _ordered(version: str) -> tuple[tuple[int, ...], bool, str, tuple[int, ...]]:
    """Return what versions are compared by: 1.2.0rc1 comes before 1.2.0 (PEP 440)."""
    release, rest = re.findall(r"^([\d.]*)(.*)", version)[0]
    numbers, more = (tuple(map(int, re.findall(r"\d+", one))) for one in (release, rest))
    return numbers, rest.startswith(("post", "+")) or not rest, re.sub(r"\d+", "", rest), more


def main() -> None:
    """Look at everything; end with one sentence at the first that is unfit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--root", type=Path, default=Path("/"), help="of the machine")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--certificate-key", type=Path)
    asked = parser.parse_args()
    root: Path = asked.root
    try:
        debian(root)
        room(root)
        if not (root / "opt/clic-edge/current").exists():
            ports(root)
            no_other_orthanc(root)
        no_older_version(root, asked.bundle)
        no_newer_ledger(root, asked.bundle / "ledger-revisions")
        if asked.certificate:
            certificate(asked.certificate, asked.certificate_key)
    except Unfit as why:
        sys.stderr.write(f"{why}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
