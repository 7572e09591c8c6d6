from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from factories import CANARY, canary_stack, file_bytes, make_datasets, ramp, series_of
from pydicom.uid import MPEG2MPML

from clic_edge.deid import BASIC, DeidKey, deidentify
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import ClicEdgeError, Defect, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset

PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")
STORAGE = "1.2.840.10008.5.1.4.1.1."


def _dataset() -> Dataset:
    return make_datasets(canary_stack(), ramp((1, 4, 6)))[0]


def _caught(*contents: bytes) -> ClicEdgeError:
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id="1",
        issuer_of_patient_id="",
        instances=tuple(Instance(content=content) for content in contents),
    )
    with pytest.raises(ClicEdgeError) as caught:
        deidentify(series, BASIC, PSEUDONYM)
    for secret in ("Kanarie", CANARY.patient_id, "77777777", CANARY.birth_date):
        assert secret not in str(caught.value)
    return caught.value


def _bits(ds: Dataset) -> None:
    ds.add_new(0x60000102, "US", 12)


def _declared(ds: Dataset) -> None:
    ds.SOPClassUID = STORAGE + "1"


REFUSED: dict[str, tuple[str, Callable[[Dataset], object]]] = {
    "burned-in YES": ("burned-in-annotation", lambda d: setattr(d, "BurnedInAnnotation", "YES")),
    "burned-in OTHER": (
        "burned-in-annotation",
        lambda d: setattr(d, "BurnedInAnnotation", "OTHER"),
    ),
    "secondary capture": ("unsafe-pixels", lambda d: setattr(d, "SOPClassUID", STORAGE + "7")),
    "ultrasound": ("unsafe-pixels", lambda d: setattr(d, "SOPClassUID", STORAGE + "6.1")),
    "radiograph that says nothing": ("unsafe-pixels", _declared),
    "screen save": (
        "unsafe-pixels",
        lambda d: setattr(d, "ImageType", ["DERIVED", "SECONDARY", "SCREEN SAVE"]),
    ),
    "converted": ("unsafe-pixels", lambda d: setattr(d, "ConversionType", "WSD")),
    "colour": ("unsafe-pixels", lambda d: setattr(d, "PhotometricInterpretation", "RGB")),
    "overlay in the pixels": ("unsafe-pixels", _bits),
    "pdf": ("not-deidentifiable", lambda d: setattr(d, "SOPClassUID", STORAGE + "104.1")),
    "cda": ("not-deidentifiable", lambda d: setattr(d, "SOPClassUID", STORAGE + "104.2")),
    "raw data": ("not-deidentifiable", lambda d: setattr(d, "SOPClassUID", STORAGE + "66")),
    "voice": ("not-deidentifiable", lambda d: setattr(d, "SOPClassUID", STORAGE + "9.4.1")),
    "private class": (
        "not-deidentifiable",
        lambda d: setattr(d, "SOPClassUID", "1.3.12.2.1107.5.9.1"),
    ),
    "video": (
        "not-deidentifiable",
        lambda d: setattr(d.file_meta, "TransferSyntaxUID", MPEG2MPML),
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_cleaned_is_refused_by_name(kind: str) -> None:
    code, change = REFUSED[kind]
    ds = _dataset()
    content = file_bytes(ds)
    change(ds)
    if kind == "video":  # the same length, so that the file around it stays valid
        content = content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.4.100\0")
        content = _longer_syntax(content)
    else:
        content = file_bytes(ds)
    error = _caught(content)
    assert isinstance(error, Refusal)
    assert error.code == code
    assert error.sentence.startswith("Instance 1 of 1: ")


def _longer_syntax(content: bytes) -> bytes:
    at = content.index(b"\x02\0\x10\0UI")
    return content[: at + 6] + struct.pack("<H", 24) + content[at + 8 :]


def test_a_radiograph_that_says_no_burned_in_text_is_cleaned() -> None:
    ds = _dataset()
    ds.SOPClassUID, ds.BurnedInAnnotation = STORAGE + "1", "NO"
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id="1",
        issuer_of_patient_id="",
        instances=(Instance(content=file_bytes(ds)),),
    )
    assert len(deidentify(series, BASIC, PSEUDONYM).instances) == 1


def test_an_empty_conversion_type_as_philips_writes_it_is_no_screen_save() -> None:
    ds = _dataset()
    ds.ConversionType = ""
    assert len(deidentify(series_of([ds]), BASIC, PSEUDONYM).instances) == 1


def test_an_unknown_transfer_syntax_is_a_defect() -> None:
    content = file_bytes(_dataset()).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0")
    error = _caught(content)
    assert isinstance(error, Defect)
    assert error.code == "unknown-transfer-syntax"


@pytest.mark.parametrize("cut", [10, 140, 400, 700, -5])
def test_a_truncated_file_is_a_defect_and_nothing_leaves(cut: int) -> None:
    content = file_bytes(_dataset())
    error = _caught(content, content[:cut])
    assert isinstance(error, Defect)
    assert error.code == "unreadable-instance"
    assert error.sentence.startswith("Instance 2 of 2: ")


@pytest.mark.parametrize("content", [b"", b"not DICOM at all" * 40, bytes(4_000)])
def test_what_is_not_dicom_is_a_defect(content: bytes) -> None:
    assert _caught(content).code == "unreadable-instance"


def test_sequences_without_end_are_a_defect() -> None:
    deep = struct.pack("<HH2sHL", 0x40, 0x9096, b"SQ", 0, 0xFFFFFFFF)
    deep += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    content = file_bytes(_dataset())
    at = content.index(struct.pack("<HH", 0x7FE0, 0x0010))
    assert _caught(content[:at] + deep * 100_000).code == "unreadable-instance"


@pytest.mark.parametrize(
    ("character_set", "name"),
    [(b"ISO_IR 999", b"Name"), (b"ISO_IR 192", b"B\xf8gh^\xc5se")],
)
def test_text_that_is_not_in_its_character_set_is_a_defect(
    character_set: bytes, name: bytes
) -> None:
    content = file_bytes(_dataset())
    old_set = struct.pack("<HH2sH", 8, 5, b"CS", 10) + b"ISO_IR 192"
    assert old_set in content
    content = content.replace(
        old_set, struct.pack("<HH2sH", 8, 5, b"CS", 10) + character_set.ljust(10)
    )
    encoded = CANARY.name.encode()
    encoded += b" " * (len(encoded) % 2)
    content = content.replace(encoded, name.ljust(len(encoded)))
    error = _caught(content)
    assert isinstance(error, Defect)
    assert error.code == "undecodable-text"
