"""Random datasets: no token of the source survives, and what is kept is what it was."""

from __future__ import annotations

import io

import pydicom
import pytest
from factories import canary_stack, make_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR

from clic_edge.deid import BASIC, DeidKey, deidentify, part10
from clic_edge.deid.policy import TECHNICAL_TEXT
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import ClicEdgeError

PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")
SOURCE = part10.read(make_series(canary_stack()).instances[0].content)
WRITER = part10.Writer(SOURCE.encoding)
BASE = {e.tag: WRITER.element(e.tag, e.vr, bytes(e.value)) for e in SOURCE.elements}
TOKEN = b"qWxZ7fugl"
TEXT_VRS = ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UN", "UR", "UT", "OB"]  # fmt: skip
PUBLIC = sorted(
    tag
    for tag in DicomDictionary
    if tag >> 16 >= 8
    and tag not in TECHNICAL_TEXT
    and tag not in BASE
    and tag >> 16 != 0x7FE0
    and tag not in {0x00280301, 0x00080064, 0x00282000, 0x54001010, 0x00280008}
    and dictionary_VR(tag)[0] != "O"
    and "SQ" not in dictionary_VR(tag)
    and "NONE" not in dictionary_VR(tag)
)
PRIVATE = st.builds(
    lambda g, e: (2 * g + 9) << 16 | e, st.integers(0, 0x3000), st.integers(1, 0xFFFF)
)
SEQUENCES = [
    0x00409096,
    0x00081115,
    0x00089215,
    0x00700001,
    0x0040A730,
    0x00400275,
    0x00291009,
    0x00081140,
]


def _element(tag: int, vr: str, around: bytes) -> tuple[int, bytes]:
    return tag, WRITER.element(tag, vr, around + TOKEN + around)


def _sequence(tag: int, items: list[list[tuple[int, bytes]]]) -> tuple[int, bytes]:
    laid_out = [b"".join(chunk for _, chunk in sorted(dict(item).items())) for item in items]
    return tag, WRITER.sequence(tag, laid_out)


LEAVES = st.builds(
    _element,
    st.one_of(st.sampled_from(PUBLIC), PRIVATE),
    st.sampled_from(TEXT_VRS),
    st.sampled_from([b"", b" ", b"1\\", b"^", b"-", b"\\"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        _sequence, st.sampled_from(SEQUENCES), st.lists(st.lists(inner, max_size=4), max_size=3)
    ),
    max_leaves=12,
)


def _series(extra: list[tuple[int, bytes]]) -> Series:
    chunks = BASE | dict(extra)
    sop = (SOURCE.sop_class_uid, SOURCE.sop_instance_uid)
    content = part10.file_bytes(
        sop, SOURCE.transfer_syntax_uid, [chunks[t] for t in sorted(chunks)]
    )
    return Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id="1",
        issuer_of_patient_id="",
        instances=(Instance(content=content),),
    )


@pytest.mark.slow
@given(extra=st.lists(TREES, max_size=6))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_token_survives_and_what_is_kept_is_unchanged(extra: list[tuple[int, bytes]]) -> None:
    extra = [(tag, chunk) for tag, chunk in extra if tag < 0x7FE00000]
    clean = deidentify(_series(extra), BASIC, PSEUDONYM)
    output = clean.instances[0].content
    assert TOKEN.lower() not in output.lower()
    before = {e.tag: bytes(e.value) for e in SOURCE.elements}
    after = {e.tag: bytes(e.value) for e in part10.read(output).elements}
    for tag in (0x00200032, 0x00200037, 0x00280030, 0x00280010, 0x00080070, 0x7FE00010):
        assert after[tag] == before[tag]
    pydicom.dcmread(io.BytesIO(output)).walk(lambda _, element: element.value)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_clean_or_a_defect_by_name(data: st.DataObject) -> None:
    content = bytearray(_series([]).instances[0].content)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(128, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 20))
    series = _series([])
    damaged = Series(
        study_instance_uid=series.study_instance_uid,
        series_instance_uid=series.series_instance_uid,
        patient_id="1",
        issuer_of_patient_id="",
        instances=(Instance(content=bytes(content[: len(content) - cut])),),
    )
    shown = b""
    try:
        shown = deidentify(damaged, BASIC, PSEUDONYM).instances[0].content
    except ClicEdgeError as error:
        shown = str(error).encode()
    assert b"CANARY987654" not in shown
