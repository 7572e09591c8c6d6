"""DICOM files that lie, nest, swell or overflow, as bytes: what no writer of ours would make."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
JPEG_2000, JPEG_LS, JPEG, RLE = (
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.5",
)
MR = "1.2.840.10008.5.1.4.1.1.4"
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (
    struct.pack("<HHL", 0xFFFE, number, length)
    for number, length in ((0xE000, UNDEFINED), (0xE00D, 0), (0xE0DD, 0))
)
_LONG = {"OB", "OW", "SQ", "UN", "UT", "UC", "OF", "OD", "OL"}
_EMPTY_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
ROOT = "1.2.826.0.1.3680043.10.1561.9"


def element(tag: int, vr: str, value: bytes | str, *, length: int | None = None) -> bytes:
    """Return an element in explicit little endian, of the length that it claims."""
    body = value.encode("latin-1") if isinstance(value, str) else value
    body += (b"\0" if vr in {"UI", "OB", "UN"} else b" ") * (len(body) % 2)
    claimed = len(body) if length is None else length
    if vr in _LONG:
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, claimed) + body
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), claimed) + body


def short(tag: int, number: int) -> bytes:
    """Return an unsigned 16-bit number."""
    return element(tag, "US", struct.pack("<H", number))


def image(number: int, *, place: int = 1) -> dict[int, bytes]:
    """Return the elements of one small MR image, by tag, of study `number`."""
    root = f"{ROOT}.{number}"
    return {
        0x00080005: element(0x00080005, "CS", "ISO_IR 100"),
        0x00080008: element(0x00080008, "CS", "ORIGINAL\\PRIMARY\\M"),
        0x00080016: element(0x00080016, "UI", MR),
        0x00080018: element(0x00080018, "UI", f"{root}.3.{place}"),
        0x00080060: element(0x00080060, "CS", "MR"),
        0x00080070: element(0x00080070, "LO", "Acme"),
        0x0008103E: element(0x0008103E, "LO", "Hippocampus L"),
        0x00100010: element(0x00100010, "PN", "Kanariefugl^Zzyzx"),
        0x00100020: element(0x00100020, "LO", f"HOST{number:05}"),
        0x0020000D: element(0x0020000D, "UI", f"{root}.1"),
        0x0020000E: element(0x0020000E, "UI", f"{root}.2"),
        0x00200011: element(0x00200011, "IS", "1"),
        0x00200013: element(0x00200013, "IS", f"{place}"),
        0x00200032: element(0x00200032, "DS", f"0\\0\\{place}"),
        0x00200037: element(0x00200037, "DS", "1\\0\\0\\0\\1\\0"),
        0x00280002: short(0x00280002, 1),
        0x00280004: element(0x00280004, "CS", "MONOCHROME2"),
        0x00280010: short(0x00280010, 4),
        0x00280011: short(0x00280011, 4),
        0x00280030: element(0x00280030, "DS", "1\\1"),
        0x00280100: short(0x00280100, 16),
        0x00280101: short(0x00280101, 16),
        0x00280102: short(0x00280102, 15),
        0x00280103: short(0x00280103, 0),
        0x7FE00010: element(0x7FE00010, "OW", bytes(32)),
    }


def part10(elements: Mapping[int, bytes], syntax: str = EXPLICIT) -> bytes:
    """Return a file of elements that are laid out already, in the order of their tags."""
    meta = b"".join(
        (
            element(0x00020002, "UI", MR),
            element(0x00020003, "UI", elements[0x00080018][8:]),
            element(0x00020010, "UI", syntax),
        )
    )
    body = b"".join(elements[tag] for tag in sorted(elements))
    if syntax == DEFLATED:
        deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        body = deflate.compress(body) + deflate.flush()
    group = element(0x00020000, "UL", struct.pack("<L", len(meta)))
    return bytes(128) + b"DICM" + group + meta + body


def nested(depth: int, tag: int = 0x00081115, *, defined: bool = False) -> bytes:
    """Return sequences in sequences, of lengths that are undefined or right."""
    if not defined:
        head = element(tag, "SQ", b"", length=UNDEFINED) + ITEM
        return head * depth + (ITEM_END + SEQUENCE_END) * depth
    inner = b""
    for _ in range(depth):
        inner = element(tag, "SQ", struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner)
    return inner


def many_items(count: int, tag: int = 0x00081115) -> bytes:
    """Return a sequence of empty items."""
    return element(tag, "SQ", _EMPTY_ITEM * count)


def fragments(*values: bytes) -> bytes:
    """Return encapsulated pixel data with an empty offset table."""
    items = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(one)) + one for one in (b"", *values))
    return element(0x7FE00010, "OB", items + SEQUENCE_END, length=UNDEFINED)


def siz(rows: int, columns: int, *, samples: int) -> bytes:
    """Return the SIZ segment of JPEG 2000 behind its marker (ISO/IEC 15444-1 A.5.1)."""
    sizes = (columns, rows, 0, 0, columns, rows, 0, 0)
    body = struct.pack(">H8LH", 0, *sizes, samples) + b"\x0f\x01\x01" * samples
    return struct.pack(">H", len(body) + 2) + body


def study_handle(number: int) -> str:
    """Return Orthanc's identifier of study `number`."""
    text = f"HOST{number:05}|{ROOT}.{number}.1"
    digest = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - so does Orthanc
    return "-".join(digest[i : i + 8] for i in range(0, 40, 8))


def endless_items(count: int, tag: int = 0x00081115) -> bytes:
    """Return a sequence of empty items that says nowhere how long it is."""
    return element(tag, "SQ", _EMPTY_ITEM * count + SEQUENCE_END, length=UNDEFINED)
