"""Dummies: what action D writes, consistent with the VR (PS3.15 Table E.1-1a)."""

from __future__ import annotations

from clic_edge.deid.part10 import LONG_VRS, SHORT_VRS

REMOVED = "REMOVED"

_TEXT = dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), REMOVED.encode())
_NUMBER = {
    **dict.fromkeys(("SS", "US"), bytes(2)),
    **dict.fromkeys(("AT", "FL", "OF", "OL", "SL", "UL"), bytes(4)),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), bytes(8)),
    **dict.fromkeys(("OB", "OW", "UN"), bytes(2)),
    **dict.fromkeys(("DS", "IS"), b"0"),
}
DUMMIES: dict[str, bytes] = {
    **_TEXT,
    **_NUMBER,
    "AS": b"000Y",
    "DA": b"19000101",
    "DT": b"19000101000000",
    "TM": b"000000",
    "UI": b"2.25.0",
    "UR": b"urn:removed",
}

Template = tuple[tuple[int, str, "bytes | Template"], ...]
"""One item: tag, VR and value; the value of a sequence is its one item."""

_CODE: Template = (
    (0x00080100, "SH", REMOVED.encode()),
    (0x00080102, "SH", b"99CLICEDGE"),
    (0x00080104, "LO", REMOVED.encode()),
)
_FINDING: Template = (
    (0x00080100, "SH", b"121071"),
    (0x00080102, "SH", b"DCM"),
    (0x00080104, "LO", b"Finding"),
)
_REFERENCE: Template = (
    (0x00081150, "UI", b"1.2.840.10008.3.1.2.3.3"),
    (0x00081155, "UI", DUMMIES["UI"]),
)
DUMMY_ITEMS: dict[int, Template] = {
    0x0040A730: (  # Content Sequence: one finding without content
        (0x0040A010, "CS", b"CONTAINS"),
        (0x0040A040, "CS", b"TEXT"),
        (0x0040A043, "SQ", _FINDING),
        (0x0040A160, "UT", REMOVED.encode()),
    ),
    0x00700001: (  # Graphic Annotation Sequence: one point
        (0x00700002, "CS", REMOVED.encode()),
        (
            0x00700009,
            "SQ",
            (
                (0x00700005, "CS", b"DISPLAY"),
                (0x00700020, "US", b"\2\0"),
                (0x00700021, "US", b"\1\0"),
                (0x00700022, "FL", bytes(8)),
                (0x00700023, "CS", b"POINT"),
            ),
        ),
    ),
    0x0040A073: (  # Verifying Observer Sequence
        (0x0040A027, "LO", REMOVED.encode()),
        (0x0040A030, "DT", DUMMIES["DT"]),
        (0x0040A075, "PN", REMOVED.encode()),
        (0x0040A088, "SQ", ()),
    ),
    0x00081072: (  # Operator Identification Sequence
        (0x00080080, "LO", REMOVED.encode()),
        (0x00401101, "SQ", _CODE),
    ),
    0x00081111: _REFERENCE,  # Referenced Performed Procedure Step Sequence
    0x00080082: _CODE,  # Institution Code Sequence
    0x00401101: _CODE,  # Person Identification Code Sequence
    0x00340001: (  # Flow Identifier Sequence
        (0x00340002, "OB", bytes(2)),
        (0x00340005, "OB", bytes(2)),
    ),
    0x0040B020: (  # Waveform Annotation Sequence
        (0x0040A0B0, "US", b"\1\0\1\0"),
        (0x00700006, "ST", REMOVED.encode()),
    ),
}

if {*DUMMIES} | {"SQ"} != LONG_VRS | SHORT_VRS:  # pragma: no cover - a VR of the future
    raise AssertionError("every VR has a dummy")
