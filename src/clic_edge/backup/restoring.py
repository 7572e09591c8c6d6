"""A site of its backup, on a machine that has none: the same pseudonyms, and cases go on."""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import shutil
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from clic_edge.backup.archive import LEDGER, MANIFEST, PROVING_KEY, Manifest, proof
from clic_edge.backup.parts import MODELS, SETTINGS, STATE
from clic_edge.backup.sealing import unseal
from clic_edge.config import load_settings
from clic_edge.errors import ConfigError, Defect
from clic_edge.ledger.backup import require_empty, restore
from clic_edge.ledger.database import open_engine

_SUFFIX: Final = ".sha256"
_LARGEST_HEAD: Final = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put in place."""

    manifest: Manifest
    settings_path: Path
    secrets: int


def restore_site(archive: Path, *, keys: Path, passphrase: str, into: Path) -> Restored:
    """Put settings, secrets, models and ledger in place; everything is looked at before.

    The settings come last, so that what was cut off can be told from a site.

    Raises
    ------
    ConfigError
        ``no-backup``; ``site-there``: the folder has settings already; ``keys-of-another-site``;
        as `unseal`, `load_settings` and `ledger.backup.restore`.
    Defect
        ``backup-changed``: a file is not what was backed up, or this site did not write the backup.

    """
    key_id, sealed = unseal(keys, passphrase)
    with tempfile.TemporaryDirectory(prefix="clic-edge-restore-") as work:
        manifest = _unpacked(archive, Path(work), key_id=key_id, proving=_proving(keys, sealed))
        settings_path = into / manifest.settings
        if settings_path.exists():
            raise ConfigError(
                "site-there", f"{settings_path} is there already; nothing was restored."
            )
        engine = open_engine(manifest.database)
        require_empty(engine)
        _place(Path(work) / MODELS, Path(manifest.models))
        restore(engine, Path(work) / LEDGER)
        engine.dispose()
        last = Path(work) / SETTINGS / manifest.settings
        settings = last.rename(Path(work) / manifest.settings)
        _place(Path(work) / SETTINGS, into)
        shutil.copyfile(settings, settings_path)
    state = load_settings(settings_path).appliance.state_dir
    secrets = _put_secrets(sealed, {SETTINGS: into, STATE: state})
    return Restored(manifest=manifest, settings_path=settings_path, secrets=secrets)


def _unpacked(archive: Path, work: Path, *, key_id: str, proving: bytes) -> Manifest:
    """Unpack a backup of which the site wrote the manifest, and every file is what that says."""
    try:
        with tarfile.open(archive, "r:") as tar:
            first, second, *others = tar
            told, proved = (_stream(tar, one).read(_LARGEST_HEAD) for one in (first, second))
            manifest = Manifest.model_validate_json(told)
            if key_id != manifest.key_id:
                raise ConfigError(
                    "keys-of-another-site",
                    f"The keys are those of {key_id}, and the backup was made with "
                    f"{manifest.key_id}.",
                )
            if not hmac.compare_digest(proof(told, proving), proved):
                raise Defect(
                    "backup-changed",
                    f"The list of files in {archive} is not what this site wrote; use an earlier "
                    "backup.",
                )
            for member in others:
                path = work / _safe(member.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as copy:
                    shutil.copyfileobj(_stream(tar, member), copy)
                if manifest.digests.get(member.name) != _digest(path):
                    raise Defect(
                        "backup-changed",
                        f"{member.name} in {archive} is not what was backed up; use an earlier one.",
                    )
    except (OSError, tarfile.TarError, ValueError) as error:
        raise ConfigError("no-backup", f"{archive} is no backup of a site.") from error
    missing = [name for name in manifest.digests if not (work / name).is_file()]
    if missing:
        raise Defect("backup-changed", f"{archive} lacks {missing[0]}; use an earlier one.")
    digest = manifest.digests[LEDGER]
    (work / f"{LEDGER}{_SUFFIX}").write_text(f"{digest}  {LEDGER}\n")
    return manifest


def _proving(keys: Path, sealed: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(sealed), mode="r:") as tar:
        first = tar.next()
        if first is None or first.name != PROVING_KEY:
            raise ConfigError("no-keys", f"{keys} holds no keys of `clic-edge backup`.")
        return _stream(tar, first).read()


def _stream(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(member) if member.isfile() else None
    if stream is None:
        raise tarfile.ReadError(MANIFEST)
    return stream


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _safe(name: str) -> str:
    """Return a name that leads nowhere but below its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise tarfile.ReadError(name)
    return name


def _place(source: Path, target: Path) -> None:
    """Copy what is not there yet."""
    for path in sorted(source.rglob("*")):
        there = target / path.relative_to(source)
        if path.is_file() and not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)


def _put_secrets(sealed: bytes, folders: dict[str, Path]) -> int:
    with tarfile.open(fileobj=io.BytesIO(sealed), mode="r:") as tar:
        secrets = [member for member in tar if member.name != PROVING_KEY]
        placed = [_put(tar, member, folders) for member in secrets]
    return len(placed)


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, folders: dict[str, Path]) -> Path:
    """Put one secret in place, for whom it was; a user whom this machine lacks gets nothing."""
    first, _, rest = _safe(member.name).partition("/")
    path = folders[first] / _safe(rest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(_stream(tar, member).read())
    if os.geteuid() == 0:
        with suppress(LookupError):
            shutil.chown(path, user=member.uname)
        with suppress(LookupError):
            shutil.chown(path, group=member.gname)
    path.chmod(member.mode & 0o770)
    return path
