"""A backup of the whole site while it runs: one file that tells no secret, and one of keys."""

from __future__ import annotations

import hashlib
import hmac
import io
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from pydantic import BaseModel, ConfigDict

from clic_edge import __version__
from clic_edge.backup.parts import parts_of
from clic_edge.backup.sealing import seal
from clic_edge.deid.keys import load_key
from clic_edge.errors import ConfigError
from clic_edge.ledger.backup import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clic_edge.backup.parts import Parts
    from clic_edge.config import Settings
    from clic_edge.ledger.backup import Backup

MANIFEST, PROOF, LEDGER = "manifest.json", "manifest.hmac", "ledger.backup"
PROVING_KEY: Final = "backup.key"
"""Among the sealed: what the manifest is proved with, of the site's key."""


class Manifest(BaseModel):
    """What a backup says of itself; it is read before anything else is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    version: str
    """Of clic-edge."""
    made_at: datetime
    key_id: str
    """Names the site's key, and tells nothing of it."""
    settings: str
    """Name of the settings' file."""
    database: str
    """URL, without a password."""
    models: str
    """Folder of the model packages."""
    digests: dict[str, str]
    """SHA-256 of every other file in it, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is backed up."""

    settings_path: Path
    settings: Settings
    copy_ledger: Callable[[Path], Backup]
    """As `ledger.backup.back_up` of its database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteBackup:
    """What was written."""

    size: int
    key_id: str
    cases: int | None
    elsewhere: tuple[Path, ...]
    """Secrets that are in none of the two files, because they lie outside of the site's folders."""


def back_up_site(
    site: Site, out: Path, *, keys: Path | None = None, passphrase: str = ""
) -> SiteBackup:
    """Write settings, models, ledger and audit trail; and sealed, where `keys` is named, the secrets.

    Raises
    ------
    ConfigError
        ``backup-there``; ``passphrase-short``; as `load_key` and `copy_ledger`.
    Transient
        ``backup-failed``: it could not be written; nothing is left of it.

    """
    for path in (out, keys):
        if path and path.exists():
            raise ConfigError("backup-there", f"{path} is there already; name another file.")
    key = load_key(site.settings.appliance.deid_key)
    key_id, proving = key.key_id, key.derived("backup")
    parts = parts_of(site.settings_path, site.settings)
    if keys:
        with _private(keys) as stream:
            stream.write(seal(_packed(parts, proving), passphrase, key_id=key_id))
    with _private(out) as stream, _beside(out) as work:
        ledger = site.copy_ledger(work / LEDGER)
        files = {LEDGER: ledger.path, **{one.name: one.path for one in parts.plain}}
        manifest = _manifest(site, files, key_id=key_id).model_dump_json(indent=1).encode()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            _add(tar, MANIFEST, manifest)
            _add(tar, PROOF, proof(manifest, proving))
            for name, path in files.items():
                tar.add(path, arcname=name, recursive=False)
    return SiteBackup(
        size=out.stat().st_size, key_id=key_id, cases=ledger.cases, elsewhere=parts.elsewhere
    )


def _manifest(site: Site, files: dict[str, Path], *, key_id: str) -> Manifest:
    return Manifest(
        version=__version__,
        made_at=datetime.now(UTC),
        key_id=key_id,
        settings=site.settings_path.name,
        database=site.settings.appliance.database,
        models=str(site.settings.appliance.models),
        digests={name: _digest(path) for name, path in files.items()},
    )


def proof(manifest: bytes, proving: bytes) -> bytes:
    """Return what nobody can write under a manifest who has not the site's key, nor what is sealed."""
    return hmac.digest(proving, manifest, "sha256").hex().encode()


def _packed(parts: Parts, proving: bytes) -> bytes:
    """Return the secrets as an archive of their own, each with its owner and who may read it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        _add(tar, PROVING_KEY, proving)
        for one in parts.secret:
            tar.add(one.path, arcname=one.name, recursive=False)
    return content.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    tar.addfile(member, io.BytesIO(content))


@contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """Write a file that its owner alone may read, and that is whole or not there."""
    with written(path) as part, part.open("wb") as stream:
        yield stream


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".clic-edge-", dir=path.parent) as folder:
        yield Path(folder)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
