"""Whose result it is, which machine made it and when: the same in every object we write."""

from __future__ import annotations

import io
import warnings
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pydicom
from pydicom import config
from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import VR, PersonName, validate_value

import clic_edge
from clic_edge.dicom.uids import derive_uid
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from clic_edge.domain.prediction import ModelIdentity, SegmentDefinition
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis

MANUFACTURER = "clic-edge"
"""Manufacturer (0008,0070) of every object that we write; intake ignores what carries it."""

IDENTITY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyInstanceUID",
    "StudyID",
    "ReferringPhysicianName",
)
"""By these an archive files an object: copied as they are, even where the source bends a rule."""

CONTEXT = (
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

SEXES = {"M", "F", "O"}
SERIES_OFFSET = {ResultKind.SEG: 91, ResultKind.SR: 92}
LARGEST_SERIES_NUMBER = 9_999_999


def result_uid(analysis: Analysis, *what: str) -> str:
    """Return the UID of a part of the result; the same analysis has the same UIDs."""
    return derive_uid(
        analysis.case_id,
        analysis.series.series_instance_uid,
        analysis.prediction.model.digest,
        *what,
    )


def tracking_uid(analysis: Analysis, segment: SegmentDefinition) -> str:
    """Return the Tracking Unique Identifier (112040, DCM) of a segment, in SEG and SR."""
    return result_uid(analysis, "tracking", segment.name)


def tracking_id(analysis: Analysis, segment: SegmentDefinition) -> str:
    """Return the Tracking Identifier (112039, DCM) of a segment, in SEG and SR."""
    return f"{analysis.prediction.model.model_id} {segment.name}"


def device_uid(model: ModelIdentity) -> str:
    """Return the Device UID of the algorithm; another when it was trained anew (IHE AIR)."""
    return derive_uid("device", model.digest)


def identity_of(header: Dataset) -> Dataset:
    """Return the patient and study attributes of an original, every text decoded.

    Raises
    ------
    Defect
        ``undecodable-text``: a name or identifier isn't in the character set that the header
        declares; a guess could file the result under another patient.

    """
    identity = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        for keyword in IDENTITY + CONTEXT:
            if keyword in header:
                element = _decoded(header[keyword], unknown_set=_declares_unknown_set(header))
                if keyword in IDENTITY or _is_valid(element):
                    identity.add(element)
        if identity.get("PatientSex") not in SEXES:
            identity.PatientSex = ""
        for keyword in REQUIRED:
            if keyword not in identity:
                setattr(identity, keyword, "")
    return identity


def stamp(ds: Dataset, analysis: Analysis, source: Source, kind: ResultKind) -> None:
    """Set patient, study, series, equipment, dates and identifiers of one of our objects."""
    model = analysis.prediction.model
    when = _local(analysis.started_at, source.header)
    date, time = when.strftime("%Y%m%d"), when.strftime("%H%M%S.%f")
    ds.update(identity_of(source.header))
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPInstanceUID = result_uid(analysis, kind.value)
    ds.SeriesInstanceUID = result_uid(analysis, kind.value, "series")
    ds.SeriesNumber = _series_number(source.header, kind)
    ds.SeriesDescription = f"AI: {model.title}"[:64]
    ds.InstanceNumber = 1
    ds.InstanceCreationDate = ds.SeriesDate = ds.ContentDate = date
    ds.InstanceCreationTime = ds.SeriesTime = ds.ContentTime = time
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MANUFACTURER
    ds.SoftwareVersions = clic_edge.__version__
    ds.DeviceSerialNumber = model.digest[:16]
    ds.ContributingEquipmentSequence = [_algorithm_equipment(model, f"{date}{time}")]


def result_object(ds: Dataset, kind: ResultKind) -> ResultObject:
    """Return the dataset as a Part 10 file, explicit little endian, uncompressed."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return ResultObject(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        content=buffer.getvalue(),
    )


def _algorithm_equipment(model: ModelIdentity, when: str) -> Dataset:
    """Return the algorithm's item of Contributing Equipment (0018,A001), as IHE AIR asks."""
    purpose = Dataset()
    purpose.CodeValue = "109102"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer = model.manufacturer
    item.ManufacturerModelName = model.title
    item.SoftwareVersions = model.version
    item.DeviceUID = device_uid(model)
    item.ContributionDateTime = when
    item.ContributionDescription = "Algorithm that analysed the images"
    return item


def _local(moment: datetime, header: Dataset) -> datetime:
    """Return the moment on the clock of the original: its declared offset, or this machine's."""
    offset = str(header.get("TimezoneOffsetFromUTC", "")).strip()
    try:
        minutes = int(offset[:3]) * 60 + int(offset[0] + offset[3:5])
        return moment.astimezone(timezone(timedelta(minutes=minutes)))
    except (ValueError, IndexError):
        return moment.astimezone()


def _series_number(header: Dataset, kind: ResultKind) -> int:
    """Return a number that sorts behind the original's and is the same at each run."""
    try:
        number = int(header.get("SeriesNumber") or 0)
    except ValueError:
        number = 0
    return max(0, min(number, LARGEST_SERIES_NUMBER)) * 100 + SERIES_OFFSET[kind]


def _declares_unknown_set(header: Dataset) -> bool:
    declared = header.get("SpecificCharacterSet") or ""
    return any(
        str(one) not in python_encoding
        for one in ([declared] if isinstance(declared, str) else declared)
    )


def _decoded(element: DataElement, *, unknown_set: bool) -> DataElement:
    """Return a copy whose text no longer depends on the source's character set."""
    if element.VR == VR.SQ:
        items = [Dataset() for _ in element.value]
        for item, original in zip(items, element.value, strict=True):
            for inner in original:
                if inner.keyword != "SpecificCharacterSet":
                    item.add(_decoded(inner, unknown_set=unknown_set))
        return DataElement(element.tag, VR.SQ, items)
    if element.VR not in {VR.PN, VR.LO, VR.SH, VR.LT, VR.ST, VR.UT, VR.UC}:
        return DataElement(element.tag, element.VR, element.value)
    values = element.value if isinstance(element.value, MultiValue) else [element.value or ""]
    texts = [str(value) for value in values]
    for text in texts:
        if "\ufffd" in text or (unknown_set and not text.isascii()):
            raise Defect(
                "undecodable-text",
                f"The text of {element.tag} isn't in the character set that the image declares.",
            )
    if element.VR == VR.PN:
        return DataElement(element.tag, VR.PN, [PersonName(text) for text in texts])
    return DataElement(element.tag, element.VR, texts)


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
        and (
            (item.get("CodeValue") and item.get("CodingSchemeDesignator"))
            or (item.get("LongCodeValue") and item.get("CodingSchemeDesignator"))
            or item.get("URNCodeValue")
        )
    )
