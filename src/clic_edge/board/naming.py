"""What features and charts are called where people read them, in English and Danish."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping


def called(name: str, language: str) -> str:
    """Return what a feature, or the chart of one, is called in ``en`` or ``da``; others by their name.

    The chart of a word is named ``feature=word``; the word stays as it was written.
    """
    feature, equals, word = name.partition("=")
    first, _, rest = feature.partition(".")
    of, _, last = rest.rpartition(".")
    said = _words().get(feature) or _words().get(f"{first}.*.{last}")
    if said is None:
        return name
    words = said[language].format(of=of)
    return f"{words} = {word}" if equals else words


@cache
def _words() -> Mapping[str, Mapping[str, str]]:
    text = (files("clic_edge.board") / "features.toml").read_text("utf-8")
    return TypeAdapter(dict[str, dict[str, str]]).validate_python(tomllib.loads(text))
