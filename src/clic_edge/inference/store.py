"""The model packages of a site: a folder with one package in each subfolder."""

from __future__ import annotations

import ctypes
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.errors import ClicEdgeError, ConfigError, Defect
from clic_edge.inference.archive import opened
from clic_edge.inference.package import CARD, DIGESTS, ModelPackage, load_package
from clic_edge.inference.signing import SIGNATURE, verify_signature

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clic_edge.inference.signing import Signature


_FROM_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux's renameat2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A package on the site, or why what lies there is none."""

    name: str
    """Of its folder, as a pipeline's `model` names it."""
    package: ModelPackage | None = None
    signature: Signature | None = None
    problem: ClicEdgeError | None = None


def installed(models: Path, keys: Path) -> tuple[Installed, ...]:
    """Return what lies in the folder of packages, sound or not, by name."""
    folders = sorted(path.parent for path in models.glob("*/model.toml"))
    return tuple(_look(folder, keys) for folder in folders)


def _look(folder: Path, keys: Path) -> Installed:
    package = None
    if folder.name.startswith("."):
        cut_off = Defect(
            "model-cut-off",
            "It is being installed, or that was cut off; installing it again clears this up.",
        )
        return Installed(name=folder.name, problem=cut_off)
    try:
        package = load_package(folder)
        signature = verify_signature(folder, keys)
    except ClicEdgeError as problem:
        return Installed(name=folder.name, package=package, problem=problem)
    return Installed(name=folder.name, package=package, signature=signature)


def install(
    source: Path, models: Path, *, verify: Callable[[Path], object], replace: bool = False
) -> ModelPackage:
    """Copy a package, a folder or an archive, to the site under its id, and return it.

    The copy is made beside the others under another name, verified there, and trades names with
    the one before: should the power fail, one of the two is there, as a whole.

    Raises
    ------
    ConfigError
        ``model-installed``: the id is taken and `replace` is not set. ``model-elsewhere``: what
        has that name leads out of `models`. As `opened`.
    Defect, ConfigError
        What `verify` raises of the copy.

    """
    with opened(source) as folder:
        package = load_package(folder)
        target = _inside(models, package.declaration.id)
        fresh, old = (models / f".{target.name}.{what}" for what in ("new", "old"))
        if old.exists() and not target.exists():
            old.rename(target)
        if target.exists() and not replace:
            there = load_package(target).declaration.version
            raise ConfigError(
                "model-installed",
                f"{package.declaration.id} {there} is installed; --replace puts this one there.",
            )
        models.mkdir(parents=True, exist_ok=True)
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        _copy(package, fresh)
    try:
        verify(fresh)
    except ClicEdgeError:
        shutil.rmtree(fresh)
        raise
    _put(fresh, target, old=old)
    return load_package(target)


def remove(models: Path, name: str) -> None:
    """Take a package off the site. Raises ConfigError ``model-unknown`` and ``model-elsewhere``."""
    folder = _inside(models, name)
    if not (folder / DIGESTS).is_file():
        raise ConfigError("model-unknown", f"{models} holds no model package {name}.")
    shutil.rmtree(folder)


def _inside(models: Path, name: str) -> Path:
    """Return the folder of a package: one in `models`, never a link or a path to somewhere else."""
    folder = models / name
    if folder.is_symlink() or folder.resolve().parent != models.resolve():
        raise ConfigError("model-elsewhere", f"{folder} does not lie in {models}.")
    return folder


def _put(fresh: Path, target: Path, *, old: Path) -> None:
    """Give a package its name, and delete the one that had it, once the new one is on the disk."""
    for path in (*fresh.rglob("*"), fresh):
        _flush(path)
    if not target.exists():
        fresh.rename(target)
    elif _exchange(fresh, target):
        old = fresh
    else:
        target.rename(old)
        fresh.rename(target)
    _flush(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders trade names, so that neither is away for a moment; some file systems can't."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = (_FROM_HERE, os.fsencode(one), _FROM_HERE, os.fsencode(other))
    return hasattr(libc, "renameat2") and libc.renameat2(*paths, _EXCHANGE) == 0


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _copy(package: ModelPackage, target: Path) -> None:
    """Copy what belongs to a package, and nothing else that lies beside it."""
    extra = [name for name in (DIGESTS, SIGNATURE, CARD) if (package.folder / name).is_file()]
    for name in (*package.names, *extra):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package.folder / name, target / name)
