"""Whose result it is: patient and study of the original, in a character set that holds any name."""

from __future__ import annotations

from pydicom import config
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import VR, PersonName, validate_value

from clic_edge.dicom.reading import translated
from clic_edge.errors import Defect

IDENTITY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyInstanceUID",
    "StudyID",
)
"""By these an archive files an object: copied as they are, even where the source bends a rule."""

CONTEXT = (
    "ReferringPhysicianName",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "LongitudinalTemporalInformationModified",
    "ProcedureCodeSequence",
    "IssuerOfPatientIDQualifiersSequence",
    "IssuerOfAccessionNumberSequence",
    "DeidentificationMethodCodeSequence",
)
"""Copied where valid."""

REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
"""Type 2 in every composite object (PS3.3 C.7.1.1, C.7.2.1): empty where the source has none."""

TEXT = {VR.PN, VR.LO, VR.SH, VR.LT, VR.ST, VR.UT, VR.UC}
"""What is written in a character set."""

CHINESE_DESIGNATOR = "\x1b$)A"
"""Of ISO 2022 IR 58 (PS3.5 6.1.2.5.1): pydicom decodes what follows it and leaves it in the text."""

ESCAPE = "\x1b"

SEXES = {"M", "F", "O"}


def identity_of(header: Dataset) -> Dataset:
    """Return the patient and study attributes of an original, every text decoded.

    Raises
    ------
    Defect
        ``undecodable-text``: a name or identifier isn't in the character set that the header
        declares; a guess could file the result under another patient.

    """
    identity = Dataset()
    unknown_set = _declares_unknown_set(header)
    for keyword in (one for one in IDENTITY + CONTEXT if one in header):
        try:
            with translated(
                "undecodable-text",
                f"{keyword} isn't in the character set that the image declares.",
            ):
                element = _decoded(header[keyword], unknown_set=unknown_set)
                if keyword in IDENTITY or _is_valid(element):
                    identity.add(element)
        except Defect:
            if keyword in IDENTITY:
                raise
    if identity.get("PatientSex") not in SEXES:
        identity.PatientSex = ""
    for keyword in REQUIRED:
        if keyword not in identity:
            setattr(identity, keyword, "")
    return identity


def _declares_unknown_set(header: Dataset) -> bool:
    declared = header.get("SpecificCharacterSet") or ""
    sets = [declared] if isinstance(declared, str) else declared
    return any(str(one) not in python_encoding for one in sets)


def _decoded(element: DataElement, *, unknown_set: bool) -> DataElement:
    """Return a copy whose text no longer depends on the source's character set.

    Raises UnicodeError where the bytes aren't in that set.
    """
    representation = dictionary_VR(element.tag)
    if representation == VR.SQ:
        items = [
            Dataset(
                {
                    inner.tag: _decoded(inner, unknown_set=unknown_set)
                    for inner in item
                    if inner.keyword not in {"", "SpecificCharacterSet"}
                }
            )
            for item in element.value
        ]
        return DataElement(element.tag, VR.SQ, items)
    if representation not in TEXT:
        return DataElement(element.tag, representation, element.value)
    values = element.value if isinstance(element.value, MultiValue) else [element.value or ""]
    texts = [str(value).replace(CHINESE_DESIGNATOR, "") for value in values]
    if any(
        "\ufffd" in text or ESCAPE in text or (unknown_set and not text.isascii()) for text in texts
    ):
        raise UnicodeError
    if representation == VR.PN:
        return DataElement(element.tag, VR.PN, [PersonName(text) for text in texts])
    return DataElement(element.tag, representation, texts)


def _is_valid(element: DataElement) -> bool:
    """Whether a value follows the rules of its representation (PS3.5 6.2), and a code is whole."""
    if element.VR == VR.SQ:
        codes = element.keyword.endswith("CodeSequence")
        return bool(element.value) and all(
            (_is_code(item) or not codes) and all(map(_is_valid, item)) for item in element.value
        )
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    try:
        for value in values:
            validate_value(element.VR, str(value or ""), config.RAISE)
    except (ValueError, TypeError):
        return False
    return True


def _is_code(item: Dataset) -> bool:
    """Whether an item has what a coded concept needs (PS3.3 8.8)."""
    return bool(
        item.get("CodeMeaning")
        and (item.get("CodeValue") or item.get("LongCodeValue"))
        and item.get("CodingSchemeDesignator")
    )
