"""Why a case waits, was refused or is held, and what to do, in the language of who asks."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from clic_edge.results.meanings import meaning_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def explained(code: str, reason: str, language: str) -> str:
    """Return a reason as results tell it: the sentence of its code, and the numbers behind it.

    In English, and where the language has no sentence for the code, the reason itself.
    """
    general = meaning_of("refusal", code, language=language, otherwise="")
    return f"{general} ({reason})" if general else reason


def remedy(code: str, language: str = "en") -> str:
    """Return what to do about a code, as the page of errors says it; empty where it says nothing.

    In English where the language has no sentence for it.
    """
    english = _remedies("remedies.toml").get(code, "")
    return (
        _remedies(f"remedies_{language}.toml").get(code, english) if language != "en" else english
    )


@cache
def _remedies(name: str) -> Mapping[str, str]:
    text = (files("clic_edge.pipeline") / name).read_text(encoding="utf-8")
    return tomllib.loads(text)
