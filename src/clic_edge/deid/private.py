"""Private attributes that PS3.15 Table E.3.10-1 says are safe, matched by their creator's block."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from clic_edge.deid.standard import table
from clic_edge.deid.values import NUMBER_VRS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.deid.part10 import Element

_FIRST_BLOCK = 0x10
_CREATOR = ("LO",)


@cache
def safe_attributes() -> dict[tuple[int, str, int], tuple[str, ...]]:
    """Return the rows of the table: group, creator and last byte of the tag, to the VRs it may have.

    Where the table names no VR, any number is right.
    """
    return {
        (int(row["tag"][1:5], 16), row["private_creator"], int(row["tag"][8:10], 16)): (
            tuple(row["vr"].split("/")) if row["vr"] else tuple(sorted(NUMBER_VRS))
        )
        for row in json.loads(table("e3_10_1"))["rows"]
    }


def safe_private(elements: Iterable[Element]) -> dict[int, tuple[str, ...]]:
    """Return the private tags of one dataset that are safe, with their VRs, and their creators.

    A block (gggg,xx00-xxFF) is its creator's only in the dataset that declares it (PS3.5 7.8.1).
    """
    private = [element for element in elements if element.tag >> 16 & 1]
    creators = {
        element.tag: bytes(element.value).strip(b" \0").decode("latin-1")
        for element in private
        if element.items is None and _FIRST_BLOCK <= element.tag & 0xFFFF <= 0xFF  # noqa: PLR2004 - (gggg,0010-00FF)
    }
    safe: dict[int, tuple[str, ...]] = {}
    for element in private:
        group, number = element.tag >> 16, element.tag & 0xFFFF
        creator = group << 16 | number >> 8
        vrs = safe_attributes().get((group, creators.get(creator, ""), number & 0xFF))
        if vrs:
            safe[element.tag] = vrs
            safe[creator] = _CREATOR
    return safe
