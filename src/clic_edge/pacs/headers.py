"""What delivery and archives read of a DICOM file themselves."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from io import BytesIO
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue

from clic_edge.dicom.excerpt import excerpt
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

    from clic_edge.dicom.part10 import Encoding
    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.study import SeriesSummary

IDENTITY = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "PatientID",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
)
# What pydicom raises for a file that ends early or holds nonsense.
UNREADABLE = (
    Defect,
    InvalidDicomError,
    BytesLengthException,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose instance it is and which; absent attributes are empty."""

    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)
    modality: str
    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    study_instance_uid: str = field(repr=False)
    series_instance_uid: str = field(repr=False)


def read_header(source: bytes | Path, keywords: Sequence[str]) -> Dataset | None:
    """Return the attributes named, decoded by Specific Character Set; None where unreadable.

    Of a sequence only the first item is there. `source` may be cut off behind its header.
    """
    tags = frozenset(filter(None, map(tag_for_keyword, keywords)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        try:
            found, layout = _excerpt(source, tags)
            stream = BytesIO(found)
            header = read_dataset(stream, not layout.explicit, layout.little)
            for tag in list(header.keys()):
                _convert(header, tag)
        except UNREADABLE:
            return None
    return header


def _convert(header: Dataset, tag: BaseTag) -> None:
    """Decode an attribute; a number or a sequence that is none counts as absent."""
    try:
        element = header[tag]
        for item in element.value if element.VR == "SQ" else ():
            item.decode()
    except UNREADABLE:
        if dictionary_VR(tag) not in {"IS", "DS", "SQ"}:
            raise
        del header[tag]


def _excerpt(source: bytes | Path, tags: frozenset[int]) -> tuple[bytes, Encoding]:
    """Return the attributes named, and only these: of a file, pages are read as they are needed."""
    if isinstance(source, bytes):
        return excerpt(source, tags)
    with source.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return excerpt(content, tags)


def text(header: Dataset, keyword: str) -> str:
    """Return an attribute as text, values joined by a backslash; empty when absent."""
    value = header.get(keyword)
    if isinstance(value, MultiValue):
        return "\\".join(map(str, value))
    return "" if value is None else str(value)


def read_identity(source: bytes | Path) -> Identity | None:
    """Return whose instance the bytes or the file are; None when no readable DICOM instance."""
    header = read_header(source, IDENTITY)
    if header is None or not header.get("SOPInstanceUID"):
        return None
    return Identity(
        sop_class_uid=text(header, "SOPClassUID"),
        sop_instance_uid=text(header, "SOPInstanceUID"),
        modality=text(header, "Modality"),
        patient_id=text(header, "PatientID"),
        issuer_of_patient_id=text(header, "IssuerOfPatientID"),
        study_instance_uid=text(header, "StudyInstanceUID"),
        series_instance_uid=text(header, "SeriesInstanceUID"),
    )


def read_result(result: ResultObject) -> Dataset:
    """Return a result object as a dataset. Raises Defect ``unsendable-result``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        try:
            return dcmread(BytesIO(result.content))
        except UNREADABLE as error:
            raise Defect("unsendable-result", f"The {result.kind} cannot be read.") from error


def number(value: str) -> float | None:
    """Return the finite number that a DS or IS value holds, or None."""
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def by_number(series: SeriesSummary) -> tuple[bool, int, str]:
    """Return what to sort the series of a study by: number, then handle."""
    return series.series_number is None, series.series_number or 0, series.series_id
