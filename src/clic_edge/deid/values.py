"""Whether a value that is to be kept is what its VR says, so that no text hides in it (PS3.5 6.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clic_edge.deid.part10 import Element
    from clic_edge.deid.policy import Rule

CODED = re.compile(rb"[A-Z0-9_ ]{0,16}")
WORDS = re.compile(rb"[ -~]{6}")
PRINTABLE = re.compile(rb"[ -~]*\0?")
TEXT_VRS = frozenset(
    [
        "AE",
        "AS",
        "CS",
        "DA",
        "DS",
        "DT",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "ST",
        "TM",
        "UC",
        "UI",
        "UR",
        "UT",
    ]
)
FREE_TEXT_VRS = frozenset(["LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
NUMBER_VRS = frozenset(
    ["AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV", "OD", "OF", "OL", "OV", "OW"]
)
_ALL_WORDS = re.compile(rb"[ -~]{6,}\0?")
_SIZES = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}


def _list_of(one: bytes) -> re.Pattern[bytes]:
    return re.compile(rb" *(?:%b)? *(?:\\ *(?:%b)? *)*\0?" % (one, one))


_VALID = {
    "CS": _list_of(rb"[A-Z0-9_ ]{1,16}"),
    "AS": _list_of(rb"\d{3}[DWMY]"),
    "DA": _list_of(rb"\d{8}"),
    "DS": _list_of(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"),
    "DT": _list_of(rb"\d{4,14}(?:\.\d{1,6})?(?:[+-]\d{4})?"),
    "IS": _list_of(rb"[-+]?\d+"),
    "TM": _list_of(rb"\d{2,6}(?:\.\d{1,6})?"),
    "UI": _list_of(rb"[0-9.]{1,64}\0?"),
}


def is_what_it_says(element: Element, rule: Rule, *, may_be_text: bool) -> bool:
    """Whether a value is of its VR and multiplicity; text, where it may be, is not looked at."""
    if element.items is not None or isinstance(element.value, memoryview):
        return False
    is_unknown = element.vr == "UN"
    vr = rule.vr if is_unknown else element.vr
    if vr not in rule.vrs:
        return False
    if vr in _SIZES:
        return _is_numbers(element.value, vr, rule, is_unknown=is_unknown)
    if vr in _VALID:
        return _VALID[vr].fullmatch(element.value) is not None
    if vr[0] == "O" and not is_unknown:
        return True
    return may_be_text or PRINTABLE.fullmatch(element.value) is not None


def _is_numbers(value: bytes, vr: str, rule: Rule, *, is_unknown: bool) -> bool:
    fits = not rule.most_values or len(value) <= rule.most_values * _SIZES[vr]
    is_text = WORDS.search(value) if is_unknown else _ALL_WORDS.fullmatch(value)
    return fits and len(value) % _SIZES[vr] == 0 and not is_text
