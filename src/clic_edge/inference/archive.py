"""A model package as one file: a ``.clic`` archive, a ZIP of what the digests cover and the card."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from clic_edge.errors import ConfigError
from clic_edge.inference.package import CARD, DECLARATION, DIGESTS, load_package
from clic_edge.inference.signing import SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIX = ".clic"
LARGEST_FILE = 8 << 30
"""Bytes of one file of a package; what claims more is not unpacked."""
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

    """
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="clic-edge-package-") as name:
        folder = Path(name) / "package"
        _unpack(source, folder)
        yield folder


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as read:
            entries = read.infolist()
            _require_package(entries, archive)
            for entry in entries:
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with read.open(entry) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            "archive-unreadable", f"{archive} is no whole archive of a model package."
        ) from error


def _require_package(entries: Iterable[zipfile.ZipInfo], archive: Path) -> None:
    """Raise where an entry lies elsewhere; or where a ZIP within a cut archive was taken for it."""
    names = {entry.filename for entry in entries}
    if not {DECLARATION, DIGESTS} <= names or not all(map(_is_inside, entries)):
        raise ConfigError(
            "archive-unreadable", f"{archive} is no whole archive of a model package."
        )


def _is_inside(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename)
    plain = not path.is_absolute() and ".." not in path.parts and "\\" not in entry.filename
    return plain and not entry.is_dir() and entry.file_size <= LARGEST_FILE
