"""A patient hidden in more than ninety kinds of place, each in a file of its own.

Every token is made from the name of its place and stands nowhere else, so that a search of a tool's
output, in all encodings, tells which kinds of place it overlooks.
"""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from factories import Patient, Stack, make_slice
from planted_bases import (
    CODECS,
    add_nested,
    behind_pixels,
    code,
    content_item,
    csa_blob,
    in_file_meta,
    item,
    jpeg_with_comment,
    presentation,
    private,
    raw,
    report,
    rt_structures,
    segmentation,
    sequence,
    twice,
    unknown_sequence,
)
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Token:
    """What is hidden in one place, in the forms that places ask for."""

    kind: str

    @property
    def _digest(self) -> bytes:
        return hashlib.sha256(self.kind.encode()).digest()

    @property
    def text(self) -> str:
        """Ten letters that spell nothing."""
        letters = "bcdfghjkmpqtvwxz"
        return "Q" + "".join(letters[byte % len(letters)] for byte in self._digest[:9])

    @property
    def name(self) -> str:
        """A person of that name."""
        return f"{self.text}^Anna"

    @property
    def number(self) -> str:
        """Eight digits."""
        return str(30_000_000 + int.from_bytes(self._digest[9:12], "big"))

    @property
    def uid(self) -> str:
        """A UID with that number."""
        return f"1.2.826.0.1.3680043.10.1561.{self.number}.9"

    @property
    def date(self) -> str:
        """A day of the years 1911 to 1966, as DA."""
        year, month, day = (byte for byte in self._digest[12:15])
        return f"{1911 + year % 56}{1 + month % 12:02}{13 + day % 15}"

    def fill(self, pattern: str) -> str:
        """Return a pattern with ``{t.text}`` and so on, the day's parts and the digits filled in."""
        year, month, day = self.date[:4], self.date[4:6], self.date[6:]
        letters = MONTHS[int(month) - 1]
        return pattern.format(t=self, n=self.number, y=year, m=month, d=day, month=letters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How a token gets there."""

    group: str
    plant: Callable[[Dataset, Token], object]
    base: Callable[[Stack], Dataset] | None = None
    """What it is planted in; None for a CT slice."""
    syntax: str = ""
    words: tuple[str, ...] = ()
    """Names in other scripts, in place of the token."""
    finish: Callable[[bytes, Token], bytes] = field(default=lambda content, _: content)
    """What is done to the bytes of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One file, and what must not be in any output of it."""

    kind: str
    group: str
    content: bytes = field(repr=False)
    secrets: frozenset[bytes]
    """In lower case; at least one stands in the file."""

    def leaks(self, output: bytes) -> bool:
        """Whether anything of it is in the bytes of an output."""
        return found(self.secrets, output)


def found(secrets: frozenset[bytes], content: bytes) -> bool:
    """Whether one of the secrets stands in the bytes, in lower or upper case, deflated or not."""
    hay = content.lower()
    if any(secret in hay for secret in secrets):
        return True
    if DeflatedExplicitVRLittleEndian.encode() not in content:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(content))
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        buffer = io.BytesIO()
        ds.save_as(buffer)
    return found(secrets, buffer.getvalue())


def _set(keyword: str, pattern: str = "{t.text}") -> Callable[[Dataset, Token], None]:
    def plant(ds: Dataset, token: Token) -> None:
        setattr(ds, keyword, token.fill(pattern))

    return plant


def _add(tag: int, vr: str, pattern: str = "{t.text}") -> Callable[[Dataset, Token], None]:
    def plant(ds: Dataset, token: Token) -> None:
        value: str | bytes = token.fill(pattern)
        ds.add_new(tag, vr, f"{value} ".encode() if vr in {"OB", "UN"} else value)

    return plant


NAME = "{t.name}"
_STANDARD = {
    "patient's name": _set("PatientName", NAME),
    "patient id": _set("PatientID"),
    "issuer of patient id": _set("IssuerOfPatientID"),
    "birth date": _set("PatientBirthDate", "{t.date}"),
    "other patient ids, second value": _add(0x00101000, "LO", "x\\{t.text}"),
    "other patient names": _set("OtherPatientNames", NAME),
    "birth name": _set("PatientBirthName", NAME),
    "mother's birth name": _set("PatientMotherBirthName", NAME),
    "address": _set("PatientAddress", "{t.text} Street 1"),
    "telephone": _set("PatientTelephoneNumbers", "+45 {t.number}"),
    "patient comments": _set("PatientComments", "is {t.text}"),
    "additional history": _set("AdditionalPatientHistory"),
    "occupation": _set("Occupation"),
    "military rank": _set("MilitaryRank"),
    "medical alerts": _set("MedicalAlerts"),
    "accession number": _set("AccessionNumber"),
    "study id": _set("StudyID"),
    "admission id": _set("AdmissionID"),
    "study description": _set("StudyDescription"),
    "series description": _set("SeriesDescription"),
    "protocol name": _set("ProtocolName"),
    "requested procedure": _set("RequestedProcedureDescription"),
    "requesting physician": _set("RequestingPhysician", NAME),
    "referring physician": _set("ReferringPhysicianName", NAME),
    "operators, second": _set("OperatorsName", "A^B\\{t.name}"),
    "physicians of record": _set("PhysiciansOfRecord", NAME),
    "institution": _set("InstitutionName"),
    "department": _set("InstitutionalDepartmentName"),
    "station": _set("StationName"),
    "device serial number": _set("DeviceSerialNumber"),
    "image comments": _set("ImageComments"),
    "acquisition date and time": _add(0x0008002A, "DT", "{t.date}101112.123+0100"),
    "date of secondary capture": _set("DateOfSecondaryCapture", "{t.date}"),
    "scheduled station title": _add(0x00400001, "AE"),
}
_UNNAMED = {
    "unnamed person": _add(0x40080119, "PN", NAME),
    "unnamed evaluator": _add(0x00142002, "PN", NAME),
    "unnamed long text": _set("DetectorDescription"),
    "unnamed window explanation": _add(0x00281055, "LO"),
    "unnamed partial view": _set("PartialViewDescription"),
    "unnamed url": _set("RetrieveURL", "http://{t.text}"),
    "calibration date": _add(0x00181200, "DA", "{t.date}"),
    "unknown public tag": _add(0x00189FF2, "LO"),
    "unknown binary tag": _add(0x00189FF2, "OB"),
}
_WRONG = {
    "text as a coded string": lambda ds, t: raw(ds, 0x00180022, "LO", t.text),
    "lower case in a coded string": lambda ds, t: raw(ds, 0x00180022, "CS", t.text),
    "text as a number": lambda ds, t: ds.add_new(0x00280106, "LO", t.text),
    "text in a number of one value": lambda ds, t: ds.add_new(
        0x00280106, "US", list(struct.unpack("<5H", t.text.encode()))
    ),
    "text of unknown VR for numbers": lambda ds, t: raw(ds, 0x00280009, "UN", f"{t.text}.."),
    "capitals in a coded string": lambda ds, t: raw(ds, 0x00180022, "CS", t.text.upper()),
    "words in a decimal": lambda ds, t: raw(ds, 0x00180088, "DS", t.text),
    "words in an integer": lambda ds, t: raw(ds, 0x00200012, "IS", t.text),
    "words in a UID": lambda ds, t: raw(ds, 0x00200052, "UI", f"1.2.{t.text}"),
    "words behind the zero of a UID": lambda ds, t: raw(ds, 0x00200052, "UI", f"1.2\0{t.text}"),
    "words in a date": lambda ds, t: raw(ds, 0x00080022, "DA", t.text),
    "words in an age": lambda ds, t: raw(ds, 0x00101010, "AS", t.text),
}
_CODES = {
    "code of a private scheme": lambda ds, t: sequence(
        ds, "AnatomicRegionSequence", code(t.text, "99LOCAL", t.text)
    ),
    "meaning of a published code": lambda ds, t: sequence(
        ds, "AnatomicRegionSequence", code("12738006", "SCT", f"Brain of {t.text}")
    ),
    "unknown code of a published scheme": lambda ds, t: sequence(
        ds, "AnatomicRegionSequence", code(t.text, "SCT", t.text)
    ),
    "unit that is a word": lambda ds, t: sequence(
        ds, "MeasurementUnitsCodeSequence", code(t.text[:8], "UCUM", t.text)
    ),
    "version of a coding scheme": lambda ds, t: (
        sequence(ds, "AnatomicRegionSequence", code("12738006", "SCT", "Brain")),
        setattr(ds.AnatomicRegionSequence[0], "CodingSchemeVersion", t.text[:8]),
    ),
    "performer's code": lambda ds, t: sequence(
        ds,
        "PerformingPhysicianIdentificationSequence",
        item(0x00401101, "SQ", [code(t.text, "99X", t.text)]),
    ),
}
_NESTED = {
    "request attributes": lambda ds, t: sequence(
        ds, "RequestAttributesSequence", item(0x00400007, "LO", t.text)
    ),
    "other patient ids sequence": lambda ds, t: sequence(
        ds, "OtherPatientIDsSequence", item(0x00100020, "LO", t.text)
    ),
    "original attributes": lambda ds, t: sequence(
        ds, "OriginalAttributesSequence", item(0x04000564, "LO", t.text)
    ),
    "name three deep": lambda ds, t: add_nested(ds, item(0x00100010, "PN", t.name), 3),
    "name thirty deep": lambda ds, t: add_nested(ds, item(0x00100010, "PN", t.name), 30),
    "comment three deep": lambda ds, t: add_nested(ds, item(0x00204000, "LT", t.text), 3),
    "birth date three deep": lambda ds, t: add_nested(ds, item(0x00100030, "DA", t.date), 3),
    "unnamed text three deep": lambda ds, t: add_nested(ds, item(0x00281055, "LO", t.text), 3),
    "pixels three deep": lambda ds, t: add_nested(ds, item(0x7FE00010, "OB", t.text.encode()), 3),
    "sequence of unknown VR": lambda ds, t: unknown_sequence(ds, t.name),
    "icon": lambda ds, t: ds.add_new(0x00880200, "SQ", [item(0x7FE00010, "OB", t.text.encode())]),
    "digital signature": lambda ds, t: ds.add_new(
        0xFFFAFFFA, "SQ", [item(0x04000120, "OB", t.text.encode())]
    ),
}
_PRIVATE = {
    "private text": lambda ds, t: private(ds, "ACME 1", "LO", t.text),
    "private creator": lambda ds, t: private(ds, t.text, "LO", "x"),
    "private group nested": lambda ds, t: add_nested(
        ds, private(pydicom.Dataset(), "ACME", "LO", t.text), 3
    ),
    "private sequence": lambda ds, t: private(ds, "A", "SQ", [item(0x00100010, "PN", t.name)]),
    "private blob in UTF-16": lambda ds, t: private(ds, "ACME", "OB", t.text.encode("utf-16-le")),
    "private blob in UTF-16, big endian": lambda ds, t: private(
        ds, "ACME", "UN", t.text.encode("utf-16-be")
    ),
    "private blob in base64": lambda ds, t: private(
        ds, "ACME", "OB", base64.b64encode(t.text.encode())
    ),
    "Siemens CSA header": lambda ds, t: private(ds, "SIEMENS CSA HEADER", "OB", csa_blob(t.text)),
    "Siemens protocol in text": lambda ds, t: private(
        ds, "SIEMENS MR HEADER", "UN", f'### ASCCONV BEGIN ###\ntName = "{t.text}"\n'.encode()
    ),
    "GE protocol block": lambda ds, t: private(ds, "GEMS_SERS_01", "OB", t.text.encode()),
    "Philips private text": lambda ds, t: private(ds, "Philips Imaging DD 001", "LO", t.text),
    "Toshiba private name": lambda ds, t: private(ds, "TOSHIBA_MEC_CT3", "PN", t.name),
    "Agfa private date": lambda ds, t: private(ds, "AGFA PACS Archive Mirroring", "DA", t.date),
    "private element without creator": _add(0x00310011, "LO"),
    "safe private number that is text": lambda ds, t: (
        ds.add_new(0x00190010, "LO", "SIEMENS MR HEADER"),
        raw(ds, 0x0019100C, "IS", t.text),
    ),
}
_UIDS = {
    "nested reference": lambda ds, t: sequence(
        ds, "ReferencedImageSequence", item(0x00081155, "UI", t.uid)
    ),
    "unnamed uid": _add(0x0008010C, "UI", "{t.uid}"),
    "colour profile": lambda ds, t: ds.add_new(
        0x00282000, "OB", bytes(128) + b"desc" + t.text.encode().ljust(20, b"\0")
    ),
    "instance creator uid": _set("InstanceCreatorUID", "{t.uid}"),
    "frame of reference": _set("FrameOfReferenceUID", "{t.uid}"),
    "fake registered uid": _add(0x00081150, "UI", "1.2.840.10008.{t.number}"),
    "uid in text": _set("SeriesDescription", "copy of {t.uid}"),
    "file name in text": _set("ImageComments", "D:\\{t.text}\\{t.uid}.dcm"),
}
_GRAPHICS = {
    "overlay data": _add(0x60003000, "OB"),
    "overlay label": _add(0x60001500, "LO"),
    "overlay comments, third plane": _add(0x60044000, "LT"),
    "curve description": _add(0x50000022, "LO"),
    "curve data": _add(0x50003000, "OB"),
    "graphic annotation in an image": lambda ds, t: ds.add_new(
        0x00700001, "SQ", [item(0x00700006, "ST", t.text)]
    ),
}
_OBJECTS: dict[str, tuple[Callable[[Stack], Dataset], Callable[[Dataset, Token], object]]] = {
    "text object of a presentation state": (
        presentation,
        lambda ds, t: setattr(
            ds.GraphicAnnotationSequence[0].TextObjectSequence[0], "UnformattedTextValue", t.text
        ),
    ),
    "layer of a presentation state": (
        presentation,
        lambda ds, t: setattr(ds.GraphicLayerSequence[0], "GraphicLayerDescription", t.text),
    ),
    "creator of a presentation state": (presentation, _set("ContentCreatorName", NAME)),
    "label of a presentation state": (presentation, _set("ContentDescription")),
    "SR text": (report, lambda ds, t: content_item(ds, "TEXT", "TextValue", t.text)),
    "SR person": (report, lambda ds, t: content_item(ds, "PNAME", "PersonName", t.name)),
    "SR date": (report, lambda ds, t: content_item(ds, "DATE", "Date", t.date)),
    "SR uid": (report, lambda ds, t: content_item(ds, "UIDREF", "UID", t.uid)),
    "SR text three deep": (
        report,
        lambda ds, t: content_item(ds, "TEXT", "TextValue", t.text, depth=3),
    ),
    "SR verifying observer": (
        report,
        lambda ds, t: sequence(ds, "VerifyingObserverSequence", item(0x0040A075, "PN", t.name)),
    ),
    "SR code": (
        report,
        lambda ds, t: content_item(
            ds, "CODE", "ConceptCodeSequence", [code(t.text, "99X", t.text)]
        ),
    ),
    "structure's name": (
        rt_structures,
        lambda ds, t: setattr(ds.StructureSetROISequence[0], "ROIName", t.text),
    ),
    "structure set label": (rt_structures, _set("StructureSetLabel")),
    "segment's label": (
        segmentation,
        lambda ds, t: setattr(ds.SegmentSequence[0], "SegmentLabel", t.text),
    ),
    "segment's tracking id": (
        segmentation,
        lambda ds, t: setattr(ds.SegmentSequence[0], "TrackingID", t.text),
    ),
}
_KEPT = {
    "name in the model's name": ("PatientName", "{t.name}", "unit of {t.text}"),
    "id in the software version": ("PatientID", "{t.number}", "x-{t.number}-x"),
    "birth date, ISO": ("PatientBirthDate", "{t.date}", "{y}-{m}-{d}"),
    "birth date, Danish": ("PatientBirthDate", "{t.date}", "born {d}.{m}.{y}"),
    "birth date, American": ("PatientBirthDate", "{t.date}", "born {m}/{d}/{y}"),
    "birth date, month in letters": (
        "PatientBirthDate",
        "{t.date}",
        "born {d} {month} {y}",
    ),
    "birth date, slashes": ("PatientBirthDate", "{t.date}", "born {y}/{m}/{d}"),
    "telephone in another spelling": (
        "PatientTelephoneNumbers",
        "+45 {t.number}",
        "call {n[0]}{n[1]} {n[2]}{n[3]} {n[4]}{n[5]} {n[6]}{n[7]}",
    ),
    "study uid in text": ("StudyInstanceUID", "{t.uid}", "of {t.uid}"),
}
"""Attribute, its value, and what of it stands in Software Versions, which is kept."""


_SCRIPTS: dict[str, tuple[str | list[str], str, tuple[str, ...]]] = {
    "Latin-1": ("ISO_IR 100", "Bøgh^Åse Æbelø", ("Bøgh", "Æbelø")),
    "Latin-2": ("ISO_IR 101", "Łękołódź^Żółć", ("Łękołódź",)),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг^Щука", ("Люкceмбypг", "Щука")),
    "Greek": ("ISO_IR 126", "Διονυσιος^Ψαρας", ("Διονυσιος", "Ψαρας")),
    "Arabic": ("ISO_IR 127", "قباني^لنزار", ("قباني", "لنزار")),
    "Hebrew": ("ISO_IR 138", "שרון^דבורה", ("שרון", "דבורה")),
    "Thai": ("ISO_IR 166", "สมชาย^ใจดีมาก", ("สมชาย", "ใจดีมาก")),
    "Japanese, single byte": ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳｽｹ", ("ﾔﾏﾀﾞ", "ﾀﾛｳｽｹ")),
    "Japanese, ISO 2022 IR 87": (
        ["", "ISO 2022 IR 87"],
        "Yamadax^Tarou=山田^太郎=やまだ^たろう",
        ("山田", "太郎", "たろう"),
    ),
    "Korean, ISO 2022 IR 149": (
        ["", "ISO 2022 IR 149"],
        "Hongx^Gildong=洪^吉洞=홍^길동",
        ("吉洞", "길동"),
    ),
    "Chinese, ISO 2022 IR 58": (
        ["", "ISO 2022 IR 58"],
        "Zhangx^XiaoDong=张^小东",
        ("张^小东", "小东"),
    ),
    "GB18030": ("GB18030", "Wangx^XiaoBei=王^小北", ("王^小北", "小北")),
    "GBK": ("GBK", "Wangx^XiaoNan=王^小南", ("王^小南", "小南")),
    "UTF-8": ("ISO_IR 192", "Çelikoğlu^Şűň", ("Çelikoğlu",)),
}


def _write(characters: str | list[str], name: str) -> Callable[[Dataset, Token], None]:
    def plant(ds: Dataset, _: Token) -> None:
        ds.SpecificCharacterSet = characters
        ds.PatientName = ds.OperatorsName = ds.PatientComments = name

    return plant


def _keep(keyword: str, value: str, text: str) -> Callable[[Dataset, Token], None]:
    def plant(ds: Dataset, token: Token) -> None:
        setattr(ds, keyword, token.fill(value))
        ds.SoftwareVersions = token.fill(text)

    return plant


def _nothing(_ds: Dataset, _token: Token) -> None:
    """Leave the dataset: the token goes into the bytes."""


def _places() -> dict[str, Place]:
    plain = {
        "standard": _STANDARD,
        "unnamed": _UNNAMED,
        "wrong VR": _WRONG,
        "codes": _CODES,
        "nested": _NESTED,
        "private": _PRIVATE,
        "UIDs": _UIDS,
        "graphics": _GRAPHICS,
    }
    return {
        **{k: Place(group=g, plant=p) for g, kinds in plain.items() for k, p in kinds.items()},
        **{
            kind: Place(group="objects", base=base, plant=plant)
            for kind, (base, plant) in _OBJECTS.items()
        },
        **{kind: Place(group="kept text", plant=_keep(*how)) for kind, how in _KEPT.items()},
        **{
            f"name in {kind}": Place(group="scripts", plant=_write(terms, name), words=words)
            for kind, (terms, name, words) in _SCRIPTS.items()
        },
        **_container(),
        "name in a script that is not declared": Place(
            group="scripts",
            plant=_write("ISO_IR 100", "Bøghlund^Æbelø"),
            words=("Bøghlund", "Æbelø"),
            finish=lambda content, _: content.replace(b"\x08\0\x05\0CS\x0a\0ISO_IR 100", b""),
        ),
        "a tag that stands twice": Place(
            group="wrong VR", plant=_nothing, finish=lambda content, t: twice(content, t.text)
        ),
    }


def _container() -> dict[str, Place]:
    by_bytes: dict[str, Callable[[bytes, Token], bytes]] = {
        "preamble": lambda content, t: t.text.encode().ljust(128) + content[128:],
        "preamble like a TIFF": lambda content, t: (
            (b"II*\0\x08\0\0\0" + t.text.encode()).ljust(128, b"\0") + content[128:]
        ),
        "behind the last element": lambda content, t: content + t.text.encode() * 3,
        "padding behind the pixels": lambda content, t: (
            content + b"\xfc\xff\xfc\xffOB\0\0\x0a\0\0\0" + t.text.encode()
        ),
        "command group": lambda content, t: content.replace(
            b"\x08\0\x05\0CS",
            b"\0\0\0\x06AE\x0a\0" + t.text.encode() + b"\x08\0\x05\0CS",
            1,
        ),
        "zeros, then a text": lambda content, t: content + bytes(16) + t.text.encode(),
        "in the pixel data behind the last pixel": lambda content, t: behind_pixels(
            content, t.text
        ),
    }
    meta = {
        "sending application": (0x00020017, "AE", "{t.text}"),
        "source application": (0x00020016, "AE", "{t.text}"),
        "private file meta": (0x00020102, "OB", "{t.text}"),
        "implementation version": (0x00020013, "SH", "{t.text}"),
    }
    syntaxes = {
        "name, implicit little endian": ImplicitVRLittleEndian,
        "name, big endian": ExplicitVRBigEndian,
        "name, deflated": DeflatedExplicitVRLittleEndian,
    }
    return {
        **{k: Place(group="file", plant=_nothing, finish=how) for k, how in by_bytes.items()},
        **{
            k: Place(group="file", plant=lambda ds, t, how=how: in_file_meta(ds, how, t.fill))
            for k, how in meta.items()
        },
        **{
            kind: Place(group="file", plant=_set("PatientName", NAME), syntax=syntax)
            for kind, syntax in syntaxes.items()
        },
        "comment in a JPEG": Place(group="file", plant=lambda ds, t: jpeg_with_comment(ds, t.text)),
    }


PLACES = _places()


def planted() -> list[Planted]:
    """Return one file for each kind of place; no two share a patient, a study or a UID."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            _planted(kind, place, number) for number, (kind, place) in enumerate(PLACES.items())
        ]


