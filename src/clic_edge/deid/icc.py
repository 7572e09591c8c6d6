"""Colour profiles (ICC.1:2022, ISO 15076-1): their numbers are kept, their texts are not."""

from __future__ import annotations

import struct

_HEADER, _CHECKSUM, _COUNT, _ENTRY = 128, 84, 4, 12
_SIGNATURES = ((4, 8), (48, 56), (80, 84))
"""Four letters each: preferred CMM, manufacturer and model, creator; zero for none."""
_NUMBERS = frozenset(
    b"XYZ |curv|para|mft1|mft2|mAB |mBA |sf32|uf32|sig |meas|view|chrm|dtim|cicp|ui08|ui16".split(
        b"|"
    )
)
_TEXTS = {b"desc": 12, b"text": 8, b"mluc": 16}
"""Types that hold text, and how many of their first bytes say its length: zero for none."""


def without_text(profile: bytes) -> bytes | None:
    """Return a colour profile of the same size without its texts; None where it is none.

    What lies between the tags, tags of types that hold no numbers, and the checksum become zeros.
    """
    if len(profile) < _HEADER + _COUNT or profile[36:40] != b"acsp":
        return None
    (count,) = struct.unpack_from(">L", profile, _HEADER)
    first = _HEADER + _COUNT
    end = first + count * _ENTRY
    if end > len(profile):
        return None
    cleaned = bytearray(len(profile))
    cleaned[:_CHECKSUM] = profile[:_CHECKSUM]
    for begin, stop in _SIGNATURES:
        cleaned[begin:stop] = bytes(stop - begin)
    cleaned[_HEADER:end] = profile[_HEADER:end]
    for at in range(first, end, _ENTRY):
        start, size = struct.unpack_from(">LL", profile, at + 4)
        if start < end or start + size > len(profile):
            return None
        kind = profile[start : start + 4]
        if kind in _NUMBERS:
            cleaned[start : start + size] = profile[start : start + size]
        elif kind in _TEXTS:
            cleaned[start : start + 4] = kind
        else:
            return None
    return bytes(cleaned)
