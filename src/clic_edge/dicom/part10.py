"""The bytes of a Part 10 file as elements over its own bytes (PS3.5 7, PS3.10 7), within bounds.

Nothing is interpreted here beyond structure: a value is the source's bytes. Whatever the bytes
claim, no more is walked than `DEEPEST` sequences in each other and `MOST_ELEMENTS` elements, and no
more is inflated than `MOST_INFLATED`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_VR
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from clic_edge.errors import Defect

if TYPE_CHECKING:
    from mmap import mmap

LONG_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
SHORT_VRS = frozenset(["AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"])  # fmt: skip
BULK_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
DEEPEST = 64
MOST_ELEMENTS = 2_000_000
"""Attributes and items of one instance, at whatever depth: each costs a hundred times its eight bytes."""
MOST_INFLATED = 1 << 27
"""Bytes: a deflated file that holds more is not taken, for a few could fill the memory."""
_UNDEFINED = 0xFFFFFFFF
_HEAD = 8
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PREAMBLE = 128
_NOTHING = bytes(8)
_FORMS = {vr.encode(): (vr, vr in LONG_VRS) for vr in LONG_VRS | SHORT_VRS}
"""By the VR's two bytes: the VR, and whether its length has four."""
_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX = 0x00020002, 0x00020003, 0x00020010


class Element(NamedTuple):
    """One attribute; `items` is None unless it is a sequence, whose `value` is then empty."""

    tag: int
    vr: str
    """As the file says; from the dictionary in implicit VR, ``UN`` where that does not know."""
    value: bytes | memoryview
    items: tuple[tuple[Element, ...], ...] | None = None
    encapsulated: bool = False
    """Whether `value` is fragments up to and with the Sequence Delimitation Item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How elements are laid out."""

    explicit: bool
    little: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Part10:
    """One instance: its transfer syntax and its elements in the order of the file."""

    transfer_syntax_uid: str
    sop_class_uid: str
    """Media Storage SOP Class UID (0002,0002); empty without File Meta."""
    sop_instance_uid: str
    """Media Storage SOP Instance UID (0002,0003); empty without File Meta."""
    encoding: Encoding
    elements: tuple[Element, ...]


_IMPLICIT = Encoding(explicit=False, little=True)
_EXPLICIT = Encoding(explicit=True, little=True)


def read(content: bytes) -> Part10:
    """Return the elements of a Part 10 file, or of a bare dataset.

    File Meta, preamble, what follows the pixel data and zeros after the last element are not
    returned.

    Raises
    ------
    Defect
        ``unreadable-instance``: not DICOM, truncated, or nested deeper than 64 sequences.

    """
    try:
        start, meta = file_meta(content)
        syntax = meta.get(_TRANSFER_SYNTAX, "")
        encoding = layout_of(content, start, syntax)
        if syntax == DeflatedExplicitVRLittleEndian:
            content, start = _inflated(content[start:]), 0
        elements, _ = Reader(content, encoding).elements(start, len(content), 0)
    except (struct.error, zlib.error, RecursionError) as error:
        raise unreadable("it ends in the middle of an element") from error
    if not elements:
        raise unreadable("it holds no element")
    return Part10(
        transfer_syntax_uid=syntax or _default_syntax(encoding),
        sop_class_uid=meta.get(_SOP_CLASS, ""),
        sop_instance_uid=meta.get(_SOP_INSTANCE, ""),
        encoding=encoding,
        elements=tuple(elements),
    )


def opening(content: bytes, last: int) -> tuple[Encoding, dict[int, bytes]]:
    """Return what the first bytes of a file hold on top up to tag `last`, its sequences left out.

    Raises Defect ``unreadable-instance``: they end before, are no DICOM, or are deflated.
    """
    found: dict[int, bytes] = {}
    try:
        at, meta = file_meta(content)
        encoding = layout_of(content, at, meta.get(_TRANSFER_SYNTAX, ""))
        if meta.get(_TRANSFER_SYNTAX) == DeflatedExplicitVRLittleEndian:
            raise unreadable("it is deflated")
        reader = Reader(content, encoding)
        while (head := reader.header(at))[0] <= last:
            tag, vr, length, at = head
            if length == _UNDEFINED:
                at = reader.past(tag, vr, at=at, depth=0)
            else:
                found.setdefault(tag, content[at : at + length])
                at += length
    except struct.error as error:
        raise unreadable("it ends in the middle of an element") from error
    return encoding, found


def unreadable(why: str) -> Defect:
    """Return the defect of bytes that are not what they claim."""
    return Defect("unreadable-instance", f"An instance is not readable as DICOM: {why}.")


def file_meta(content: bytes | mmap) -> tuple[int, dict[int, str]]:
    """Return where the dataset starts and the UIDs of the File Meta Information, by tag."""
    start = _PREAMBLE + 4 if content[_PREAMBLE : _PREAMBLE + 4] == b"DICM" else 0
    reader, meta = Reader(content, _EXPLICIT), {}
    while content[start : start + 2] == b"\x02\x00":
        tag, vr, length, at = reader.header(start)
        if at + length > len(content):
            raise unreadable("its File Meta Information ends early")
        if vr == "UI":
            meta[tag] = content[at : at + length].strip(b"\0 ").decode("ascii", "replace")
        start = at + length
    return start, meta


