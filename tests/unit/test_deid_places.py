"""A patient hidden in many kinds of place; each token is unique and searched in the output's bytes."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import pydicom
import pytest
from factories import CANARY, canary_stack, file_bytes, make_datasets, make_series, ramp, series_of
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from clic_edge.deid import BASIC, DeidKey, Profile, deidentify, load_profile, part10
from clic_edge.domain.study import Instance, Series

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = DeidKey(b"one key of thirty-two bytes, yes")
PLANT = "Qwxzyfugl"
UID = "1.2.826.0.1.3680043.10.1561.55555555.9"


def _series(content: bytes) -> Series:
    return Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id=CANARY.patient_id,
        issuer_of_patient_id="",
        instances=(Instance(content=content),),
    )


def _clean(content: bytes, profile: Profile = BASIC) -> bytes:
    series = _series(content)
    return deidentify(series, profile, KEY.pseudonym("x", "")).instances[0].content


def _nest(inner: Dataset, depth: int) -> Dataset:
    for _ in range(depth):
        outer = Dataset()
        outer.add_new(0x00081115, "SQ", Sequence([inner]))
        inner = outer
    return inner


def _item(tag: int, vr: str, value: object) -> Dataset:
    item = Dataset()
    item.add_new(tag, vr, value)
    return item


def _private(ds: Dataset, creator: str, vr: str, value: object) -> None:
    ds.private_block(0x0029, creator, create=True).add_new(0x08, vr, value)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = _item(0x00080100, "SH", value)
    item.CodingSchemeDesignator, item.CodeMeaning = scheme, meaning
    return item


NAME = f"{PLANT}^Anna"
PLACES: dict[str, Callable[[Dataset], object]] = {
    "patient name": lambda ds: setattr(ds, "PatientName", NAME),
    "patient id": lambda ds: setattr(ds, "PatientID", PLANT),
    "issuer of patient id": lambda ds: setattr(ds, "IssuerOfPatientID", PLANT),
    "other patient ids": lambda ds: ds.add_new(0x00101000, "LO", [PLANT, "x"]),
    "other patient ids sequence": lambda ds: ds.add_new(
        0x00101002, "SQ", Sequence([_item(0x00100020, "LO", PLANT)])
    ),
    "birth name": lambda ds: setattr(ds, "PatientBirthName", NAME),
    "mother's name": lambda ds: setattr(ds, "PatientMotherBirthName", NAME),
    "address": lambda ds: setattr(ds, "PatientAddress", f"{PLANT} Street 1"),
    "telephone": lambda ds: setattr(ds, "PatientTelephoneNumbers", PLANT),
    "comments": lambda ds: setattr(ds, "PatientComments", f"is {PLANT}"),
    "history": lambda ds: setattr(ds, "AdditionalPatientHistory", PLANT),
    "accession": lambda ds: setattr(ds, "AccessionNumber", PLANT),
    "study description": lambda ds: setattr(ds, "StudyDescription", PLANT),
    "series description": lambda ds: setattr(ds, "SeriesDescription", PLANT),
    "protocol name": lambda ds: setattr(ds, "ProtocolName", PLANT),
    "institution": lambda ds: setattr(ds, "InstitutionName", PLANT),
    "station": lambda ds: setattr(ds, "StationName", PLANT),
    "device serial number": lambda ds: setattr(ds, "DeviceSerialNumber", PLANT),
    "operators": lambda ds: setattr(ds, "OperatorsName", [NAME, NAME]),
    "physicians": lambda ds: setattr(ds, "PhysiciansOfRecord", [NAME]),
    "referring physician": lambda ds: setattr(ds, "ReferringPhysicianName", NAME),
    "image comments": lambda ds: setattr(ds, "ImageComments", PLANT),
    "study id": lambda ds: setattr(ds, "StudyID", PLANT),
    "requested procedure": lambda ds: setattr(ds, "RequestedProcedureDescription", PLANT),
    "request attributes": lambda ds: setattr(
        ds, "RequestAttributesSequence", [_item(0x00400007, "LO", PLANT)]
    ),
    "performer": lambda ds: setattr(
        ds,
        "PerformingPhysicianIdentificationSequence",
        [_item(0x00401101, "SQ", Sequence([_code(PLANT, "99X", PLANT)]))],
    ),
    "unnamed person": lambda ds: ds.add_new(0x40080119, "PN", NAME),
    "evaluator name, unnamed": lambda ds: ds.add_new(0x00142002, "PN", NAME),
    "unnamed long text": lambda ds: setattr(ds, "DetectorDescription", PLANT),
    "unnamed window explanation": lambda ds: ds.add_new(0x00281055, "LO", PLANT),
    "unnamed partial view": lambda ds: setattr(ds, "PartialViewDescription", PLANT),
    "unnamed url": lambda ds: setattr(ds, "RetrieveURL", f"http://{PLANT}"),
    "unknown public tag": lambda ds: ds.add_new(0x00189FF2, "LO", PLANT),
    "unknown binary tag": lambda ds: ds.add_new(0x00189FF2, "OB", PLANT.encode() + b" "),
    "text as a coded string": lambda ds: ds._dict.update(
        {0x00180022: pydicom.DataElement(0x00180022, "LO", PLANT)}  # type: ignore[dict-item]
    ),
    "text as a number": lambda ds: ds.add_new(0x00280106, "LO", PLANT),
    "text in a number of one value": lambda ds: ds.add_new(
        0x00280106, "US", list(struct.unpack("<5H", f"{PLANT} ".encode()))
    ),
    "lower case in a coded string": lambda ds: _raw(ds, 0x00180022, "CS", PLANT),
    "words in a decimal": lambda ds: _raw(ds, 0x00180088, "DS", PLANT),
    "words in an integer": lambda ds: _raw(ds, 0x00200012, "IS", PLANT),
    "code of a private scheme": lambda ds: setattr(
        ds, "AnatomicRegionSequence", [_code(PLANT, "99LOCAL", PLANT)]
    ),
    "meaning of a published code": lambda ds: setattr(
        ds, "AnatomicRegionSequence", [_code("12738006", "SCT", f"Brain of {PLANT}")]
    ),
    "unknown code of a published scheme": lambda ds: setattr(
        ds, "AnatomicRegionSequence", [_code(PLANT, "SCT", PLANT)]
    ),
    "private text": lambda ds: _private(ds, "ACME 1", "LO", PLANT),
    "private creator": lambda ds: _private(ds, PLANT, "LO", "x"),
    "private blob in utf-16": lambda ds: _private(ds, "ACME", "OB", PLANT.encode("utf-16-le")),
    "private sequence": lambda ds: _private(ds, "A", "SQ", Sequence([_item(0x100010, "PN", NAME)])),
    "private group nested": lambda ds: _add_nested(ds, _private_item()),
    "name three deep": lambda ds: _add_nested(ds, _item(0x00100010, "PN", NAME)),
    "comment three deep": lambda ds: _add_nested(ds, _item(0x00204000, "LT", PLANT)),
    "unnamed text three deep": lambda ds: _add_nested(ds, _item(0x00281055, "LO", PLANT)),
    "pixels three deep": lambda ds: _add_nested(ds, _item(0x7FE00010, "OB", PLANT.encode() + b" ")),
    "icon": lambda ds: ds.add_new(
        0x00880200, "SQ", Sequence([_item(0x7FE00010, "OB", PLANT.encode() + b" ")])
    ),
    "overlay data": lambda ds: ds.add_new(0x60003000, "OB", PLANT.encode() + b" "),
    "overlay label": lambda ds: ds.add_new(0x60001500, "LO", PLANT),
    "curve description": lambda ds: ds.add_new(0x50000022, "LO", PLANT),
    "digital signature": lambda ds: ds.add_new(
        0xFFFAFFFA, "SQ", Sequence([_item(0x04000120, "OB", PLANT.encode() + b" ")])
    ),
    "original attributes": lambda ds: setattr(
        ds, "OriginalAttributesSequence", [_item(0x04000564, "LO", PLANT)]
    ),
    "content sequence": lambda ds: ds.add_new(
        0x0040A730, "SQ", Sequence([_item(0x0040A160, "UT", PLANT)])
    ),
    "graphic annotation": lambda ds: ds.add_new(
        0x00700001, "SQ", Sequence([_item(0x00700006, "ST", PLANT)])
    ),
    "padding": lambda ds: ds.add_new(0xFFFCFFFC, "OB", PLANT.encode() + b" "),
    "source application": lambda ds: setattr(ds.file_meta, "SourceApplicationEntityTitle", PLANT),
    "private file meta": lambda ds: ds.file_meta.update(
        {
            0x00020100: pydicom.DataElement(0x00020100, "UI", UID),
            0x00020102: pydicom.DataElement(0x00020102, "OB", PLANT.encode() + b" "),
        }
    ),
    "preamble": lambda ds: setattr(ds, "preamble", PLANT.encode().ljust(128)),
    "nested reference": lambda ds: setattr(
        ds, "ReferencedImageSequence", [_item(0x00081155, "UI", UID)]
    ),
    "unnamed uid": lambda ds: ds.add_new(0x0008010C, "UI", UID),
    "instance creator uid": lambda ds: setattr(ds, "InstanceCreatorUID", UID),
    "fake registered uid": lambda ds: ds.add_new(0x00081150, "UI", "1.2.840.10008.55555555"),
}


def _raw(ds: Dataset, tag: int, vr: str, text: str) -> None:
    value = f"{text} ".encode()
    raw = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(tag), vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True
    )
    ds._dict[pydicom.tag.Tag(tag)] = raw


def _private_item() -> Dataset:
    item = Dataset()
    _private(item, "ACME", "LO", PLANT)
    return item


def _add_nested(ds: Dataset, inner: Dataset) -> None:
    ds.update(_nest(inner, 3))


RETAINED = {"station", "device serial number"}
"""Places that the research profile's options keep as they are."""


