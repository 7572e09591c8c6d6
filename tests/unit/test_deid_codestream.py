"""Compressed pixels: what is no picture is blanked in place, and what is stays."""

from __future__ import annotations

import io
import struct

import numpy as np
import pydicom
import pytest
from factories import Patient, Stack, file_bytes
from planted import image
from planted_bases import jpeg_with_comment

from clic_edge.deid import part10
from clic_edge.deid.codestream import blanked
from clic_edge.errors import Refusal

TOKEN = b"Kanariefugl"


def _value(ds: pydicom.Dataset) -> memoryview:
    value = part10.read(file_bytes(ds)).elements[-1].value
    return memoryview(value)


def _jpeg() -> pydicom.Dataset:
    ds = image(Stack(patient=Patient(), modality="CT"))
    jpeg_with_comment(ds, TOKEN.decode())
    return ds


def _items(*fragments: bytes) -> memoryview:
    """Return fragments behind an empty offset table, with the delimiter."""
    laid_out = (struct.pack("<HHL", 0xFFFE, 0xE000, len(one)) + one for one in (b"", *fragments))
    return memoryview(b"".join(laid_out) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))


def _jpeg_2000(tail: bytes = b"") -> bytes:
    comment = b"\xff\x64" + struct.pack(">HH", len(TOKEN) + 4, 1) + TOKEN
    size = b"\xff\x51" + struct.pack(">H", 4) + b"\0\0"
    tile = b"\xff\x90" + struct.pack(">HHLBB", 10, 0, 12 + len(comment) + 6, 0, 1)
    return b"\xff\x4f" + size + comment + tile + comment + b"\xff\x93data\xff\xd9" + tail


def test_comments_and_application_segments_go_and_the_pixels_stay() -> None:
    ds = _jpeg()
    before = ds.pixel_array.copy()
    clean = blanked(_value(ds))
    assert TOKEN in bytes(_value(ds))
    assert TOKEN not in bytes(clean)
    assert len(clean) == len(_value(ds))
    ds.PixelData = bytes(clean)
    again = pydicom.dcmread(io.BytesIO(file_bytes(ds)))
    assert np.array_equal(again.pixel_array, before)


def test_a_header_that_runs_over_two_fragments_is_followed() -> None:
    stream = bytes(_value(_jpeg()))[20:-8]  # behind the offset table and the item
    clean = blanked(_items(stream[:9], stream[9:]))
    assert TOKEN[:6] not in bytes(clean)
    assert TOKEN[-6:] not in bytes(clean)


@pytest.mark.parametrize("tail", [b"", TOKEN])
def test_comments_of_jpeg_2000_go_in_both_headers_and_so_does_what_follows_the_end(
    tail: bytes,
) -> None:
    clean = bytes(blanked(_items(_jpeg_2000(tail))))
    assert TOKEN not in clean
    assert b"\xff\x93data\xff\xd9" in clean


def test_a_fragment_behind_the_last_picture_is_blanked() -> None:
    assert TOKEN not in bytes(blanked(_items(_jpeg_2000(), TOKEN + b"!")))


def test_an_offset_table_that_holds_something_else_is_blanked() -> None:
    value = bytes(_items(_jpeg_2000()))
    table = struct.pack("<HHL", 0xFFFE, 0xE000, 12) + TOKEN + b"!"
    clean = bytes(blanked(memoryview(table + value[8:])))
    assert TOKEN not in clean


def test_what_tells_how_colours_are_decoded_stays_unless_it_is_a_word() -> None:
    def stream(segment: bytes) -> memoryview:
        head = b"\xff\xd8\xff\xee" + struct.pack(">H", len(segment) + 2) + segment
        return _items(head + b"\xff\xd9")

    adobe = stream(b"Adobe\0\x64\0\0\0\0\1")
    assert blanked(adobe) is adobe
    assert TOKEN not in bytes(blanked(stream(b"Adobe" + TOKEN)))


@pytest.mark.parametrize(
    "fragment", [b"\0\0\0\x0cjP  \r\n\x87\n", TOKEN, b"\xff\xd8\xff\xe1\xff\xff"]
)
def test_what_cannot_be_followed_is_refused(fragment: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        blanked(_items(fragment))
    assert caught.value.code == "unsafe-pixels"