def _planted(kind: str, place: Place, number: int) -> Planted:
    root = f"1.2.826.0.1.3680043.10.1561.4.{number}"
    patient = Patient(patient_id=f"P{number}", study_instance_uid=f"{root}.1", uid_root=f"{root}.2")
    stack, token = Stack(patient=patient, modality="CT"), Token(kind)
    ds = place.base(stack) if place.base else image(stack)
    place.plant(ds, token)
    content = place.finish(_file(ds, place.syntax), token)
    return Planted(
        kind=kind, group=place.group, content=content, secrets=_secrets(token, place.words)
    )


def image(stack: Stack) -> Dataset:
    """Return a small CT slice."""
    return make_slice(stack, np.arange(64, dtype=np.int16).reshape(8, 8), 0)


def _file(ds: Dataset, syntax: str) -> bytes:
    if syntax:
        ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = np.frombuffer(ds.PixelData, "<i2").byteswap().tobytes()
        ds["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def _secrets(token: Token, words: tuple[str, ...]) -> frozenset[bytes]:
    """Return a token in every form and encoding, in lower case."""
    day = (
        "{y}{m}{d}",
        "{y}-{m}-{d}",
        "{d}.{m}.{y}",
        "{m}/{d}/{y}",
        "{y}/{m}/{d}",
        "{d}{m}{y}",
        "{d} {month} {y}",
    )
    phone = "{n[0]}{n[1]} {n[2]}{n[3]} {n[4]}{n[5]} {n[6]}{n[7]}"
    forms = words or (token.text, token.text[:8], token.number, *map(token.fill, (*day, phone)))
    encoded = {
        form.encode(codec, "ignore").lower()
        for word in forms
        for form in (word, word.lower(), word.upper())
        for codec in CODECS
    }
    encoded.add(base64.b64encode(token.text.encode()).lower())
    return frozenset(secret for secret in encoded if len(secret) >= 4)
