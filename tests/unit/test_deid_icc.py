"""A colour profile keeps its numbers, works as before, and says nothing."""

from __future__ import annotations

import io
import struct

import pytest
from deid_plants import WRITER, cleaned
from PIL import Image, ImageCms

from clic_edge.deid.icc import without_text

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _texts(profile: bytes) -> list[bytes]:
    (count,) = struct.unpack_from(">L", profile, 128)
    tags = [struct.unpack_from(">4sLL", profile, 132 + 12 * number) for number in range(count)]
    return [profile[at + 4 : at + size] for name, at, size in tags if name in {b"desc", b"cprt"}]


def test_the_texts_are_zeros_and_the_colours_stay() -> None:
    left = without_text(SRGB)
    assert left is not None
    assert any(any(text) for text in _texts(SRGB))
    assert not any(any(text) for text in _texts(left))
    image, target = Image.new("RGB", (1, 1), (100, 50, 20)), ImageCms.createProfile("LAB")
    before, after = (
        ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), target, outputMode="LAB"
        )
        for profile in (SRGB, left)
    )
    assert before is not None
    assert after is not None
    assert before.getpixel((0, 0)) == after.getpixel((0, 0))


def test_what_lies_behind_the_tags_is_gone() -> None:
    left = without_text(SRGB + b"Zzyplant")
    assert left is not None
    assert b"Zzyplant" not in left


@pytest.mark.parametrize(
    "value",
    [
        b"Zzyplant^Arr",
        SRGB[:130],
        SRGB[:36] + b"none" + SRGB[40:],
        SRGB[:128] + struct.pack(">L", 10**6) + SRGB[132:],
        SRGB[:300],
        SRGB.replace(b"mluc", b"name"),
    ],
    ids=["text", "cut off", "no signature", "too many tags", "tags beyond", "unknown type"],
)
def test_what_is_no_plain_profile_is_not_kept(value: bytes) -> None:
    assert without_text(value) is None
    found = cleaned({0x00282000: WRITER.element(0x00282000, "OB", value)})
    assert 0x00282000 not in found


def test_the_cleaned_profile_stands_in_the_image() -> None:
    secondary_capture_colours = WRITER.element(0x00282000, "OB", SRGB)
    found = cleaned({0x00282000: secondary_capture_colours})
    assert bytes(found[0x00282000].value) == without_text(SRGB)
