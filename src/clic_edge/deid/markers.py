"""The attributes that say what was done (PS3.15 E.1.1, E.3), derived from what ran."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from clic_edge.deid.options import FULL_DATES, MODIFIED_DATES
from clic_edge.deid.part10 import Element, Encoding, Writer
from clic_edge.deid.standard import EDITION, method_codes

if TYPE_CHECKING:
    from clic_edge.deid.profile import Profile

IDENTITY_REMOVED, METHOD, METHOD_CODES = 0x00120062, 0x00120063, 0x00120064
LONGITUDINAL = 0x00280303


@cache
def markers(
    profile: Profile, encoding: Encoding, *, pixels_cleaned: bool = False
) -> dict[int, bytes]:
    """Return Patient Identity Removed, method, method codes (CID 7050) and temporal information."""
    writer = Writer(encoding)
    ran = {"basic"} | profile.options | ({"clean_pixel_data"} if pixels_cleaned else set())
    items = [
        b"".join(writer.element(one.tag, one.vr, bytes(one.value)) for one in method_item(option))
        for option, _ in method_codes()
        if option in ran
    ]
    return {
        IDENTITY_REMOVED: writer.element(IDENTITY_REMOVED, "CS", b"YES"),
        METHOD: writer.element(METHOD, "LO", f"clic-edge {EDITION} {profile.digest[:12]}".encode()),
        METHOD_CODES: writer.sequence(METHOD_CODES, items),
        LONGITUDINAL: writer.element(LONGITUDINAL, "CS", _longitudinal(profile.options)),
    }


def method_item(option: str) -> tuple[Element, ...]:
    """Return the code of an option that ran (CID 7050), as an item of a sequence."""
    code = dict(method_codes())[option]
    return (
        Element(0x00080100, "SH", code.value.encode("ascii")),
        Element(0x00080102, "SH", code.scheme.encode("ascii")),
        Element(0x00080104, "LO", code.meaning.encode("ascii")),
    )


def _longitudinal(options: frozenset[str]) -> bytes:
    if FULL_DATES in options:
        return b"UNMODIFIED"
    return b"MODIFIED" if MODIFIED_DATES in options else b"REMOVED"
