"""The crosswalk: the sealed way back from stand-ins to what they stand for. It stays on the appliance.

One file for each study. Every line is sealed by itself with AES-256-GCM under a key of the study's
own, derived from the site's secret; the scope, the day it expires and the key's name are bound
to each line, so that a crosswalk of another study, or one with a later day written in, does not open.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, ValidationError

from clic_edge.errors import ConfigError, Refusal, Transient

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from clic_edge.deid.keys import DeidKey

SUFFIX = ".crosswalk"
_NONCE = 12


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    subject_id: str
    patient_id: str
    issuer_of_patient_id: str
    patient_name: str
    uids: dict[str, str]


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    scope: str
    expires_at: datetime
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one object adds: whose it is, and its UIDs, stand-in to original."""

    subject_id: str
    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    uids: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crosswalk:
    """An opened crosswalk of one study."""

    scope: str
    """The study's keyed UID."""
    expires_at: datetime
    subject_id: str
    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    uids: Mapping[str, str] = field(repr=False)
    """Stand-in to original."""


def seal(folder: Path, scope: str, entry: Entry, *, key: DeidKey, expires_at: datetime) -> None:
    """Add an entry to the crosswalk of a study; the file is its owner's only.

    A file that is there keeps its day of expiry. Raises ConfigError ``crosswalk-foreign`` when it
    was sealed under another key.
    """
    path = folder / f"{scope}{SUFFIX}"
    if path.exists():
        with path.open("rb") as file:
            raw = file.readline()
        if _head(raw, path).key_id != key.key_id:
            raise ConfigError("crosswalk-foreign", f"{path} was sealed under another key.")
    else:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        head = _Head(
            format="clic-edge crosswalk 1",
            scope=scope,
            expires_at=expires_at.astimezone(UTC).replace(microsecond=0),
            key_id=key.key_id,
        )
        raw = head.model_dump_json().encode() + b"\n"
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(raw)
    part = _Part(
        subject_id=entry.subject_id,
        patient_id=entry.patient_id,
        issuer_of_patient_id=entry.issuer_of_patient_id,
        patient_name=entry.patient_name,
        uids=dict(entry.uids),
    )
    nonce = secrets.token_bytes(_NONCE)
    sealed = _cipher(key, scope).encrypt(nonce, part.model_dump_json().encode(), raw)
    with path.open("r+b") as file:
        _seek_last_line_end(file)
        file.write(base64.b64encode(nonce + sealed) + b"\n")


def unseal(folder: Path, scope: str, key: DeidKey, *, now: datetime) -> Crosswalk:
    """Return the crosswalk of a study.

    Raises
    ------
    Refusal
        ``crosswalk-expired``.
    ConfigError
        ``no-crosswalk``, or ``crosswalk-sealed``: it is another study's, was changed, or was sealed
        under another key.

    """
    path = folder / f"{scope}{SUFFIX}"
    try:
        raw, *lines = path.read_bytes().splitlines(keepends=True)
    except (OSError, ValueError) as error:
        raise ConfigError("no-crosswalk", f"There is no crosswalk {path}.") from error
    head = _head(raw, path)
    whole = [line for line in lines if line.endswith(b"\n")]
    parts = [_opened(line, raw, path, key=key, scope=scope) for line in whole]
    if head.scope != scope or not parts:
        raise _sealed(path)
    if now >= head.expires_at:
        raise Refusal("crosswalk-expired", f"The crosswalk expired on {head.expires_at:%Y-%m-%d}.")
    return Crosswalk(
        scope=scope,
        expires_at=head.expires_at,
        subject_id=parts[0].subject_id,
        patient_id=parts[0].patient_id,
        issuer_of_patient_id=parts[0].issuer_of_patient_id,
        patient_name=parts[0].patient_name,
        uids=MappingProxyType({new: old for part in parts for new, old in part.uids.items()}),
    )


def drop_expired(folder: Path, now: datetime) -> int:
    """Delete the crosswalks whose day has passed; return how many. The others stay, also broken ones.

    Raises Transient ``crosswalk-kept`` when the folder does not let go of one.
    """
    dropped = 0
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            if _has_expired(path, now):
                path.unlink()
                dropped += 1
        except FileNotFoundError:
            continue  # another worker was first
        except OSError as error:
            raise Transient(
                "crosswalk-kept", f"An expired crosswalk can't be deleted: {error.strerror}."
            ) from error
    return dropped


def _has_expired(path: Path, now: datetime) -> bool:
    with path.open("rb") as file, contextlib.suppress(ConfigError):
        return _head(file.readline(), path).expires_at <= now
    return False


def _seek_last_line_end(file: BinaryIO) -> None:
    """Go to the end, and drop a line that a crash left unfinished."""
    if file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)


def _opened(line: bytes, head: bytes, path: Path, *, key: DeidKey, scope: str) -> _Part:
    try:
        raw = base64.b64decode(line, validate=False)
        opened = _cipher(key, scope).decrypt(raw[:_NONCE], raw[_NONCE:], head)
        return _Part.model_validate_json(opened)
    except (InvalidTag, ValueError):
        raise _sealed(path) from None


def _cipher(key: DeidKey, scope: str) -> AESGCM:
    return AESGCM(key.derived(f"crosswalk {scope}"))


def _head(raw: bytes, path: Path) -> _Head:
    try:
        return _Head.model_validate_json(raw)
    except ValidationError:
        raise _sealed(path) from None


def _sealed(path: Path) -> ConfigError:
    return ConfigError(
        "crosswalk-sealed",
        f"{path} does not open: it is another study's, was changed, or belongs to another key.",
    )


def expiry(days: int, now: datetime) -> datetime:
    """Return when a crosswalk made now expires."""
    return datetime.fromtimestamp(now.timestamp() + days * 86_400, UTC)
