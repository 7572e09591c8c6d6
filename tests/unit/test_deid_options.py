"""Every option cell of Table E.1-1 is done, on top and three sequences deep: 636 cells."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from deid_plants import PSEUDONYM, TOKEN, UID, WRITER, by_tag, cleaned, cleaned_deep, value
from every import every

from clic_edge.deid import part10
from clic_edge.deid.keys import keyed_uid
from clic_edge.deid.options import EXCLUSIVE
from clic_edge.deid.standard import ConfidentialityRow, confidentiality_rows, option_names

if TYPE_CHECKING:
    from clic_edge.deid.part10 import Element

Cell = tuple[ConfidentialityRow, str, str]
CELLS: list[Cell] = [
    (row, option, code) for row in confidentiality_rows() for option, code in row.options
]
OVERLAY, COMMENTS, CURVE = 0x60023000, 0x60024000, 0x50003000
GROUPS = {
    "(50xx,xxxx)": CURVE,
    "(60xx,4000)": COMMENTS,
    "(60xx,3000)": OVERLAY,
    "(gggg,eeee) where gggg is odd": 0x7053_1000,
}
NEVER_IN_A_DATASET = {0x0000, 0x0002, 0x0004}
CANNOT_BE_MOVED = 0x04000310  # Certified Timestamp: a signature of another
OPAQUE = {0x0016002B, 0x0016004B}  # Maker Note, Device Setting Description
VALUES = {
    **dict.fromkeys(("OB", "OW"), TOKEN),
    **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "CS", "PN"), b"BRAIN " + TOKEN),
    "US": b"\1\1",
    "AE": TOKEN,
    "AS": b"077Y",
    "DA": b"19870605",
    "DT": b"19870605112233.25+0100",
    "DS": b"12345.75",
    "TM": b"112233.25",
    "UI": UID,
    "UR": b"http://qwx7tokn",
}
ZONE, TIMESTAMP = 0x00080201, 0x00340007
SIDE = 64


def _name(cell: Cell) -> str:
    row, option, code = cell
    return f"{row.pattern.split()[0]} {option} {code}"


def _tag(row: ConfidentialityRow) -> int:
    return row.tag if row.tag is not None else GROUPS[row.pattern]


def _vr(tag: int) -> str:
    return "DS" if tag >> 16 & 1 else (part10.vrs_of(tag) or ("UN",))[0]


def _planted(tag: int) -> bytes:
    special = {
        ZONE: b"+0100",
        TIMESTAMP: (10**9).to_bytes(6, "big") + b"\1\2\3\4",
        OVERLAY: _overlay(stroke=True),
        CURVE: b"\1\2\3\4",
    }
    return special.get(tag, VALUES.get(_vr(tag), b""))


def _overlay(*, stroke: bool) -> bytes:
    plane = np.zeros((SIDE, SIDE), np.uint8)
    plane[5:40, 5:40] = 1
    plane[50:53, 5:60] = stroke
    return np.packbits(plane, bitorder="little").tobytes()


def _element(tag: int) -> bytes:
    if _vr(tag) == "SQ":
        item = WRITER.element(0x00081155, "UI", UID)
        item += WRITER.element(0x00100010, "PN", b"Zzyplant^Arr")
        return WRITER.sequence(tag, [item])
    return WRITER.element(tag, _vr(tag), _planted(tag))


@cache
def _results(option: str, *, nested: bool) -> dict[int, Element]:
    """Return what became of all attributes that have a cell in an option's column."""
    tags = [_tag(row) for row, of, _ in CELLS if of == option]
    plants = {tag: _element(tag) for tag in tags if tag >> 16 not in NEVER_IN_A_DATASET}
    if OVERLAY in plants:
        plants |= {
            OVERLAY & 0xFFFF0000 | number: WRITER.element(OVERLAY & 0xFFFF0000 | number, "US", size)
            for number, size in ((0x10, bytes((SIDE, 0))), (0x11, bytes((SIDE, 0))))
        }
    if 0x70531000 in plants:
        plants[0x70530010] = WRITER.element(0x70530010, "LO", b"Philips PET Private Group")
    return (cleaned_deep if nested else cleaned)(plants, option)


