"""What the pages say, in English and Danish: `words/PAGE.toml`, a table for each sentence."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

Language = Literal["en", "da"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "da")
_PAGE: Final = TypeAdapter(dict[str, dict[Language, str]])


@cache
def words() -> Mapping[str, Mapping[Language, str]]:
    """Return every sentence by ``page.key``, in both languages."""
    return MappingProxyType(
        {
            f"{file.name.removesuffix('.toml')}.{key}": MappingProxyType(said)
            for file in (files("clic_edge.web") / "words").iterdir()
            if file.name.endswith(".toml")
            for key, said in _PAGE.validate_python(tomllib.loads(file.read_text("utf-8"))).items()
        }
    )


def say(language: Language, key: str, **values: object) -> str:
    """Return a sentence with its values filled in. Raises KeyError where there is none."""
    return words()[key][language].format(**values)
