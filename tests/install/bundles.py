"""Bundles for tests: this version, one before it, and one after it, each with another ledger."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LATER = "99.0.0"
FORMER, FORMER_COMMIT = "0.0.9", "be4ad47b07bcb53d92486943d85ae7e823e38b7c"
"""The first commit that had a bundle: ledger 0025, and nobody asked who a sender is."""
MIGRATION = '''\
"""A table of a version to come."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    op.create_table("of_a_later_version", sa.Column("id", sa.Integer, primary_key=True))
'''


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An archive that was built."""

    archive: Path
    trust: str
    """SHA-256 of the key that it is signed with."""

    @property
    def name(self) -> str:
        """Of the folder inside."""
        return self.archive.stem


def build(source: Path, out: Path) -> Bundle:
    """Return the bundle of a source tree; what was downloaded once is not downloaded again."""
    builder = ROOT / "appliance" / "bundle" / "build.py"
    cache = ROOT / "build" / "bundle"
    words = ["--source", str(source), "--out", str(out), "--cache", str(cache)]
    subprocess.run([sys.executable, str(builder), *words], check=True, stdout=subprocess.DEVNULL)
    key = (out / "release-key.gpg").read_bytes()
    (archive,) = out.glob("*.tar")
    return Bundle(archive=archive, trust=hashlib.sha256(key).hexdigest())


def later_source(folder: Path) -> Path:
    """Return a copy of the source tree as a later version, whose ledger has one more table."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("appliance", "configs", "docs", "models", "orthanc-plugins"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CHANGELOG.md", "LICENSE", "README.md", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    package = folder / "src" / "clic_edge"
    _say(package / "__init__.py", "__version__", LATER)
    versions = package / "ledger" / "migrations" / "versions"
    head = max(re.findall(r'(?m)^revision = "(\w+)"', "".join(_texts(versions))))
    (versions / "9999_later.py").write_text(MIGRATION.format(head=head))
    return folder


def former_source(folder: Path) -> Path:
    """Return the source tree of an older commit, whose line is told to be another than today's."""
    told = subprocess.run(
        ["git", "archive", FORMER_COMMIT], cwd=ROOT, check=False, capture_output=True
    )
    if told.returncode:
        pytest.skip("this clone does not reach back to the version before")
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=told.stdout, check=True)
    package = folder / "src" / "clic_edge"
    # Today's builder asks for it; nothing of the former version does.
    shutil.copytree(ROOT / "appliance" / "orthanc", folder / "appliance" / "orthanc")
    _say(package / "__init__.py", "__version__", FORMER)
    _say(package / "pipeline" / "queue.py", "LINE_VERSION", "1")
    return folder


def _say(module: Path, name: str, value: str) -> None:
    text, count = re.subn(
        rf'(?m)^{name} = "[^"]+"', f'{name} = "{value}"', module.read_text(encoding="utf-8")
    )
    assert count == 1, name
    module.write_text(text, encoding="utf-8")


def _texts(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))]