@pytest.mark.parametrize("profile", ["basic", "research"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.filterwarnings("ignore")
def test_a_token_hidden_there_is_not_in_the_output(root: Path, place: str, profile: str) -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    PLACES[place](ds)
    content = file_bytes(ds)
    secrets = [PLANT.encode(), PLANT.encode("utf-16-le"), b"55555555"]
    assert any(secret in content for secret in secrets), "the plant did not take"
    output = _clean(content, load_profile(root / "configs" / "deid" / f"{profile}.toml"))
    found = [secret for secret in secrets if secret.lower() in output.lower()]
    assert bool(found) == (profile == "research" and place in RETAINED)
    assert (pydicom.dcmread(io.BytesIO(output)).pixel_array == ramp((1, 4, 6))[0]).all()


def test_there_are_enough_kinds_of_place() -> None:
    assert len(PLACES) >= 60


def test_nothing_of_the_canary_patient_is_left() -> None:
    series = make_series(canary_stack())
    clean = deidentify(series, BASIC, KEY.pseudonym(CANARY.patient_id, ""))
    secrets = ["Kanariefugl", "Gulnæb", "Zzyzx", CANARY.patient_id, CANARY.birth_date]
    secrets += [CANARY.accession_number, "77777777"]
    for instance in clean.instances:
        for secret in secrets:
            for codec in ("utf-8", "latin-1", "utf-16-le"):
                assert secret.encode(codec).lower() not in instance.content.lower()


@pytest.mark.parametrize(
    "trailing", [bytes(2_000), b"\0\0\0", b"Kanariefugl" * 9, b"\xfc\xff\xfc\xff"]
)
def test_what_follows_the_pixels_is_gone(trailing: bytes) -> None:
    content = make_series(canary_stack()).instances[0].content
    assert _clean(content + trailing) == _clean(content)


def test_what_lies_in_the_pixel_data_behind_the_last_pixel_is_gone() -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    pixels = ds.PixelData
    ds.PixelData = pixels + f"{PLANT}^".encode()
    cleaned = pydicom.dcmread(io.BytesIO(_clean(file_bytes(ds))))
    assert cleaned.PixelData == pixels


@pytest.mark.parametrize(
    ("character_set", "name", "secrets"),
    [
        ("ISO_IR 100", "Bøgh^Åse Æbelø", ["Bøgh", "Åse", "Æbelø"]),
        ("ISO_IR 192", "Bøgh^Åse Æbelø", ["Bøgh", "Åse", "Æbelø"]),
        ("GB18030", "Wang^XiaoDong=王^小东", ["王^小东", "XiaoDong"]),
        ("GBK", "Wang^XiaoDong=王^小东", ["王^小东", "XiaoDong"]),
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            ["山田", "太郎", "たろう", "Yamada"],
        ),
        ("ISO_IR 144", "Люкceмбypг", ["Люкceмбypг"]),
        ("ISO_IR 126", "Διονυσιος", ["Διονυσιος"]),
    ],
)
def test_names_in_other_scripts_are_gone_in_every_encoding(
    character_set: str | list[str], name: str, secrets: list[str]
) -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    ds.SpecificCharacterSet = character_set
    ds.PatientName = name
    ds.OperatorsName = name
    output = _clean(file_bytes(ds))
    for secret in secrets:
        for codec in (
            "utf-8",
            "latin-1",
            "iso2022_jp",
            "gb18030",
            "iso8859_5",
            "iso8859_7",
            "utf-16-le",
        ):
            encoded = secret.encode(codec, "ignore")
            assert len(encoded) < 4 or encoded not in output


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_the_transfer_syntax_stays_and_the_canary_goes(syntax: str) -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    _add_nested(ds, _item(0x00100010, "PN", CANARY.name))
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = ramp((1, 4, 6)).astype(">i2").tobytes()
        ds["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    cleaned = pydicom.dcmread(io.BytesIO(_clean(buffer.getvalue())))
    assert cleaned.file_meta.TransferSyntaxUID == syntax
    assert (cleaned.pixel_array == ramp((1, 4, 6))[0]).all()
    assert "Kanarie" not in str(cleaned)


def test_same_in_same_out_and_another_key_makes_nothing_equal() -> None:
    series = make_series(canary_stack())
    mine = deidentify(series, BASIC, KEY.pseudonym(CANARY.patient_id, ""))
    again = deidentify(series, BASIC, KEY.pseudonym(CANARY.patient_id, ""))
    other_key = DeidKey(b"another key of thirty-two bytes.")
    other = deidentify(series, BASIC, other_key.pseudonym(CANARY.patient_id, ""))
    assert mine == again
    one, two = (pydicom.dcmread(io.BytesIO(c.instances[0].content)) for c in (mine, other))
    for keyword in ("PatientID", "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert one[keyword].value != two[keyword].value


def test_a_clean_series_keeps_order_and_says_what_was_done() -> None:
    series = series_of(make_datasets(canary_stack(), ramp())[::-1])
    clean = deidentify(series, BASIC, KEY.pseudonym(CANARY.patient_id, ""))
    numbers = []
    for instance in clean.instances:
        ds = pydicom.dcmread(io.BytesIO(instance.content))
        numbers.append(ds.InstanceNumber)
        assert ds.SeriesInstanceUID == clean.series_uid
        assert ds.PatientID == ds.PatientName == clean.subject_id
        assert ds.PatientIdentityRemoved == "YES"
        assert ds.LongitudinalTemporalInformationModified == "REMOVED"
        codes = [code.CodeValue for code in ds.DeidentificationMethodCodeSequence]
        assert codes == ["113100"]
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert ds.preamble == bytes(128)
    assert numbers == list(range(8, 0, -1))


@pytest.mark.parametrize("vr", ["UN", "US", "FL"])
def test_text_in_the_place_of_numbers_is_gone(vr: str) -> None:
    content = make_series(canary_stack()).instances[0].content
    source = part10.read(content)
    writer = part10.Writer(source.encoding)
    tags = {"UN": 0x00280009, "US": 0x00280014 + 0xFEC, "FL": 0x00700022}  # of 1-n values
    chunks = {e.tag: writer.element(e.tag, e.vr, bytes(e.value)) for e in source.elements}
    chunks[tags[vr]] = writer.element(tags[vr], vr, f"{PLANT}...".encode())
    sop = (source.sop_class_uid, source.sop_instance_uid)
    ordered = [chunks[tag] for tag in sorted(chunks)]
    planted = part10.file_bytes(sop, source.transfer_syntax_uid, ordered)
    assert PLANT.encode() in planted
    assert PLANT.encode() not in _clean(planted)
