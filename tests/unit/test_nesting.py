"""What lies too deep is told from its bytes, also where others walk on and we do not."""

from __future__ import annotations

import struct

import hostile_files as made
import pytest

from clic_edge.dicom.nesting import is_deeper

MOST = 32
NO_VR = struct.pack("<HH2sHL", 0x0008, 0x1110, b"ZZ", 0, 2) + b"ab"
PIXELS = 0x7FE00010


def a_file(elements: dict[int, bytes]) -> bytes:
    return made.part10(made.image(1) | elements)


@pytest.mark.parametrize(
    ("depth", "deeper"), [(MOST, False), (MOST + 1, True)], ids=["at the limit", "beyond"]
)
@pytest.mark.parametrize("before", [{}, {0x00081110: NO_VR}], ids=["sound", "a VR that is none"])
def test_sequences_beyond_the_limit_are_found_behind_whatever_lies_before(
    before: dict[int, bytes], depth: int, *, deeper: bool
) -> None:
    assert is_deeper(a_file(before | {0x00081115: made.nested(depth)}), MOST) is deeper


def test_sequences_in_place_of_pixels_are_found() -> None:
    inner = made.ITEM + made.nested(MOST + 1) + made.ITEM_END + made.SEQUENCE_END
    pixels = made.element(PIXELS, "SQ", b"", length=made.UNDEFINED) + inner
    assert is_deeper(a_file({PIXELS: pixels}), MOST)
