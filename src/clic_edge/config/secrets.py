"""Which files of a site are secrets: told by the names of the settings that lead to them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from clic_edge.config.settings import Settings

_SUFFIXES: Final = ("password_file", "secret_file", "token_file", "key_file", "_key")
"""How the key of a setting ends that names a file with a secret."""


def secret_files(settings: Settings) -> tuple[Path, ...]:
    """Return every file with a secret that the settings name, there or not, sorted."""
    return tuple(sorted(set(_named(settings))))


def _named(part: BaseModel) -> Iterator[Path]:
    for key, value in part:
        inner = value.values() if isinstance(value, Mapping) else (value,)
        for one in inner:
            if isinstance(one, BaseModel):
                yield from _named(one)
            elif isinstance(one, Path) and f"_{key}".endswith(_SUFFIXES):
                yield one
