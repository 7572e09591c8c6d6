"""Compressed pixels without what is no picture: comments, application segments, what follows the end.

They are blanked in place, so that lengths, offsets and every pixel stay as they are (ISO/IEC 10918-1
B.2.4, 14495-1 C.2, 15444-1 A.9; PS3.5 A.4).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from clic_edge.deid.values import WORDS
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ITEM = struct.Struct("<HHL")
_SEGMENT = struct.Struct(">HH")
_TILE_LENGTH = struct.Struct(">L")
_RLE_HEADER = struct.Struct("<16L")
_JPEG, _JPEG_2000 = b"\xff\xd8\xff", b"\xff\x4f\xff\x51"
_SCAN, _END, _COMMENT, _APPLICATION = 0xFFDA, 0xFFD9, 0xFFFE, range(0xFFE0, 0xFFF0)
_TILE, _TILE_DATA, _COMMENT_2000 = 0xFF90, 0xFF93, 0xFF64
_COLOURS = (b"Adobe", b"mrfx", b"JFIF\0", b"SPIFF\0")
"""Application segments that tell how colours are decoded, and how long they are at most."""
_LONGEST_COLOURS = 32
_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""Within a scan, after FF stands a stuffed byte below 80, or RST0 to RST7."""

Span = tuple[int, int]


def blanked(fragments: memoryview) -> memoryview:
    """Return encapsulated pixel data of the same length in which only pictures are left.

    Raises
    ------
    Refusal
        ``unsafe-pixels``: the fragments are neither JPEG, JPEG-LS, JPEG 2000 nor RLE, or what
        stands beside the picture cannot be told apart.

    """
    try:
        table, *items = _items(fragments)
        spans = list(_offset_table(fragments, table, items))
        for group in _codestreams(fragments, items):
            spans += _of_codestream(fragments, group)
    except (struct.error, ValueError) as error:
        raise _unsafe() from error
    spans = [(begin, end) for begin, end in spans if bytes(fragments[begin:end]).strip(b"\0")]
    if not spans:
        return fragments
    copy = bytearray(fragments)
    for begin, end in spans:
        copy[begin:end] = bytes(end - begin)
    return memoryview(copy).toreadonly()


def _unsafe() -> Refusal:
    return Refusal(
        "unsafe-pixels",
        "Compressed pixels may hold text beside the picture: they can't be followed.",
    )


def _items(fragments: memoryview) -> Iterator[Span]:
    """Yield where the value of each item lies; the first is the Basic Offset Table."""
    at = 0
    while at + 2 * _ITEM.size <= len(fragments):
        begin = at + _ITEM.size
        at = begin + _ITEM.unpack_from(fragments, at)[2]
        yield begin, at


def _offset_table(fragments: memoryview, table: Span, items: Sequence[Span]) -> Iterator[Span]:
    """Yield the Basic Offset Table unless it is one: where fragments begin, from the first on."""
    starts = {begin - items[0][0] for begin, _ in items} if items else set()
    if not all(
        offset in starts for (offset,) in struct.iter_unpack("<L", fragments[slice(*table)])
    ):
        yield table


def _codestreams(fragments: memoryview, items: Sequence[Span]) -> list[list[Span]]:
    """Return the fragments of each codestream: one that has no signature goes on the one before."""
    groups: list[list[Span]] = []
    for begin, end in items:
        head = bytes(fragments[begin : min(begin + _RLE_HEADER.size, end)])
        if head.startswith((_JPEG, _JPEG_2000)) or _is_rle(head):
            groups.append([])
        elif not groups:
            raise _unsafe()
        groups[-1].append((begin, end))
    return groups


def _is_rle(head: bytes) -> bool:
    if len(head) < _RLE_HEADER.size:
        return False
    count, first, *_ = _RLE_HEADER.unpack(head)
    return bool(0 < count < len(_RLE_HEADER.unpack(head)) and first == _RLE_HEADER.size)


def _of_codestream(fragments: memoryview, group: Sequence[Span]) -> Iterator[Span]:
    """Yield what is no picture of one codestream, where it lies in the fragments."""
    stream = b"".join(fragments[begin:end] for begin, end in group)
    if stream.startswith(_JPEG):
        found = list(_of_jpeg(stream))
    elif stream.startswith(_JPEG_2000):
        found = list(_of_jpeg_2000(stream))
    else:
        found = [(4 + 4 * stream[0], _RLE_HEADER.size)]
    before = 0
    for begin, end in group:
        size = end - begin
        for one, other in found:
            low, high = max(one - before, 0), min(other - before, size)
            if low < high:
                yield begin + low, begin + high
        before += size


def _of_jpeg(stream: bytes) -> Iterator[Span]:
    at = 2
    while True:
        while stream[at : at + 2] == b"\xff\xff":
            at += 1  # fill bytes may stand before a marker
        if stream[at : at + 2] == b"\xff\xd9":
            yield at + 2, len(stream)
            return
        marker, length = _SEGMENT.unpack_from(stream, at)
        begin, at = at + 4, at + 2 + length
        if marker == _COMMENT or (marker in _APPLICATION and not _is_needed(stream[begin:at])):
            yield begin, at
        if marker == _SCAN:
            following = _MARKER.search(stream, at)
            if following is None:
                return  # cut off, or without its end: all of it is picture
            at = following.start()
        elif marker >> 8 != 0xFF or at > len(stream) or at < begin - 2:  # noqa: PLR2004 - no marker
            raise _unsafe()


def _is_needed(segment: bytes) -> bool:
    """Whether a segment tells how colours are decoded, in numbers: no word stands behind its own."""
    name = next((name for name in _COLOURS if segment.startswith(name)), b"")
    is_short = bool(name) and len(segment) <= _LONGEST_COLOURS
    return is_short and not WORDS.search(segment, len(name))


def _of_jpeg_2000(stream: bytes) -> Iterator[Span]:
    at, tile_end = 2, 0
    while at + 2 <= len(stream):
        marker = int.from_bytes(stream[at : at + 2], "big")
        if marker == _END:
            yield at + 2, len(stream)
            return
        if marker == _TILE_DATA:
            # A tile-part without a length is the last one.
            at = tile_end if tile_end > at else stream.rindex(b"\xff\xd9")
            continue
        begin, at = at, at + 2 + _SEGMENT.unpack_from(stream, at)[1]
        if marker == _COMMENT_2000:
            yield begin + 6, at
        elif marker == _TILE:
            tile_end = begin + _TILE_LENGTH.unpack_from(stream, begin + 6)[0]
        elif marker >> 8 != 0xFF:  # noqa: PLR2004 - no marker
            raise _unsafe()
