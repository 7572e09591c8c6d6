"""How deep sequences lie in each other, asked before a program reads them by recursion."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from clic_edge.dicom.excerpt import dataset_of
from clic_edge.dicom.part10 import BULK_TAGS
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from clic_edge.dicom.part10 import Reader

_ITEM, _ITEM_END = 0xFFFEE000, 0xFFFEE00D
_UNDEFINED = 0xFFFFFFFF
_HEAD = 8
_ITEMS = tuple(struct.pack(f"{order}HH", _ITEM >> 16, _ITEM & 0xFFFF) for order in "<>")
"""How an item begins, in either order of bytes."""


class _TooDeepError(Exception):
    """One more sequence than allowed."""


def is_deeper(content: bytes, most: int) -> bool:
    """Return whether more than `most` sequences lie in each other.

    What can't be walked may be walked by others, who take VRs that there are not: it may be deeper
    where it holds more items than `most`, wherever they are.
    """
    try:
        reader, at = dataset_of(content)
        _elements(reader, at, len(reader.content), left=most)
    except _TooDeepError:
        return True
    except (Defect, struct.error):
        return any(content.count(item) > most for item in _ITEMS)
    return False


def _elements(reader: Reader, at: int, end: int, *, left: int) -> int:
    """Return where the elements end, or the item that holds them."""
    while at < end:
        reader.allowance.spend()
        tag, vr, length, at = reader.header(at)
        if tag == _ITEM_END:
            break
        if tag in BULK_TAGS and length == _UNDEFINED:
            at = reader.fragments_end(at)
        elif vr == "SQ" or length == _UNDEFINED:
            if not left:
                raise _TooDeepError
            stop = end if length == _UNDEFINED else at + length
            at = _items(reader.nested(vr), at, stop, left=left - 1)
        else:
            at += length
    return at


def _items(reader: Reader, at: int, end: int, *, left: int) -> int:
    """Return where a sequence ends."""
    while at < end:
        group, number, length = reader.plain(reader.content, at)
        at += _HEAD
        if group << 16 | number != _ITEM:
            break
        stop = end if length == _UNDEFINED else at + length
        at = _elements(reader, at, stop, left=left)
    return at
