"""Free text rebuilt from allowed terms (PS3.15 E.3.5): what is not understood is dropped.

A value is cut into chunks; a chunk stays if it is an allowed word, a measure (``3mm``, ``5 mm``,
``0.6x0.6``), a parameter with its number (``TE30``, ``b1000``), a reconstruction kernel, or made
of allowed words (``HippoCrop``). A value that is understood whole stays as it is, byte for byte;
of any other its understood chunks stay, but for the words that another word could turn round
(``contrast``: what stood before it may have been ``without``), words that only join (``of``)
and lone letters.
"""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from clic_edge.deid.standard import table
from clic_edge.deid.values import CODED

_CHUNK = re.compile(rb"[A-Za-z0-9.%*\x1b\x7f-\xff]+")
_SAFE_BETWEEN = re.compile(rb"[ _\-^/+,()=:;&\[\]<>#\r\n\t]*")
_PARTS = re.compile(rb"[Tt][12](?!\d)|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_UNIT = rb"(?:mm|cm|m[ls]|sec|min|s|kvp?|mas?|mgy|[mk]?hz|deg|kev|mbq|mci|mg|ml|t|%)"
_NUMBER = rb"\d{1,4}(?:\.\d{1,3})?"
_MEASURE = re.compile(rb"%b%b|%b(?:x%b){1,2}(?:mm)?" % (_NUMBER, _UNIT, _NUMBER, _NUMBER))
_BARE, _UNITS = re.compile(_NUMBER), re.compile(_UNIT)
_PARAMETER = re.compile(rb"(?:te|tr|ti|b|fa|p)\d{1,4}(?:\.\d)?")
_PARAMETER_NAMES = frozenset([b"te", b"tr", b"ti", b"b", b"fa"])
_KERNEL = re.compile(rb"[BHIU][0-9]{2}[fs]|[BHQTUD][rflv][0-9]{2}[fs]?")
_WEIGHTINGS = frozenset([b"t1", b"t2"])
_MULTIPLE = frozenset(["CS", "LO", "SH", "UC"])
_LONG_WORD = 3


class Words(NamedTuple):
    """The allowed words, in lower case."""

    allowed: frozenset[bytes]
    only_whole: frozenset[bytes]
    """Those that stay only where the whole value is understood."""


@cache
def words() -> Words:
    """Return the words of ``tables/descriptor_words.json``, which names their source."""
    lists: dict[str, list[str]] = json.loads(table("descriptor_words"))["words"]
    encoded = {name: {word.encode("ascii") for word in found} for name, found in lists.items()}
    return Words(
        frozenset().union(*encoded.values()), frozenset(encoded["contrast"] | encoded["joining"])
    )


def rebuilt(value: bytes, vr: str, names: frozenset[bytes]) -> bytes | None:
    """Return what is understood of a text of VR `vr`; None if that is nothing.

    `names` are words, in lower case, that name persons in the same object: never understood.
    """
    texts = value.split(b"\\") if vr in _MULTIPLE else [value]
    cleaned = [_rebuilt(text.strip(b" \0"), names) for text in texts]
    if not any(cleaned):
        return None
    joined = b"\\".join(cleaned)
    is_fit = vr != "CS" or all(CODED.fullmatch(text) for text in cleaned)
    return joined if is_fit else None


def _rebuilt(text: bytes, names: frozenset[bytes]) -> bytes:
    chunks = [chunk.strip(b".*") for chunk in _CHUNK.findall(text)]
    numbers = _numbers(chunks)
    kept = [
        chunk if at in numbers else _understood(chunk, names) for at, chunk in enumerate(chunks)
    ]
    is_whole = kept == chunks and all(map(_SAFE_BETWEEN.fullmatch, _CHUNK.split(text)))
    if not is_whole:
        kept = [
            part
            for at, part in enumerate(kept)
            if at in numbers or (len(part) > 1 and part.lower() not in words().only_whole)
        ]
    if not any(_is_word(part) for part in kept):
        return b""
    return text if is_whole else b" ".join(kept)


def _is_word(chunk: bytes) -> bool:
    """Whether a chunk says something by itself: no letter, measure or joining word."""
    lower = chunk.lower()
    is_measure = lower[:1].isdigit() or _UNITS.fullmatch(lower)
    return len(lower) > 1 and not is_measure and lower not in words().only_whole


def _understood(chunk: bytes, names: frozenset[bytes]) -> bytes:
    """Return a chunk, the allowed words that it is made of, or nothing."""
    lower, allowed = chunk.lower(), words().allowed
    if lower in names:
        return b""
    patterns = (_MEASURE, _PARAMETER)
    if lower in allowed or any(pattern.fullmatch(lower) for pattern in patterns):
        return chunk
    if _KERNEL.fullmatch(chunk):
        return chunk
    kept = [
        part
        for part in _PARTS.findall(chunk)
        if (len(part) >= _LONG_WORD or part.lower() in _WEIGHTINGS)
        and part.lower() in allowed
        and part.lower() not in names
    ]
    return chunk if b"".join(kept) == chunk else b" ".join(kept)


def _numbers(chunks: list[bytes]) -> set[int]:
    """Return where a bare number is understood by its neighbour: a unit behind, a parameter before."""
    found: set[int] = set()
    for at, (one, other) in enumerate(pairwise(chunks)):
        if _BARE.fullmatch(one) and _UNITS.fullmatch(other.lower()):
            found |= {at, at + 1}
        if one.lower() in _PARAMETER_NAMES and _BARE.fullmatch(other):
            found |= {at, at + 1}
    return found
