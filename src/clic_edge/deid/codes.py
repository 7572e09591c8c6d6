"""Coded concepts (PS3.3 8.8): kept where the code is a published one, so that no text hides in them."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING

from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

from clic_edge.deid.dummies import REMOVED
from clic_edge.deid.standard import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.deid.part10 import Element

CODE_VALUES = (0x00080100, 0x00080119, 0x00080120)
SCHEME, SCHEME_VERSION, MEANING = 0x00080102, 0x00080103, 0x00080104
CODE_TAGS = frozenset({*CODE_VALUES, SCHEME, SCHEME_VERSION, MEANING})
OWN_SCHEME = b"99CLICEDGE"
_OLD_SNOMED = ("SRT", "SNM3", "99SDM")
_UCUM = re.compile(r"[A-Za-z0-9*/.%()\[\]'^-]{1,8}")
_VERSION = re.compile(rb"[0-9.]{0,16} ?")


@cache
def _meanings() -> dict[tuple[str, str], str]:
    """Return the meaning of every code that pydicom or Table E.3.4-1 publishes, SNOMED also as SRT."""
    published: dict[str, dict[str, dict[str, tuple[str, list[int]]]]] = concepts  # type: ignore[assignment]  # pydicom leaves the type open
    known = {
        (scheme, value): meaning
        for scheme, names in published.items()
        for values in names.values()
        for value, (meaning, _) in values.items()
    }
    for srt, sct in mapping["SRT"].items():
        if ("SCT", sct) in known:
            for scheme in _OLD_SNOMED:
                known[scheme, srt] = known["SCT", sct]
    for row in json.loads(table("e3_4_1"))["rows"]:
        known.setdefault((row["scheme_designator"], row["code_value"]), row["meaning"])
    return known


def canonical(scheme: str, value: str) -> tuple[str, str]:
    """Return scheme and value of a code, SNOMED RT as SNOMED CT."""
    current = mapping["SRT"].get(value) if scheme in _OLD_SNOMED else None
    return ("SCT", current) if current else (scheme, value)


def clean_code(elements: Sequence[Element]) -> dict[int, bytes]:
    """Return the values of the code attributes of an item, by tag.

    A published code keeps value and scheme and gets the published meaning; a UCUM unit is its own
    meaning; any other code becomes a dummy of our own scheme.
    """
    raw = {element.tag: bytes(element.value) for element in elements if element.tag in CODE_TAGS}
    scheme = _text(raw.get(SCHEME, b""))
    value = next((_text(raw[tag]) for tag in CODE_VALUES if raw.get(tag)), "")
    meaning = _meanings().get((scheme, value))
    if meaning is None and scheme == "UCUM" and _UCUM.fullmatch(value):
        meaning = value
    if meaning is None:
        dummies = dict.fromkeys(raw, REMOVED.encode("ascii"))
        return dummies | {SCHEME: OWN_SCHEME} if SCHEME in raw else dummies
    if MEANING in raw and _text(raw[MEANING]).casefold() != meaning.casefold():
        raw[MEANING] = (meaning if meaning.isascii() else value).encode("ascii")[:64]
    if not _VERSION.fullmatch(raw.get(SCHEME_VERSION, b"")):
        raw[SCHEME_VERSION] = REMOVED.encode("ascii")
    return raw


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")
