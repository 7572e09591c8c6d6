"""What a report says, in English and Danish: `words.toml`, a table for each sentence."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from clic_edge.drawing.look import Language

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = TypeAdapter(dict[str, dict[Language, str]])


@cache
def words() -> Mapping[str, Mapping[Language, str]]:
    """Return every sentence by its key, in both languages."""
    text = (files("clic_edge.reporting") / "words.toml").read_text(encoding="utf-8")
    return MappingProxyType(_FILE.validate_python(tomllib.loads(text)))


def say(language: Language, key: str, **values: object) -> str:
    """Return a sentence with its values filled in. Raises KeyError where there is none."""
    return words()[key][language].format(**values)
