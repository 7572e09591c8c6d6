"""Coded strings (CS): kept where they are made of the words of defined terms, so that no name is one."""

from __future__ import annotations

import json
import re
from functools import cache

from pydicom._dicom_dict import DicomDictionary

from clic_edge.deid.descriptors import words
from clic_edge.deid.dummies import REMOVED
from clic_edge.deid.standard import table
from clic_edge.deid.values import CODED

_WORD = re.compile(rb"[A-Z]{3,}")
_MOST_DIGITS = 5
_SHORTEST_PART = 4
_LONG_NUMBER = re.compile(rb"\d{%d}" % (_MOST_DIGITS + 1))


@cache
def _known() -> frozenset[bytes]:
    """Return the words of defined terms, of the data dictionary's names and of descriptors."""
    lists: dict[str, list[str]] = json.loads(table("coded_words"))["words"]
    names = " ".join(entry[2] for entry in DicomDictionary.values()).upper()
    found = {word.encode("ascii") for known in lists.values() for word in known}
    found |= {*_WORD.findall(names.encode("ascii", "replace"))}
    return frozenset(found | {*_WORD.findall(b" ".join(words().allowed).upper())})


def is_coded(value: bytes) -> bool:
    """Whether one value without padding is a coded string of known words and short numbers."""
    if not CODED.fullmatch(value) or _LONG_NUMBER.search(value):
        return False
    return all(_is_known(word) for word in _WORD.findall(value))


def _is_known(word: bytes) -> bool:
    """Whether a word is known, or made of two known ones as ``PARTIALBODY`` is."""
    known = _known()
    cuts = range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1)
    return word in known or any(word[:cut] in known and word[cut:] in known for cut in cuts)


def coded_string(value: bytes) -> bytes:
    """Return a value of VR CS itself if it is of terms alone; else ``REMOVED`` for what is none."""
    parts = [part.strip(b" \0") for part in value.split(b"\\")]
    if all(map(is_coded, parts)):
        return value
    return b"\\".join(part if is_coded(part) else REMOVED.encode() for part in parts)