def _is_kept(element: Element, tag: int, option: str) -> bool:
    """Whether an attribute is unchanged or, if it is a sequence, cleaned."""
    if element.items is None:
        return value(element) == _planted(tag)
    return _is_cleaned_item(element, option)


def _is_cleaned_item(element: Element, option: str) -> bool:
    (item,) = element.items or ((),)
    inner = by_tag(item)
    uid = UID.decode() if option == "retain_uids" else keyed_uid(UID.decode(), PSEUDONYM)
    name = PSEUDONYM.subject_id.encode()
    return value(inner[0x00081155]) == uid.encode() and value(inner[0x00100010]) == name


def _is_cleaned(element: Element, tag: int, option: str) -> bool:
    """Whether a value is what the option's action C makes of it, reckoned in another way."""
    if element.items is not None:
        return _is_cleaned_item(element, option)
    if option == "retain_longitudinal_modified_dates":
        return value(element) == _moved(tag)
    if option == "retain_device_identity":
        return value(element).startswith(b"AE-") and len(value(element)) <= 16
    if tag == OVERLAY:
        return bytes(element.value) == _overlay(stroke=False)
    if tag in {CURVE, 0x70531000}:
        return value(element) == _planted(tag)
    return value(element) == b"BRAIN"


def _moved(tag: int) -> bytes:
    source, days = _planted(tag), timedelta(days=PSEUDONYM.date_shift_days)
    if tag == TIMESTAMP:
        return (10**9 + days.days * 24 * 3600).to_bytes(6, "big") + source[6:]
    if _vr(tag) in {"TM", "SH"}:
        return source
    moved = date(1987, 6, 5) + days
    return moved.strftime("%Y%m%d").encode() + source[8:]


def _is_as_in_the_basic_profile(found: dict[int, Element], row: ConfidentialityRow) -> bool:
    element = found.get(_tag(row))
    letters = row.basic_profile.split("/")
    if element is None:
        return "X" in letters
    return TOKEN not in bytes(element.value) and not {"Z", "D"}.isdisjoint(letters)


@pytest.mark.parametrize("nested", [False, True], ids=["top", "deep"])
@every(CELLS, named=_name)
def test_the_cell_is_done(cell: Cell, *, nested: bool) -> None:
    row, option, code = cell
    tag, found = _tag(row), _results(option, nested=nested)
    if tag >> 16 in NEVER_IN_A_DATASET:
        assert tag not in found
    elif code == "C" and (tag in OPAQUE or tag == CANNOT_BE_MOVED):
        assert _is_as_in_the_basic_profile(found, row)
    elif code == "K":
        assert _is_kept(found[tag], tag, option)
    else:
        assert _is_cleaned(found[tag], tag, option)


def test_there_are_636_cells_of_ten_options() -> None:
    assert len(CELLS) == 636
    assert {option for _, option, _ in CELLS} == {*option_names()}


TWICE = [
    row
    for row in confidentiality_rows()
    if len({code for _, code in row.options}) > 1 and row.tag != CANNOT_BE_MOVED
]


@every(TWICE, named=lambda row: row.pattern)
def test_where_two_options_differ_cleaning_goes_before_keeping(row: ConfidentialityRow) -> None:
    tag = _tag(row)
    options = {option for option, _ in row.options} - {EXCLUSIVE[0][0]}
    (cleaner,) = [option for option, code in row.options if code == "C" and option in options]
    assert _is_cleaned(cleaned({tag: _element(tag)}, *options)[tag], tag, cleaner)


def test_all_options_but_one_of_the_dates_go_together() -> None:
    options = {*option_names()} - {EXCLUSIVE[0][0]}
    found = cleaned({0x00080020: _element(0x00080020)}, *options)
    assert value(found[0x00080020]) == _moved(0x00080020)
    codes = [value(by_tag(item)[0x00080100]) for item in found[0x00120064].items or ()]
    assert codes == sorted(codes)
    assert len(codes) == 10  # the profile's own and nine options'


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ((), b"REMOVED"),
        (("retain_longitudinal_modified_dates",), b"MODIFIED"),
        (("retain_longitudinal_full_dates",), b"UNMODIFIED"),
    ],
)
def test_the_marker_of_temporal_information_tells_what_was_done(
    options: tuple[str, ...], word: bytes
) -> None:
    assert value(cleaned({}, *options)[0x00280303]) == word
