"""Whether an output folder is what its certificate says: chain, signatures, and every file's digest."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from clic_edge.deid.certificate import NAME, EndRecord, ObjectRecord, RunRecord, read_chain
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PAPERS = frozenset({NAME, "quarantine.jsonl", "manifest.json", "report.json"})
"""Files beside the cohort that have no line of their own."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found; a folder is sound when there is no problem."""

    objects: int
    studies: int
    key_ids: tuple[str, ...]
    problems: tuple[str, ...]


def verify(folder: Path, public_key: str) -> Verification:
    """Return what is wrong with a folder, or that nothing is.

    Raises
    ------
    ConfigError
        ``no-certificate``, or ``bad-public-key`` when `public_key` is not 32 bytes in hexadecimal.
    Defect
        ``unreadable-certificate``.

    """
    path = folder / NAME
    if not path.is_file():
        raise ConfigError("no-certificate", f"There is no {NAME} in {folder}.")
    try:
        signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    except ValueError as error:
        raise ConfigError(
            "bad-public-key", "A public key is 64 hexadecimal digits, as `deid public-key` prints."
        ) from error
    problems: list[str] = []
    files: dict[str, str] = {}
    studies: set[str] = set()
    key_ids: dict[str, None] = {}
    last, lines = None, 0
    for link in read_chain(path):
        if not link.is_linked:
            problems.append(f"line {link.number} does not follow the one before it")
        if not link.is_signed_by(signer):
            problems.append(f"line {link.number} is not signed by this key")
        last = link.record
        if isinstance(last, ObjectRecord):
            lines += 1
            files[last.name] = last.digest_out
            studies.add(last.study)
        elif isinstance(last, RunRecord):
            key_ids[last.key_id] = None
        elif isinstance(last, EndRecord) and last.objects != lines:
            problems.append(f"line {link.number} counts other objects than there are")
    if not isinstance(last, EndRecord):
        problems.append("the chain has no end: the run was cut off, or the chain was")
    problems += _files(folder, files)
    return Verification(
        objects=len(files), studies=len(studies), key_ids=tuple(key_ids), problems=tuple(problems)
    )


def _files(folder: Path, files: dict[str, str]) -> Iterator[str]:
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif _digest(path) != digest:
            yield f"{name} was changed"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in files and name not in _PAPERS:
            yield f"{name} is not in the certificate"


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
