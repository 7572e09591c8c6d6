"""Whose photographs they are: an entry of a worklist, or a form that a person filled in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.valuerep import validate_value

from clic_edge.dicom import part10
from clic_edge.dicom.reading import read_header
from clic_edge.errors import ConfigError, Defect

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

_UNREADABLE = (Defect, OSError, ValueError, AttributeError, EOFError)
_SEXES = {"", "M", "F", "O"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Whose photograph it is and what it was ordered as; an empty text is not known."""

    patient_id: str = ""
    patient_name: str = ""
    """``Family^Given``."""
    birth_date: str = ""
    """``YYYYMMDD``."""
    sex: str = ""
    """``M``, ``F`` or ``O``."""
    issuer: str = ""
    accession_number: str = ""
    referring_physician: str = ""
    study_description: str = ""
    study_id: str = ""
    study_instance_uid: str = ""
    """From a worklist; one that follows from patient, order and day where it is empty."""

    def require_valid(self) -> None:
        """Return where DICOM takes every value.

        Raises ConfigError ``order-incomplete`` without a patient, ``order-value``.
        """
        if not self.patient_id.strip():
            raise ConfigError(
                "order-incomplete", "Say whose photographs they are: a Patient ID is missing."
            )
        for name, value in asdict(self).items():
            if not is_valid(KEYWORDS[name], value):
                raise ConfigError("order-value", f"The order's {name} is not as DICOM wants it.")


KEYWORDS = {
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "issuer": "IssuerOfPatientID",
    "accession_number": "AccessionNumber",
    "referring_physician": "ReferringPhysicianName",
    "study_description": "StudyDescription",
    "study_id": "StudyID",
    "study_instance_uid": "StudyInstanceUID",
}
"""By which attribute each part of an order is known."""
_OF_WORKLIST = {
    **KEYWORDS,
    "study_description": "RequestedProcedureDescription",
    "study_id": "RequestedProcedureID",
}


def read_form(path: Path) -> Order:
    """Return the order in a JSON file whose keys are the names of an `Order`'s fields.

    Raises ConfigError ``order-unreadable`` or ``order-key``.
    """
    try:
        form = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("order-unreadable", f"{path} is no JSON file.") from error
    if not isinstance(form, dict) or not all(isinstance(value, str) for value in form.values()):
        raise ConfigError("order-unreadable", f"{path} is no form: texts by their names.")
    known = [one.name for one in fields(Order)]
    for key in form:
        if key not in known:
            (nearest,) = get_close_matches(key, known, n=1, cutoff=0)
            raise ConfigError("order-key", f"{path}: an unknown key; the nearest is '{nearest}'.")
    return Order(**form)


def read_worklist(path: Path) -> Order:
    """Return the order in an entry of a modality worklist (PS3.4 K.6.1.2), kept as a file.

    Raises ConfigError ``order-unreadable``.
    """
    try:
        content = path.read_bytes()
        part10.read(content)  # nobody has bounded it yet
        entry = read_header(content)
        entry.decode()
        return Order(**{name: _text(entry, key) for name, key in _OF_WORKLIST.items()})
    except _UNREADABLE as error:
        raise ConfigError("order-unreadable", f"{path} is no entry of a worklist.") from error


def _text(entry: Dataset, keyword: str) -> str:
    value = entry.get(keyword)
    return "" if value is None else str(value)


def is_valid(keyword: str, value: str) -> bool:
    """Return whether DICOM takes `value`, a single one, in this attribute."""
    if keyword == "PatientSex":
        return value in _SEXES
    try:
        validate_value(dictionary_VR(keyword), value, config.RAISE)
    except ValueError:
        return False
    return "\\" not in value and value.isprintable()
