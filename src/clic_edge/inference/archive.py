"""A model package as one file: a ``.clic`` archive, a ZIP of what the digests cover and the card."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from clic_edge.errors import ConfigError
from clic_edge.inference.package import CARD, DECLARATION, DIGESTS, load_package
from clic_edge.inference.signing import SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUFFIX = ".clic"
LARGEST_PACKAGE = 16 << 30
"""Bytes of all files together; what claims more is not unpacked."""
LARGEST_RATIO = 100
"""Bytes for each byte of the archive. `pack` does not compress; networks hardly can be."""
MOST_FILES = 10_000
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of the others, Python decompresses without bound."""
_BROKEN = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every entry, so that the same package is the same archive."""


def pack(folder: Path, archive: Path) -> None:
    """Write a package as an archive; the same package gives the same bytes.

    Raises
    ------
    ConfigError
        ``archive-exists``; as `load_package` for the package.

    """
    load_package(folder)
    names = [*json.loads((folder / DIGESTS).read_text()), DIGESTS]
    names += [name for name in (SIGNATURE, CARD) if (folder / name).is_file()]
    if archive.exists():
        raise ConfigError("archive-exists", f"{archive} exists; it is not overwritten.")
    with zipfile.ZipFile(archive, "x") as written:
        for name in sorted(names):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            with (folder / name).open("rb") as source, written.open(entry, "w") as target:
                shutil.copyfileobj(source, target)


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """Yield a folder with the package: the folder itself, or what an archive holds, for a while.

    Raises
    ------
    ConfigError
        ``archive-unreadable``: no archive of a package, or one that would write elsewhere.
        ``archive-too-large``: more than a package can be, or than the disk has room for.

    """
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="clic-edge-package-") as name:
        folder = Path(name) / "package"
        _unpack(source, folder)
        yield folder


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as read:
            entries = read.infolist()
            _require_package(entries, archive)
            _require_room(entries, archive, room=shutil.disk_usage(folder).free)
            for entry in entries:
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                # What is read ends where the entry says that it does, however much more it holds.
                with read.open(entry) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except _BROKEN as error:
        raise _unreadable(archive) from error


def _require_package(entries: Sequence[zipfile.ZipInfo], archive: Path) -> None:
    """Raise where an entry lies elsewhere; or where a ZIP within a cut archive was taken for it."""
    names = {entry.filename for entry in entries}
    whole = {DECLARATION, DIGESTS} <= names and len(names) == len(entries)
    if not whole or not all(map(_is_plain, entries)):
        raise _unreadable(archive)


def _require_room(entries: Sequence[zipfile.ZipInfo], archive: Path, *, room: int) -> None:
    size = sum(entry.file_size for entry in entries)
    most = min(LARGEST_PACKAGE, LARGEST_RATIO * archive.stat().st_size, room)
    if size > most or len(entries) > MOST_FILES:
        raise ConfigError(
            "archive-too-large",
            f"{archive} would become {len(entries)} files of {size / 1e6:.0f} MB together; "
            f"there is room for {MOST_FILES} and {most / 1e6:.0f} MB.",
        )


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    name, path = entry.filename, PurePosixPath(entry.filename)
    inside = not path.is_absolute() and ".." not in path.parts and "\\" not in name
    return inside and not name.endswith("/") and name != "" and entry.compress_type in _COMPRESSIONS


def _unreadable(archive: Path) -> ConfigError:
    return ConfigError("archive-unreadable", f"{archive} is no whole archive of a model package.")
