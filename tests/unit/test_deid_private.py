"""Every row of Table E.3.10-1 is kept where its creator's block is, and nowhere else."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING

import pytest
from deid_plants import CARRIER, PSEUDONYM, WRITER, by_tag, cleaned, cleaned_deep, value
from every import every

from clic_edge.deid import part10
from clic_edge.deid.keys import keyed_uid
from clic_edge.deid.options import SAFE_PRIVATE
from clic_edge.deid.private import safe_attributes
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from clic_edge.deid.part10 import Element

Row = tuple[int, str, int]
ROWS = sorted(safe_attributes())
BLOCKS = range(0x10, 0x100)
UID = b"1.2.826.0.1.3680043.10.1561.4711.42"
VALUES = {
    **dict.fromkeys(("LO", "SH", "ST", "LT", "CS"), b"SOME VALUE"),
    **dict.fromkeys(("OB", "OW"), b"\1\2\3\4"),
    **dict.fromkeys(("US", "SS"), b"\1\2"),
    **dict.fromkeys(("UL", "SL", "AT"), b"\1\2\3\4"),
    "DS": b"12.5",
    "IS": b"12",
    "FL": struct.pack("<f", 12.5),
    "FD": struct.pack("<d", 12.5),
    "UI": UID,
}


def _id(row: Row) -> str:
    return f"({row[0]:04X},xx{row[2]:02X}) {row[1]}"


def _vr(row: Row) -> str:
    """Return the VR of a row; any number will do where the table names none."""
    vrs = safe_attributes()[row]
    return vrs[0] if len(vrs) < 3 else "FD"


def _tags(rows: list[Row], first: int) -> dict[Row, int]:
    """Return where rows stand: each creator of a group in a block of its own, from `first` on."""
    blocks: dict[tuple[int, str], int] = {}
    for group, creator, _ in rows:
        taken = sum(known == group for known, _ in blocks)
        blocks.setdefault((group, creator), first + taken)
    return {row: row[0] << 16 | blocks[row[:2]] << 8 | row[2] for row in rows}


def _plants(tags: dict[Row, int]) -> dict[int, bytes]:
    plants = {}
    for (group, creator, number), tag in tags.items():
        own = group << 16 | tag >> 8 & 0xFF
        plants[own] = WRITER.element(own, "LO", creator.encode())
        vr = _vr((group, creator, number))
        if vr == "SQ":
            name = WRITER.element(0x00100010, "PN", b"Zzyplant^Arr")
            plants[tag] = WRITER.sequence(tag, [name])
        else:
            plants[tag] = WRITER.element(tag, vr, VALUES[vr])
    return plants


@cache
def _results(*options: str, nested: bool, first: int) -> dict[int, Element]:
    return (cleaned_deep if nested else cleaned)(_plants(_tags(ROWS, first)), *options)


@every(ROWS, named=_id)
def test_the_row_is_kept_on_top_and_nested_in_any_block(row: Row) -> None:
    for nested, first in ((False, 0x10), (True, 0xA0)):
        found = _results(SAFE_PRIVATE, nested=nested, first=first)
        tag = _tags(ROWS, first)[row]
        creator = row[0] << 16 | tag >> 8 & 0xFF
        assert value(found[creator]).decode() == row[1]
        if found[tag].items is not None:
            ((name,),) = found[tag].items or ()
            assert value(name).startswith(b"CE-")
        elif _vr(row) == "UI":
            assert value(found[tag]) != UID
        else:
            assert bytes(found[tag].value).rstrip() == VALUES[_vr(row)]


def test_there_are_479_rows() -> None:
    assert len(ROWS) == 479


def test_without_the_option_nothing_private_is_left() -> None:
    assert not [tag for tag in _results(nested=False, first=0x10) if tag & 0x10000]


PHILIPS, FACTOR = b"Philips PET Private Group", 0x70531000


def _factor(creator: bytes, tag: int, *, block: int = 0x10, vr: str = "DS") -> dict[int, Element]:
    own = 0x70530000 | block
    plants = {
        own: WRITER.element(own, "LO", creator),
        tag: WRITER.element(tag, vr, b"12.5"),
    }
    return {tag: e for tag, e in cleaned(plants, SAFE_PRIVATE).items() if tag & 0x10000}


@pytest.mark.parametrize(
    ("creator", "tag", "block"),
    [
        (b"ACME", FACTOR, 0x10),
        (b"", FACTOR, 0x10),
        (b"philips pet private group", FACTOR, 0x10),
        (PHILIPS, FACTOR, 0x11),
        (PHILIPS, FACTOR | 1, 0x10),
    ],
    ids=["other creator", "none", "other case", "other block", "other element"],
)
def test_what_is_not_the_creators_own_row_goes_with_the_creator(
    creator: bytes, tag: int, block: int
) -> None:
    assert not _factor(creator, tag, block=block)


def test_a_value_of_another_vr_than_the_tables_goes() -> None:
    assert FACTOR not in _factor(PHILIPS, FACTOR, vr="LO")


def test_a_value_of_unknown_vr_is_held_against_the_tables() -> None:
    assert FACTOR in _factor(PHILIPS, FACTOR, vr="UN")
    plants = {
        0x70530010: WRITER.element(0x70530010, "LO", PHILIPS),
        FACTOR: WRITER.element(FACTOR, "UN", b"Jensen"),
    }
    assert FACTOR not in cleaned(plants, SAFE_PRIVATE)


def test_a_creators_block_is_not_that_of_a_sequence_around_it() -> None:
    inner = WRITER.element(FACTOR, "DS", b"12.5")
    plants = {
        0x70530010: WRITER.element(0x70530010, "LO", PHILIPS),
        CARRIER: WRITER.sequence(CARRIER, [inner]),
    }
    (item,) = cleaned(plants, SAFE_PRIVATE)[CARRIER].items or ()
    assert FACTOR not in by_tag(item)


def test_a_sequence_of_unknown_vr_is_cleaned_inside() -> None:
    tag = 0x2001105F  # Stack Sequence
    implicit = part10.Writer(part10.Encoding(explicit=False, little=True))
    name = implicit.element(0x00100010, "PN", b"Zzyplant^Arr")
    opaque = implicit.sequence(tag, [name])[8:]
    plants = {
        0x20010010: WRITER.element(0x20010010, "LO", b"Philips Imaging DD 001"),
        tag: WRITER.element(tag, "UN", opaque),
    }
    ((inner,),) = cleaned(plants, SAFE_PRIVATE)[tag].items or ()
    assert value(inner).startswith(b"CE-")


@pytest.mark.parametrize(
    ("text", "vr", "tag"),
    [
        (b"of Kanariefugl", "LO", 0x20011090),
        ("of Kanariefugl".encode("utf-16-le"), "OW", 0x2001107D),
    ],
)
def test_a_known_identifier_in_a_safe_attribute_is_a_defect(text: bytes, vr: str, tag: int) -> None:
    plants = {
        0x20010010: WRITER.element(0x20010010, "LO", b"Philips Imaging DD 001"),
        tag: WRITER.element(tag, vr, text),
    }
    with pytest.raises(Defect) as caught:
        cleaned(plants, SAFE_PRIVATE)
    assert caught.value.code == "residual-identifier"


def test_the_uid_of_a_safe_attribute_is_mapped_like_all_others() -> None:
    tag = 0x00991002  # Analyzed Series UID
    plants = {
        0x00990010: WRITER.element(0x00990010, "LO", b"NQHeader"),
        tag: WRITER.element(tag, "UI", UID),
    }
    found = cleaned(plants, SAFE_PRIVATE)
    assert value(found[tag]).decode() == keyed_uid(UID.decode(), PSEUDONYM)