def _inflated(deflated: bytes) -> bytes:
    inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    content = inflate.decompress(deflated, MOST_INFLATED)
    if not inflate.eof:
        raise unreadable("its deflated dataset ends early, or holds too much")
    return content


@cache
def _encoding_of(syntax: str) -> Encoding:
    # Looked up before it becomes a UID: pydicom's warning of an invalid one quotes the value.
    if UID_dictionary.get(syntax, ("", ""))[1] != "Transfer Syntax":
        raise Defect("unknown-transfer-syntax", "The transfer syntax is not a known one.")
    uid = UID(syntax)
    return Encoding(explicit=not uid.is_implicit_VR, little=uid.is_little_endian)


def layout_of(content: bytes | mmap, start: int, syntax: str) -> Encoding:
    """Return how a dataset is laid out, by its transfer syntax or by its first bytes."""
    if syntax:
        return _encoding_of(syntax)
    vr = content[start + 4 : start + 6].decode("latin-1")
    # A dataset starts with a low group number, so that the zero byte tells the order.
    return Encoding(
        explicit=vr in LONG_VRS or vr in SHORT_VRS,
        little=content[start : start + 1] != b"\0",
    )


def _default_syntax(encoding: Encoding) -> str:
    if not encoding.explicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if encoding.little else ExplicitVRBigEndian)


_NEW_VRS: dict[int, tuple[str, ...]] = {
    **dict.fromkeys((0x00081301, 0x00081302, 0x00081303, 0x00081304, 0x00100011), ("SQ",)),
    **dict.fromkeys((0x00100014, 0x00100015, 0x00100041, 0x00100043), ("SQ",)),
    **dict.fromkeys((0x00100044, 0x00100046), ("SQ",)),
    **dict.fromkeys((0x00100013, 0x00100016, 0x00100042, 0x00100045), ("UT",)),
    **dict.fromkeys((0x0040A034, 0x0040A035, 0x0040B034, 0x0040B036), ("DT",)),
    **dict.fromkeys((0x0040B03B, 0x0040B03F, 0x3004007F), ("LO",)),
    **dict.fromkeys((0x00100047, 0x0040E012), ("UR",)),
    0x00100012: ("LT",),
    0x00102162: ("UC",),
}
"""VRs of the attributes of PS3.6 2026d that Table E.1-1 names and pydicom does not know."""


@cache
def vrs_of(tag: int) -> tuple[str, ...]:
    """Return the VRs that the data dictionary allows for a tag; none where it does not know it."""
    try:
        return tuple(dictionary_VR(tag).split(" or "))
    except KeyError:
        return _NEW_VRS.get(tag, ())


def items_of_unknown(value: bytes) -> tuple[tuple[Element, ...], ...]:
    """Return the items of a sequence of VR UN: implicit little endian (PS3.5 6.2.2).

    Raises
    ------
    Defect
        ``unreadable-instance``: it is no sequence.

    """
    try:
        return Reader(value, _IMPLICIT).items(0, len(value), 1)[0]
    except struct.error as error:
        raise unreadable("a sequence of unknown VR is cut off") from error


