"""Which files a site is made of, and which of them are secrets."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clic_edge.config.secrets import secret_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clic_edge.config import Settings

SETTINGS, STATE, MODELS = "settings", "state", "models"
"""First part of a file's name in a backup: the folder that it lies in on the machine."""
_PRIVATE: Final = b"PRIVATE KEY-----"
_LARGEST_KEY: Final = 1 << 16
_OURS_TO_MEASURE: Final = "measured.json"
"""What a model takes on this machine: another measures for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a site."""

    name: str
    """In a backup: its folder's word, then its path below it."""
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The files of a site."""

    plain: tuple[Part, ...]
    """Settings, rules, profiles, public keys, certificates, model packages."""
    secret: tuple[Part, ...]
    """What must not lie with them."""
    elsewhere: tuple[Path, ...]
    """Secrets that the settings name outside of their own folder and of the state's."""


def parts_of(settings_path: Path, settings: Settings) -> Parts:
    """Return the files of a site.

    In the folder of the settings a file is a secret unless everybody on the machine may read it
    and no private key is in it: what is not known to be plain is sealed.
    """
    root, state = settings_path.parent, settings.appliance.state_dir
    named = [path for path in secret_files(settings) if path.is_file()]
    mine = [Part(name=f"{SETTINGS}/{p.relative_to(root)}", path=p) for p in _files(root)]
    secret = [one for one in mine if one.path in named or not _is_plain(one.path)]
    outside = [path for path in named if not path.is_relative_to(root)]
    kept = [path for path in outside if path.is_relative_to(state)]
    secret += [Part(name=f"{STATE}/{path.relative_to(state)}", path=path) for path in kept]
    models = settings.appliance.models
    packages = [
        Part(name=f"{MODELS}/{path.relative_to(models)}", path=path)
        for path in _files(models)
        if path.name != _OURS_TO_MEASURE
    ]
    return Parts(
        plain=(*(one for one in mine if one not in secret), *packages),
        secret=tuple(secret),
        elsewhere=tuple(path for path in outside if path not in kept),
    )


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; a link leads to what the installation puts there."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def _is_plain(path: Path) -> bool:
    seen = path.stat()
    if not seen.st_mode & stat.S_IROTH:
        return False
    return seen.st_size > _LARGEST_KEY or _PRIVATE not in path.read_bytes()
