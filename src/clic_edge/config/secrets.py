"""Files with secrets: which those of a site are, by the names of settings, and what is in one."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from clic_edge.config.settings import Settings
from clic_edge.errors import ConfigError

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


def read_secret(path: Path) -> str:
    """Return the first line of a file that holds one secret.

    Raises
    ------
    ConfigError
        ``no-secret``: the file can't be read, or its first line is empty.

    """
    try:
        secret = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError as error:
        raise ConfigError("no-secret", f"{path}: {error.strerror}.") from error
    if not secret:
        raise ConfigError("no-secret", f"{path}: the first line should be a secret, it is empty.")
    return secret