class _Allowance:
    """How many attributes and items may still be walked in one instance."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_ELEMENTS

    def spend(self) -> None:
        """Count one. Raises Defect ``unreadable-instance`` when it was one too many."""
        self.left -= 1
        if self.left < 0:
            raise unreadable(f"it holds more than {MOST_ELEMENTS} attributes and items")


class Reader:
    """Walks the bytes of one dataset."""

    def __init__(
        self,
        content: bytes | memoryview | mmap,
        encoding: Encoding,
        allowance: _Allowance | None = None,
    ) -> None:
        order = "<" if encoding.little else ">"
        self.content = content
        self.encoding = encoding
        self.allowance = allowance or _Allowance()
        self.explicit = encoding.explicit
        self.little = encoding.little
        self.head = struct.Struct(f"{order}HH2sH").unpack_from
        self.plain = struct.Struct(f"{order}HHL").unpack_from
        self.long = struct.Struct(f"{order}L").unpack_from

    def header(self, at: int) -> tuple[int, str, int, int]:
        """Return tag, VR, length and where the value starts."""
        if not self.explicit:
            group, number, length = self.plain(self.content, at)
            tag = group << 16 | number
            return tag, (vrs_of(tag) or ("UN",))[0], length, at + 8
        group, number, code, length = self.head(self.content, at)
        vr, is_long = _FORMS.get(code, ("", False))
        if is_long:
            return group << 16 | number, vr, self.long(self.content, at + 8)[0], at + 12
        if not vr and group != 0xFFFE:  # noqa: PLR2004 - delimiters have no VR
            raise unreadable(f"({group:04X},{number:04X}) has no valid VR")
        return group << 16 | number, vr, length, at + 8

    def elements(self, at: int, end: int, depth: int) -> tuple[list[Element], int]:
        """Return the elements up to `end` or a delimiter, and where to go on."""
        found: list[Element] = []
        append, content, spend = found.append, self.content, self.allowance.spend
        while at < end:
            spend()
            # Zeros or less than a header behind the last element on top are padding.
            if not depth and (end - at < len(_NOTHING) or content[at : at + 8] == _NOTHING):
                break
            tag, vr, length, value_at = self.header(at)
            if tag == _ITEM_END:
                return found, value_at
            if length == _UNDEFINED:
                element, at = self.undefined(tag, vr, at=value_at, end=end, depth=depth)
            else:
                at = value_at + length
                if at > end:
                    raise unreadable(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is cut off")
                if vr in {"SQ", "UN"} or tag in BULK_TAGS:
                    element = self._defined(tag, vr, at=value_at, end=at, depth=depth)
                else:
                    element = Element(tag, vr, content[value_at:at])
            append(element)
            if not depth and tag in BULK_TAGS:
                break  # all that may follow is padding, signatures and private groups
        return found, at

    def _defined(self, tag: int, vr: str, *, at: int, end: int, depth: int) -> Element:
        if vr == "SQ" or (vr == "UN" and "SQ" in vrs_of(tag)):
            items, _ = self.nested(vr).items(at, end, depth + 1)
            return Element(tag, "SQ", b"", items)
        if tag in BULK_TAGS:
            return Element(tag, vr, memoryview(self.content)[at:end])
        return Element(tag, vr, self.content[at:end])

    def undefined(self, tag: int, vr: str, *, at: int, end: int, depth: int) -> tuple[Element, int]:
        """Return an element without a length, and where to go on."""
        if vr in {"OB", "OW"} and tag in BULK_TAGS:
            stop = self.fragments_end(at)
            value = memoryview(self.content)[at:stop]
            return Element(tag, vr, value, None, encapsulated=True), stop
        if vr not in {"SQ", "UN"} and self.explicit:
            raise unreadable(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has no length")
        items, stop = self.nested(vr).items(at, end, depth + 1)
        return Element(tag, "SQ", b"", items), stop

    def nested(self, vr: str) -> Reader:
        """Return what reads a sequence; one of unknown VR is in implicit little endian (PS3.5 6.2.2)."""
        if vr == "SQ" or not self.explicit:
            return self
        if not self.little:
            raise unreadable("a big endian file has a sequence of unknown VR")
        return Reader(self.content, _IMPLICIT, self.allowance)

    def past(self, tag: int, vr: str, *, at: int, depth: int) -> int:
        """Return where an element without a length ends; nothing of it is kept."""
        if vr in {"OB", "OW"} and tag in BULK_TAGS:
            return self.fragments_end(at)
        if vr not in {"SQ", "UN"} and self.explicit:
            raise unreadable(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has no length")
        if depth >= DEEPEST:
            raise unreadable(f"sequences are nested deeper than {DEEPEST}")
        reader = self.nested(vr)
        while True:
            group, number, length = self.plain(self.content, at)
            at += _HEAD
            if group << 16 | number == _SEQUENCE_END:
                return at
            if group << 16 | number != _ITEM:
                raise unreadable("a sequence holds something else than items")
            self.allowance.spend()
            at = reader.past_item(at, depth + 1) if length == _UNDEFINED else at + length

    def past_item(self, at: int, depth: int) -> int:
        """Return where an item without a length ends."""
        while True:
            self.allowance.spend()
            tag, vr, length, at = self.header(at)
            if tag == _ITEM_END:
                return at
            at = self.past(tag, vr, at=at, depth=depth) if length == _UNDEFINED else at + length

    def items(self, at: int, end: int, depth: int) -> tuple[tuple[tuple[Element, ...], ...], int]:
        """Return the items of a sequence up to `end` or its delimiter, and where to go on."""
        if depth > DEEPEST:
            raise unreadable(f"sequences are nested deeper than {DEEPEST}")
        items: list[tuple[Element, ...]] = []
        while at < end:
            group, number, length = self.plain(self.content, at)
            tag = group << 16 | number
            if tag == _SEQUENCE_END:
                return tuple(items), at + 8
            if tag != _ITEM:
                raise unreadable("a sequence holds something else than items")
            self.allowance.spend()
            stop = end if length == _UNDEFINED else at + 8 + length
            if stop > end:
                raise unreadable("an item is cut off")
            found, at = self.elements(at + 8, stop, depth)
            items.append(tuple(found))
        return tuple(items), at

    def fragments_end(self, at: int) -> int:
        """Return what follows the Sequence Delimitation Item of encapsulated pixels."""
        while True:
            group, number, length = self.plain(self.content, at)
            at += 8
            if group << 16 | number == _SEQUENCE_END:
                return at
            if group << 16 | number != _ITEM or at + length > len(self.content):
                raise unreadable("the fragments of the pixel data are cut off")
            at += length
