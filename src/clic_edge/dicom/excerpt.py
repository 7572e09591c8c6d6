"""Single attributes of a file whose bytes nobody has looked at yet, without what lies between them.

pydicom keeps every item of a sequence that it passes, which a hostile file of some megabytes turns
into all memory. What comes from here holds the attributes that were asked for and nothing else.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from pydicom.uid import DeflatedExplicitVRLittleEndian

from clic_edge.dicom.part10 import (
    BULK_TAGS,
    LONG_VRS,
    SHORT_VRS,
    Reader,
    file_meta,
    layout_of,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from mmap import mmap

    from clic_edge.dicom.part10 import Encoding

LARGEST_HEADER = 64 << 20
"""Bytes before the pixels: of more, nothing is asked."""
LARGEST_VALUE = 1 << 16
"""Bytes of one attribute, or of the first item of a sequence."""
_TRANSFER_SYNTAX = 0x00020010
_ITEM = 0xFFFEE000
_UNDEFINED = 0xFFFFFFFF
_HEAD = 8
_DEFLATED = DeflatedExplicitVRLittleEndian
_VRS = frozenset(vr.encode() for vr in LONG_VRS | SHORT_VRS)


def excerpt(content: bytes | mmap, tags: Collection[int]) -> tuple[bytes, Encoding]:
    """Return some attributes on top as a bare dataset, and how it is laid out.

    Of a sequence only the first item is kept, where that is not huge. Nothing behind the last of the tags, or behind the
    pixel data, is looked at.

    Raises Defect ``unreadable-instance``, ``unknown-transfer-syntax``.
    """
    kept, last = [], max(tags)
    try:
        reader, at = dataset_of(content)
        while at + _HEAD <= len(reader.content):
            begin = at
            tag, vr, length, value_at = reader.header(begin)
            if tag > last or tag in BULK_TAGS:
                break
            at = value_at + length
            if length == _UNDEFINED:
                at = reader.past(tag, vr, at=value_at, depth=0)
            if at > len(reader.content):
                raise unreadable(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is cut off")
            if tag in tags and vr == "SQ":
                kept.append(_with_first_item(reader, tag, value_at, end=at))
            elif tag in tags and at - value_at > LARGEST_VALUE:
                raise unreadable(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is far too long")
            elif tag in tags and length != _UNDEFINED:
                kept.append(bytes(reader.content[begin:at]))
    except struct.error as error:
        raise unreadable("it ends in the middle of an element") from error
    return b"".join(kept), reader.encoding


def dataset_of(content: bytes | mmap) -> tuple[Reader, int]:
    """Return what walks the dataset of a file, inflated as far as a header may go, and its start."""
    start, meta = file_meta(content)
    syntax = meta.get(_TRANSFER_SYNTAX, "")
    layout = layout_of(content, start, syntax)
    if layout.explicit and content[start + 4 : start + 6] not in _VRS and syntax != _DEFLATED:
        layout = replace(layout, explicit=False)  # some writers compress pixels and leave the rest
    if syntax != _DEFLATED:
        return Reader(content, layout), start
    inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        return Reader(inflate.decompress(content[start:], LARGEST_HEADER), layout), 0
    except zlib.error as error:
        raise unreadable("it is not deflated as it says") from error


def _with_first_item(reader: Reader, tag: int, at: int, *, end: int) -> bytes:
    """Return a sequence that holds the first of the items from `at` to `end` only."""
    item = b""
    if at + _HEAD <= end:
        group, number, length = reader.plain(reader.content, at)
        if group << 16 | number == _ITEM:
            whole = length != _UNDEFINED
            stop = at + _HEAD + length if whole else reader.past_item(at + _HEAD, 1)
            if stop <= min(end, at + LARGEST_VALUE):
                item = bytes(reader.content[at:stop])
    order = "<" if reader.little else ">"
    kind = b"SQ\0\0" if reader.explicit else b""
    return (
        struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
        + kind
        + struct.pack(f"{order}L", len(item))
        + item
    )
