"""Every row of Table E.1-1 is acted on, on top and three sequences deep."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pydicom
import pytest
from every import every
from factories import canary_stack, make_series
from pydicom.tag import Tag

from clic_edge.deid import BASIC, DeidKey, deidentify, part10
from clic_edge.deid.keys import keyed_uid
from clic_edge.deid.standard import ConfidentialityRow, confidentiality_rows
from clic_edge.domain.study import Instance, Series

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")
KEPT_SEQUENCE = 0x00081115  # Referenced Series Sequence: no row names it
GROUPS = {
    "(50xx,xxxx)": 0x50003000,
    "(60xx,4000)": 0x60024000,
    "(60xx,3000)": 0x60023000,
    "(gggg,eeee) where gggg is odd": 0x00291008,
}
UID = b"1.2.826.0.1.3680043.10.1561.4711.42"
VALUES = {
    **dict.fromkeys(("OB", "OW", "UN", "FL", "FD", "UL"), b"QWX7TOKN"),
    **dict.fromkeys(("US", "SS"), b"QW"),
    "AS": b"077Y",
    "DA": b"19870605",
    "DT": b"19870605112233",
    "DS": b"12345.75",
    "IS": b"1234567",
    "TM": b"112233",
    "UI": UID,
    "UR": b"http://qwx7tokn",
}
SOURCE = part10.read(make_series(canary_stack()).instances[0].content)
WRITER = part10.Writer(SOURCE.encoding)
ROWS = confidentiality_rows()


def _planted(tag: int) -> bytes:
    vr = (part10.vrs_of(tag) or ("LO",))[0]
    if vr != "SQ":
        return WRITER.element(tag, vr, VALUES.get(vr, b"QWX7TOKN"))
    inner = WRITER.element(0x00081155, "UI", UID) + WRITER.element(0x00100010, "PN", b"QWX7TOKN^A")
    return WRITER.sequence(tag, [inner])


def _cleaned(extra: bytes, tag: int) -> tuple[Dataset, bytes]:
    chunks = {tag: extra}
    for element in SOURCE.elements:
        chunks.setdefault(
            element.tag, WRITER.element(element.tag, element.vr, bytes(element.value))
        )
    sop = (SOURCE.sop_class_uid, SOURCE.sop_instance_uid)
    content = part10.file_bytes(
        sop, SOURCE.transfer_syntax_uid, [chunks[t] for t in sorted(chunks)]
    )
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id="1",
        issuer_of_patient_id="",
        instances=(Instance(content=content),),
    )
    output = deidentify(series, BASIC, PSEUDONYM).instances[0].content
    return pydicom.dcmread(io.BytesIO(output)), output


def _outcomes(dataset: Dataset, tag: int) -> str:
    """Return the letter of what happened to a tag."""
    if tag not in dataset:
        return "X"
    value = dataset[tag].value
    if dataset[tag].VR == "SQ":
        if value and "ReferencedSOPInstanceUID" in value[0]:
            mapped = value[0].ReferencedSOPInstanceUID == keyed_uid(UID.decode(), PSEUDONYM)
            return "U" if mapped else "D"
        return "D" if value else "Z"
    if value in {"", None, b""}:
        return "Z"
    return "U" if value == keyed_uid(UID.decode(), PSEUDONYM) else "D"


def _is_done(row: ConfidentialityRow, tag: int, letter: str) -> bool:
    allowed = {*row.basic_profile.rstrip("*").split("/")}
    if tag >> 16 in {0x0000, 0x0002, 0x0004}:  # never part of a dataset
        return letter == "X"
    if "Z" in allowed:  # Table E.1-1a: Z may be a dummy
        allowed.add("D")
    return letter in allowed


@pytest.mark.slow
@every(ROWS, named=lambda row: row.pattern)
def test_the_row_is_done_on_top_and_nested(row: ConfidentialityRow) -> None:
    tag = row.tag if row.tag is not None else GROUPS[row.pattern]
    secrets = (b"QWX7TOKN", b"qwx7tokn", UID, b"19870605", b"077Y", b"12345.75", b"1234567")
    if tag >> 16 != 2:  # on top, group 2 is File Meta
        dataset, output = _cleaned(_planted(tag), tag)
        assert _is_done(row, tag, _outcomes(dataset, tag))
        assert not [secret for secret in secrets if secret in output]
    nested = _planted(tag)
    for _ in range(3):
        nested = WRITER.sequence(KEPT_SEQUENCE, [nested])
    dataset, output = _cleaned(nested, KEPT_SEQUENCE)
    for _ in range(3):
        dataset = dataset[KEPT_SEQUENCE].value[0]
    assert _is_done(row, tag, _outcomes(dataset, tag))
    assert not [secret for secret in secrets if secret in output]


def test_every_pattern_of_the_table_is_covered() -> None:
    assert {row.pattern for row in ROWS if row.tag is None} == {*GROUPS}
    assert all(Tag(row.tag) for row in ROWS if row.tag)
