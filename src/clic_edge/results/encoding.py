"""DICOM elements as bytes, explicit VR little endian: for what is written thousands of times.

Items and sequences have explicit lengths (PS3.5 7.5.1), so a reader may pass over them.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom.dataset import Dataset
    from pydicom.uid import UID

PREAMBLE = bytes(128) + b"DICM"
UNDEFINED_LENGTH = 0xFFFF_FFFF
SEQUENCE_DELIMITER = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
LONG = {"SQ", "OB", "OW"}
"""Of what is written here, these have a length of 32 bits (PS3.5 7.1.2)."""


def element(keyword: str, value: bytes) -> bytes:
    """Return an element; `value` is encoded already, and padded here to an even length."""
    tag, vr = _tag_and_vr(keyword)
    padding = (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return _head(tag, vr, len(value) + len(padding)) + value + padding


def sequence(keyword: str, *items: bytes) -> bytes:
    """Return a sequence; each item is the bytes of its elements, in the order of their tags."""
    content = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(one)) + one for one in items)
    return element(keyword, content)


def part10(header: Dataset, tail: Iterable[bytes], transfer_syntax: UID) -> bytes:
    """Return a file (PS3.10) of `header` and of the elements that follow it, encoded already.

    `tail` is read once, piece by piece: beside the file itself only one piece is in memory.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    buffer = io.BytesIO()
    buffer.write(PREAMBLE)
    write_file_meta_info(_little_endian(buffer), meta)
    pieces = chain((_encoded(header),), tail)
    is_deflated = transfer_syntax == DeflatedExplicitVRLittleEndian
    buffer.writelines(_deflated(pieces) if is_deflated else pieces)
    return buffer.getvalue()


def native_pixels(pieces: Iterable[bytes], length: int, *, vr: str = "OB") -> Iterator[bytes]:
    """Yield Pixel Data (7FE0,0010) of `length` bytes, padded to an even length."""
    yield _head(_tag_and_vr("PixelData")[0], vr, length + length % 2)
    yield from pieces
    yield bytes(length % 2)


def encapsulated_pixels(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Yield Pixel Data (7FE0,0010) of one fragment for each compressed frame (PS3.5 A.4)."""
    yield _head(_tag_and_vr("PixelData")[0], "OB", UNDEFINED_LENGTH)
    yield encapsulate(list(frames))
    yield SEQUENCE_DELIMITER


def _encoded(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    write_dataset(_little_endian(buffer), ds)
    return buffer.getvalue()


def _little_endian(buffer: io.BytesIO) -> DicomIO:
    stream = DicomIO(buffer)
    stream.is_implicit_VR, stream.is_little_endian = False, True
    return stream


def _deflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the dataset deflated without a zlib header, to an even length (PS3.5 A.5)."""
    compressor, length = zlib.compressobj(wbits=-zlib.MAX_WBITS), 0
    for piece in pieces:
        deflated = compressor.compress(piece)
        length += len(deflated)
        yield deflated
    rest = compressor.flush()
    yield rest + bytes((length + len(rest)) % 2)


def _head(tag: int, vr: str, length: int) -> bytes:
    layout = "<HH2sxxL" if vr in LONG else "<HH2sH"
    return struct.pack(layout, tag >> 16, tag & 0xFFFF, vr.encode(), length)


@cache
def _tag_and_vr(keyword: str) -> tuple[int, str]:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag, dictionary_VR(tag)
