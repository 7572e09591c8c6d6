"""Settings as they may leave the site: without users, addresses of people, and what opens doors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHHELD: Final = "[withheld]"
SECRET: Final = "[secret]"  # noqa: S105 - what stands in its place
_OF_PEOPLE: Final = frozenset({"username", "client_id", "sender", "recipients"})
_OPENS: Final = re.compile(r"password|secret|token|(^|_)key(_file)?$")
_SHORTEST: Final = 4
"""What is shorter can't be a secret, and would be found everywhere."""
_MOST_BYTES: Final = 65_536

Plain = bool | int | float | str | None | list["Plain"] | dict[str, "Plain"]


def plain(value: object, name: str = "") -> Plain:
    """Return settings as JSON: URLs without user, path and query, and nobody's name or address."""
    match value:
        case None | bool() | int() | float():
            return value
        case BaseModel():
            fields = type(value).model_fields
            return {one: plain(getattr(value, one), one) for one in fields}
        case Mapping():
            return {str(key): plain(one, str(key)) for key, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(one, name) for one in value]
        case Path():
            return _path(value, name)
        case _:
            return _text(str(value), name)


def secrets_in(settings: BaseModel) -> frozenset[str]:
    """Return what stands in the files of secrets that settings name, whole and line by line."""
    found: set[str] = set()
    for path in _files(settings):
        try:
            content = path.read_bytes()[:_MOST_BYTES]
        except OSError:
            continue  # who makes the bundle may not read it, so it can't be in it
        text = content.decode("utf-8", errors="replace")
        found |= {text.strip(), content.hex(), *(line.strip() for line in text.splitlines())}
    return frozenset(one for one in found if len(one) >= _SHORTEST)


def _files(value: object, name: str = "") -> Iterator[Path]:
    match value:
        case BaseModel():
            for one in type(value).model_fields:
                yield from _files(getattr(value, one), one)
        case Mapping():
            for key, one in value.items():
                yield from _files(one, str(key))
        case Path() if _OPENS.search(name):
            yield value


def _path(path: Path, name: str) -> Plain:
    """Return a path; of a secret's, whether it is there and who may read it, too."""
    if not _OPENS.search(name):
        return str(path)
    try:
        mode = f"{path.stat().st_mode & 0o7777:04o}"
    except OSError:
        mode = "not there"
    return {"path": str(path), "mode": mode}


def _text(text: str, name: str) -> Plain:
    if not text:
        return text
    if name in _OF_PEOPLE or _OPENS.search(name):
        return WITHHELD
    if "://" in text and not text.startswith("sqlite:"):
        return _address(text)
    return text


def _address(url: str) -> str:
    """Return scheme, host and port: a webhook's path and a database's query may be its key."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return WITHHELD
    return f"{parts.scheme}://{parts.hostname or ''}{port}/…"
