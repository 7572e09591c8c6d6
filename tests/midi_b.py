"""A scorer after MIDI-B (Medical Image De-Identification Benchmark): ten actions, right or wrong.

The answer key is our own: patients made in code, with what must go, what must stay and what must
change. An instance that did not come out has every action wrong.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from factories import Patient, Stack, file_bytes, make_slice
from PIL import Image, ImageDraw, ImageFont
from planted_bases import content_item, item, private, report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset


class Action(StrEnum):
    """What a tool is asked to do with one value."""

    DATE_SHIFTED = "date_shifted"
    """Another day; all days of one patient by the same number of days."""
    PATID_CONSISTENT = "patid_consistent"
    """One new Patient ID for one patient, another for another."""
    PIXELS_HIDDEN = "pixels_hidden"
    PIXELS_RETAINED = "pixels_retained"
    TAG_RETAINED = "tag_retained"
    TEXT_NOTNULL = "text_notnull"
    TEXT_REMOVED = "text_removed"
    TEXT_RETAINED = "text_retained"
    UID_CHANGED = "uid_changed"
    UID_CONSISTENT = "uid_consistent"
    """One new UID for one UID, wherever it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One line of the answer key."""

    action: Action
    path: tuple[int, ...] = ()
    """Tags from the top; of each sequence the first item."""
    text: str = ""
    """What must go or stay."""
    area: NDArray[np.bool_] | None = field(default=None, repr=False)
    """The pixels that are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One instance of the key."""

    patient_id: str
    content: bytes = field(repr=False)
    questions: tuple[Question, ...]


Score = dict[Action, tuple[int, int]]
"""Right answers and questions, by action."""
GEOMETRY = (0x00200032, 0x00200037, 0x00280030, 0x00280010, 0x00281053, 0x00180050, 0x00200013)
_NAME, _ID, _ISSUER = 0x00100010, 0x00100020, 0x00100021
_STUDY, _SERIES, _INSTANCE, _FRAME = 0x0020000D, 0x0020000E, 0x00080018, 0x00200052
_STUDY_DATE, _SERIES_DATE, _ACQUIRED = 0x00080020, 0x00080021, 0x00080022
_DESCRIPTION, _SERIES_DESCRIPTION, _COMMENTS = 0x00081030, 0x0008103E, 0x00204000
_REFERENCED, _REFERENCED_UID = 0x00081140, 0x00081155


def answer_key(patients: int = 3) -> list[Asked]:
    """Return the instances and their questions: two CT studies, a report and a capture each."""
    key: list[Asked] = []
    for number in range(patients):
        for study in range(2):
            key += _study(number, study)
    return key


def _study(number: int, study: int) -> list[Asked]:
    root = f"1.2.826.0.1.3680043.10.1561.6.{number}.{study}"
    patient = Patient(
        name=f"Tuborgsen{'abc'[number % 3]}^Mette",
        patient_id=f"MIDI{number}4711",
        birth_date=f"19{50 + number}0713",
        accession_number=f"ACC{number}{study}88",
        study_instance_uid=f"{root}.1",
        uid_root=f"{root}.2",
    )
    stack = Stack(patient=patient, modality="CT", description="Abdomen 3.0 venous")
    made = [_slice(stack, index, study) for index in range(2)]
    return [*made, _report(stack, study), _capture(stack, study)]


def _common(ds: Dataset, study: int) -> tuple[Question, ...]:
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = f"2024{3 + study:02}17"
    ds.StudyDescription = f"CT ABDOMEN for {ds.PatientName.family_name}"
    gone = str(ds.PatientName.family_name)
    return (
        Question(action=Action.PATID_CONSISTENT, path=(_ID,)),
        *(Question(action=Action.UID_CHANGED, path=(tag,)) for tag in (_STUDY, _SERIES, _INSTANCE)),
        *(Question(action=Action.UID_CONSISTENT, path=(tag,)) for tag in (_STUDY, _SERIES)),
        *(Question(action=Action.DATE_SHIFTED, path=(tag,)) for tag in (_STUDY_DATE, _SERIES_DATE)),
        *(
            Question(action=Action.TEXT_REMOVED, path=(tag,), text=gone)
            for tag in (_NAME, _DESCRIPTION)
        ),
        Question(action=Action.TEXT_REMOVED, path=(_ID,), text=str(ds.PatientID)),
        Question(action=Action.TEXT_REMOVED, path=(0x00080050,), text=str(ds.AccessionNumber)),
        Question(action=Action.TEXT_REMOVED, path=(0x00100030,), text=str(ds.PatientBirthDate)),
        *(Question(action=Action.TEXT_NOTNULL, path=(tag,)) for tag in (_NAME, _ID, 0x00080060)),
        Question(action=Action.TEXT_RETAINED, path=(0x00080060,), text=str(ds.Modality)),
        Question(action=Action.TEXT_RETAINED, path=(_DESCRIPTION,), text="ABDOMEN"),
        Question(action=Action.TAG_RETAINED, path=(0x00100040,)),
    )


def _slice(stack: Stack, index: int, study: int) -> Asked:
    pixels = np.random.default_rng(index).integers(-1000, 1000, (32, 32)).astype(np.int16)
    ds = make_slice(stack, pixels, index)
    ds.BodyPartExamined = "ABDOMEN"
    questions = _common(ds, study)
    gone = str(ds.PatientName.family_name)
    ds.ImageComments = f"seen by {gone}"
    ds.RequestAttributesSequence = [item(0x00400007, "LO", f"abdomen of {gone}")]
    ds.ReferencedImageSequence = [item(_REFERENCED_UID, "UI", f"{ds.SeriesInstanceUID}.1")]
    private(ds, "ACME", "LO", gone)
    ds.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
    ds.add_new(0x0019100C, "IS", "800")
    return Asked(
        patient_id=stack.patient.patient_id,
        content=file_bytes(ds),
        questions=(
            *questions,
            Question(action=Action.DATE_SHIFTED, path=(_ACQUIRED,)),
            Question(action=Action.TEXT_REMOVED, path=(_COMMENTS,), text=gone),
            Question(action=Action.TEXT_REMOVED, path=(0x00400275, 0x00400007), text=gone),
            Question(action=Action.TEXT_REMOVED, path=(0x00291008,), text=gone),
            Question(action=Action.UID_CHANGED, path=(_REFERENCED, _REFERENCED_UID)),
            Question(action=Action.UID_CONSISTENT, path=(_REFERENCED, _REFERENCED_UID)),
            Question(action=Action.UID_CONSISTENT, path=(_FRAME,)),
            Question(action=Action.TEXT_RETAINED, path=(_SERIES_DESCRIPTION,), text="Abdomen"),
            Question(action=Action.TEXT_RETAINED, path=(0x00180015,), text="ABDOMEN"),
            Question(action=Action.TEXT_RETAINED, path=(0x0019100C,), text="800"),
            *(Question(action=Action.TAG_RETAINED, path=(tag,)) for tag in GEOMETRY),
            Question(action=Action.PIXELS_RETAINED, area=np.ones((32, 32), bool)),
        ),
    )


def _report(stack: Stack, study: int) -> Asked:
    ds = report(stack)
    ds.SeriesInstanceUID = f"{stack.patient.uid_root}.7"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SeriesInstanceUID}.1"
    questions = _common(ds, study)
    gone = str(ds.PatientName.family_name)
    content_item(ds, "TEXT", "TextValue", f"Liver of {gone} is normal.")
    path = (0x0040A730, 0x0040A160)
    return Asked(
        patient_id=stack.patient.patient_id,
        content=file_bytes(ds),
        questions=(
            *questions,
            Question(action=Action.TEXT_REMOVED, path=path, text=gone),
            Question(action=Action.TAG_RETAINED, path=(0x0040A043,)),
        ),
    )


def _capture(stack: Stack, study: int) -> Asked:
    grey = np.zeros((256, 256), np.uint8)
    rows, columns = np.ogrid[:256, :256]
    body = (rows - 150) ** 2 + (columns - 128) ** 2 < 80**2
    grey[body] = (90 + 40 * np.sin(rows / 17) * np.cos(columns / 23)).astype(np.uint8)[body]
    written = _letters(f"{stack.patient.name[:10]}  {stack.patient.patient_id}")
    grey[written] = 255
    ds = make_slice(stack, grey.astype(np.int16), 0)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.Modality, ds.ConversionType = "OT", "WSD"
    ds.SeriesInstanceUID = f"{stack.patient.uid_root}.8"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SeriesInstanceUID}.1"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = grey.tobytes()
    ds["PixelData"].VR = "OB"
    return Asked(
        patient_id=stack.patient.patient_id,
        content=(questions := _common(ds, study)) and file_bytes(ds),
        questions=(
            *questions,
            Question(action=Action.PIXELS_HIDDEN, area=written),
            Question(action=Action.PIXELS_RETAINED, area=body & ~written),
        ),
    )


def _letters(text: str) -> NDArray[np.bool_]:
    canvas = Image.new("L", (256, 256))
    ImageDraw.Draw(canvas).text((8, 8), text, fill=255, font=ImageFont.load_default(16))
    return np.asarray(canvas) > 127


def score(key: Sequence[Asked], outputs: Sequence[bytes | None]) -> Score:
    """Return how many questions of each action have the right answer."""
    sources = [pydicom.dcmread(io.BytesIO(asked.content)) for asked in key]
    cleaned = [pydicom.dcmread(io.BytesIO(out)) if out else None for out in outputs]
    judge = _Judge(key, sources, cleaned)
    right: Counter[Action] = Counter()
    asked_for: Counter[Action] = Counter()
    for asked, source, clean in zip(key, sources, cleaned, strict=True):
        for question in asked.questions:
            asked_for[question.action] += 1
            right[question.action] += bool(clean) and judge.is_right(question, source, clean)
    return {action: (right[action], asked_for[action]) for action in Action}


class _Judge:
    """Knows what became of each patient, UID and date over all instances."""

    def __init__(
        self, key: Sequence[Asked], sources: Sequence[Dataset], cleaned: Sequence[Dataset | None]
    ) -> None:
        self._uids: defaultdict[str, set[str]] = defaultdict(set)
        self._ids: defaultdict[str, set[str]] = defaultdict(set)
        self._days: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for asked, source, clean in zip(key, sources, cleaned, strict=True):
            if clean is None:
                continue
            self._ids[asked.patient_id].add(_text(clean, (_ID,)))
            for question in asked.questions:
                before, after = _text(source, question.path), _text(clean, question.path)
                if question.action in {Action.UID_CHANGED, Action.UID_CONSISTENT}:
                    self._uids[before].add(after)
                if question.action is Action.DATE_SHIFTED and (days := _days(before, after)):
                    self._days[asked.patient_id][days] += 1

    def is_right(self, question: Question, source: Dataset, clean: Dataset) -> bool:
        """Whether one question has the right answer."""
        before, after = _text(source, question.path), _text(clean, question.path)
        patient = str(source.PatientID)
        answers: Mapping[Action, bool] = {
            Action.DATE_SHIFTED: _days(before, after) in self._usual_shift(patient),
            Action.PATID_CONSISTENT: self._is_one_patient(patient, after),
            Action.TAG_RETAINED: _element(clean, question.path) is not None,
            Action.TEXT_NOTNULL: bool(after.strip()),
            Action.TEXT_REMOVED: question.text.casefold() not in after.casefold(),
            Action.TEXT_RETAINED: question.text.casefold() in after.casefold(),
            Action.UID_CHANGED: bool(after) and after != before,
            Action.UID_CONSISTENT: bool(after) and len(self._uids[before]) == 1,
        }
        if question.area is None:
            return answers[question.action]
        old, new = source.pixel_array[question.area], clean.pixel_array[question.area]
        if question.action is Action.PIXELS_HIDDEN:
            return bool((old == new).mean() < 0.01)
        return bool((old == new).mean() > 0.99)

    def _usual_shift(self, patient: str) -> set[int]:
        return {days for days, _ in self._days[patient].most_common(1)}

    def _is_one_patient(self, patient: str, after: str) -> bool:
        others = {new for old, ids in self._ids.items() if old != patient for new in ids}
        return self._ids[patient] == {after} and after not in others | {"", patient}


def _element(ds: Dataset, path: Sequence[int]) -> pydicom.DataElement | None:
    for tag in path[:-1]:
        if tag not in ds or not ds[tag].value:
            return None
        ds = ds[tag].value[0]
    return ds[path[-1]] if path and path[-1] in ds else None


def _text(ds: Dataset, path: Sequence[int]) -> str:
    element = _element(ds, path)
    return "" if element is None or element.value is None else str(element.value)


def _days(before: str, after: str) -> int:
    """Return by how many days a date has moved; 0 where one of the two is none."""
    try:
        one, other = (
            datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) for day in (before, after)
        )
    except ValueError:
        return 0
    return (other - one).days
