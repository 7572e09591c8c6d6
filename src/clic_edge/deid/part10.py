"""A Part 10 file as elements over its own bytes, and back (PS3.5 7, PS3.10 7).

Pixel data is a view of the source and is copied once, into the output.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from pydicom.uid import DeflatedExplicitVRLittleEndian

from clic_edge.dicom.part10 import (
    BULK_TAGS,
    DEEPEST,
    LONG_VRS,
    MOST_INFLATED,
    SHORT_VRS,
    Element,
    Encoding,
    Part10,
    Reader,
    items_of_unknown,
    opening,
    read,
    vrs_of,
)
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "BULK_TAGS",
    "DEEPEST",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "LONG_VRS",
    "MOST_INFLATED",
    "SHORT_VRS",
    "Element",
    "Encoding",
    "Part10",
    "Reader",
    "Writer",
    "file_bytes",
    "items_of_unknown",
    "opening",
    "read",
    "vrs_of",
]

_UNDEFINED = 0xFFFFFFFF
_PREAMBLE = 128
_EXPLICIT = Encoding(explicit=True, little=True)

IMPLEMENTATION_CLASS_UID = "2.25.263318206459214331275386201486420117315"
IMPLEMENTATION_VERSION_NAME = "CLIC_EDGE_DEID_1"


class Writer:
    """Lays elements out in one encoding; sequences and items get defined lengths."""

    def __init__(self, encoding: Encoding) -> None:
        order = "<" if encoding.little else ">"
        self._explicit = encoding.explicit
        self._short = struct.Struct(f"{order}HH2sH").pack
        self._long = struct.Struct(f"{order}HH2sHL").pack
        self._plain = struct.Struct(f"{order}HHL").pack

    def head(self, tag: int, vr: str, length: int) -> bytes:
        """Return the header of an element."""
        if not self._explicit:
            return self._plain(tag >> 16, tag & 0xFFFF, length)
        if vr in LONG_VRS:
            return self._long(tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
        if length > 0xFFFF:  # noqa: PLR2004 - two bytes of length
            raise Defect("unwritable-element", "A value is too long for its VR.")
        return self._short(tag >> 16, tag & 0xFFFF, vr.encode(), length)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """Return one element, its value padded to even length."""
        if len(value) % 2:
            value += b"\0" if vr in {"UI", "OB", "UN"} else b" "
        return self.head(tag, vr, len(value)) + value

    def sequence(self, tag: int, items: Iterable[bytes]) -> bytes:
        """Return a sequence of items that are laid out already."""
        body = b"".join(self._plain(0xFFFE, 0xE000, len(item)) + item for item in items)
        return self.head(tag, "SQ", len(body)) + body

    def bulk(self, element: Element) -> list[bytes | memoryview]:
        """Return header and value of pixel data, the value as it is in the source."""
        padding = b"\0" * (len(element.value) % 2)
        length = _UNDEFINED if element.encapsulated else len(element.value) + len(padding)
        return [self.head(element.tag, element.vr, length), element.value, padding]


def file_bytes(sop: tuple[str, str], syntax: str, dataset: Sequence[bytes | memoryview]) -> bytes:
    """Return a Part 10 file of `sop` (class and instance UID) with zeroed preamble and new File Meta."""
    body = dataset
    if syntax == DeflatedExplicitVRLittleEndian:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = [deflate.compress(b"".join(dataset)) + deflate.flush()]
        body.append(b"\0" * (len(body[0]) % 2))
    writer = Writer(_EXPLICIT)
    meta = b"".join(
        (
            writer.element(0x00020001, "OB", b"\0\1"),
            writer.element(0x00020002, "UI", sop[0].encode("ascii")),
            writer.element(0x00020003, "UI", sop[1].encode("ascii")),
            writer.element(0x00020010, "UI", syntax.encode("ascii")),
            writer.element(0x00020012, "UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
            writer.element(0x00020013, "SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
        )
    )
    length = writer.element(0x00020000, "UL", struct.pack("<L", len(meta)))
    return b"".join((bytes(_PREAMBLE), b"DICM", length, meta, *body))
