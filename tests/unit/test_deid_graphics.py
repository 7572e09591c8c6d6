"""Overlays, curves and annotations: gone, or with the option left without what may be letters."""

from __future__ import annotations

import numpy as np
import pytest
from deid_plants import WRITER, by_tag, cleaned, value
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from clic_edge.deid.graphics import without_strokes
from clic_edge.deid.options import DESCRIPTORS, GRAPHICS

SIDE = 256
ANNOTATIONS, TEXT_OBJECTS, TEXT = 0x00700001, 0x00700008, 0x00700006


def _bits(plane: np.ndarray) -> bytes:
    return np.packbits(plane.astype(np.uint8), bitorder="little").tobytes()


def _plane(cleaned_bits: bytes | None) -> np.ndarray:
    assert cleaned_bits is not None
    return np.unpackbits(np.frombuffer(cleaned_bits, np.uint8), bitorder="little").reshape(
        SIDE, SIDE
    )


@given(st.text("ABCDEFGHIKLMNOPRSTUVXYZ0123456789^", min_size=1, max_size=9), st.integers(8, 60))
@settings(max_examples=40, deadline=None)
def test_no_letter_is_left_of_a_text_in_an_overlay(text: str, height: int) -> None:
    canvas = Image.new("1", (SIDE, SIDE))
    ImageDraw.Draw(canvas).text((4, 90), text, fill=1, font=ImageFont.load_default(height))
    plane = np.asarray(canvas)
    left = without_strokes(_bits(plane), rows=SIDE, columns=SIDE, frames=1)
    assert not _plane(left).any()


def test_a_filled_area_stays_and_the_writing_beside_it_goes() -> None:
    plane = np.zeros((SIDE, SIDE), np.uint8)
    plane[30:100, 40:200] = 1
    area = plane.copy()
    plane[180:184, 10:250] = 1
    left = without_strokes(_bits(plane), rows=SIDE, columns=SIDE, frames=1)
    assert (_plane(left) == area).all()


def test_each_frame_of_an_overlay_is_cleaned_by_itself() -> None:
    planes = np.zeros((3, 40, 40), np.uint8)
    planes[:, 10:13, 10:13] = 1  # thick through the frames, thin in each
    left = without_strokes(_bits(planes), rows=40, columns=40, frames=3)
    assert left is not None
    assert not any(left)


@pytest.mark.parametrize(("rows", "frames"), [(0, 1), (SIDE, 2), (SIDE - 40, 1)])
def test_bytes_that_are_no_such_plane_are_not_kept(rows: int, frames: int) -> None:
    plane = np.ones((SIDE, SIDE), np.uint8)
    assert without_strokes(_bits(plane), rows=rows, columns=SIDE, frames=frames) is None


def _overlay() -> dict[int, bytes]:
    plane = np.ones((SIDE, SIDE), np.uint8)
    size = SIDE.to_bytes(2, "little")
    return {
        0x60000010: WRITER.element(0x60000010, "US", size),
        0x60000011: WRITER.element(0x60000011, "US", size),
        0x60000022: WRITER.element(0x60000022, "LO", b"Liver of Zzyplant"),
        0x60000040: WRITER.element(0x60000040, "CS", b"R"),
        0x60001500: WRITER.element(0x60001500, "LO", b"Zzyplant"),
        0x60003000: WRITER.element(0x60003000, "OW", _bits(plane)),
    }


def test_without_the_option_no_overlay_and_no_curve_is_left() -> None:
    curve = {0x50000022: WRITER.element(0x50000022, "LO", b"heart")}
    found = cleaned(_overlay() | curve)
    assert not [tag for tag in found if tag >> 24 in {0x50, 0x60}]


def test_with_the_option_an_overlay_keeps_its_areas_and_no_name() -> None:
    found = {tag: e for tag, e in cleaned(_overlay(), GRAPHICS).items() if tag >> 24 == 0x60}
    assert value(found[0x60000022]) == b"Liver"
    assert 0x60001500 not in found
    assert _plane(bytes(found[0x60003000].value)).all()


def test_with_the_option_a_curve_keeps_its_numbers_and_loses_its_sound() -> None:
    plants = {
        0x50000005: WRITER.element(0x50000005, "US", b"\2\0"),
        0x50000022: WRITER.element(0x50000022, "LO", b"Zzyplant"),
        0x5000200C: WRITER.element(0x5000200C, "OW", b"\1\2\3\4"),
        0x50003000: WRITER.element(0x50003000, "OW", b"\1\2\3\4"),
    }
    found = {tag for tag in cleaned(plants, GRAPHICS) if tag >> 24 == 0x50}
    assert found == {0x50000005, 0x50003000}


def test_a_curve_that_holds_words_is_gone() -> None:
    plants = {0x50003000: WRITER.element(0x50003000, "OW", b"\1\2Zzyplant\3\4")}
    assert 0x50003000 not in cleaned(plants, GRAPHICS)


def _annotation() -> bytes:
    note = WRITER.element(TEXT, "ST", b"tip of Zzyplant brain")
    shape = WRITER.element(0x00700022, "FL", bytes(8)) + WRITER.element(0x00700023, "CS", b"POINT")
    graphic = WRITER.sequence(0x00700009, [shape])
    return WRITER.sequence(ANNOTATIONS, [WRITER.sequence(TEXT_OBJECTS, [note]) + graphic])


@pytest.mark.parametrize(
    ("options", "text"),
    [((GRAPHICS,), b"REMOVED"), ((GRAPHICS, DESCRIPTORS), b"brain")],
)
def test_an_annotation_keeps_its_shapes_and_its_text_is_cleaned(
    options: tuple[str, ...], text: bytes
) -> None:
    presentation_state = "1.2.840.10008.5.1.4.1.1.11.1"
    found = cleaned({ANNOTATIONS: _annotation()}, *options, sop_class=presentation_state)
    (item,) = found[ANNOTATIONS].items or ()
    annotation = by_tag(item)
    ((note,),) = annotation[TEXT_OBJECTS].items or ()
    assert value(note) == text
    assert len((annotation[0x00700009].items or ((),))[0]) == 2
