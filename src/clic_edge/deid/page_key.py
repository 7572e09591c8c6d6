"""What the pages need of the site's key, and nothing more: no pseudonym can be made of it.

The pages are the process that people from other machines reach. Whoever breaks into it should not
have what links pseudonyms to patients, so the worker's key is derived for them, one way (HKDF).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clic_edge.deid.certificate import public_key
from clic_edge.deid.keys import KEY_BYTES, load_key
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.deid.keys import DeidKey

Digits = Annotated[str, Field(pattern=f"^[0-9a-f]{{{2 * KEY_BYTES}}}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageKey:
    """The secrets behind links and readers' stand-ins, and the public half of the site's signature."""

    assess: bytes = field(repr=False)
    """Makes the links by which readers assess results, and knows them again."""
    reader: bytes = field(repr=False)
    """Makes the stand-ins of readers."""
    signer: bytes
    """Ed25519, public: what the site signed is known by it, and nothing can be signed."""

    @classmethod
    def of(cls, key: DeidKey) -> PageKey:
        """Return the pages' part of the site's key."""
        return cls(
            assess=key.derived("assess"),
            reader=key.derived("reader"),
            signer=bytes.fromhex(public_key(key)),
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    assess: Digits
    reader: Digits
    signer: Digits


def write_page_key(key: PageKey, path: Path) -> None:
    """Write it anew for its owner alone. Raises ConfigError ``key-unwritable``."""
    text = _File(assess=key.assess.hex(), reader=key.reader.hex(), signer=key.signer.hex())
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text.model_dump_json() + "\n")
        part.rename(path)
    except OSError as error:
        raise ConfigError(
            "key-unwritable", f"The key {path} cannot be written: {error.strerror}."
        ) from error


def load_page_key(path: Path | None, deid_key: Path) -> PageKey:
    """Return the pages' key: of its own file, or where there is none out of the site's.

    Raises
    ------
    ConfigError
        ``key-missing``, ``key-unreadable``: the file; as `load_key`: the site's.

    """
    if path is None:
        return PageKey.of(load_key(deid_key))
    try:
        found = _File.model_validate_json(path.read_text(encoding="ascii"))
    except FileNotFoundError as error:
        raise ConfigError(
            "key-missing", f"There is no key at {path}; `clic-edge deid page-key` makes one."
        ) from error
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(
            "key-unreadable",
            f"The key {path} cannot be read; `clic-edge deid page-key` makes it anew.",
        ) from error
    return PageKey(
        assess=bytes.fromhex(found.assess),
        reader=bytes.fromhex(found.reader),
        signer=bytes.fromhex(found.signer),
    )
