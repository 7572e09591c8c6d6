"""Code meanings in the reader's language (PS3.3 8.3: a meaning is for people, the value is the code)."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydicom.dataset import Dataset

LANGUAGES = {"en": ("en", "English"), "da": ("da-DK", "Dansk (Danmark)")}
"""The code of each language (RFC 5646) and its own name for itself."""


def meaning_of(scheme: str, value: str, *, language: str, otherwise: str) -> str:
    """Return what a code means in a language; where its file doesn't say, what is given."""
    if language == "en":
        return otherwise
    return meanings(language).get(f"{scheme}:{value}", otherwise)


def translate(ds: Dataset, language: str) -> None:
    """Put every code meaning that has one in `language` in place of the English, at any depth."""
    if language == "en":
        return
    for element in ds:
        if element.VR == "SQ":
            for index, item in enumerate(element.value):
                if "CodeMeaning" in item and "CodeValue" in item:
                    element.value[index] = _translated(item, language)
                else:
                    translate(item, language)


def _translated(code: Dataset, language: str) -> Dataset:
    """Return the code with its other meaning; the item itself may stand in other objects too."""
    other = deepcopy(code)
    other.CodeMeaning = meaning_of(
        code.CodingSchemeDesignator,
        code.CodeValue,
        language=language,
        otherwise=code.CodeMeaning,
    )
    translate(other, language)
    return other


@cache
def meanings(language: str) -> Mapping[str, str]:
    """Return what ``SCHEME:VALUE`` means in a language, as its file says."""
    text = (files("clic_edge.results") / f"meanings_{language}.toml").read_text(encoding="utf-8")
    return {
        f"{scheme}:{value}": meaning
        for scheme, codes in tomllib.loads(text).items()
        for value, meaning in codes.items()
    }
