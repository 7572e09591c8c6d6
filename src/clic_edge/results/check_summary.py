"""Read the objects that tell of a whole case back, and compare them with the story."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.dicom.reading import read_instance, translated
from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results.check import check_envelope
from clic_edge.results.summary import source_of
from clic_edge.results.wording import alarm_line, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Story

STATUS = {True: "111222", False: "111225"}
"""Succeeded, and Not Attempted, for one series."""
PARTIALLY = "111223"


def check_told(results: tuple[ResultObject, ...], story: Story) -> None:
    """Return when each object is of the right patient, and names exactly what it should.

    Raises
    ------
    Defect
        ``wrong-patient``, ``summary-differs`` or ``result-invalid``.

    """
    source = source_of(story)
    for result in results:
        ds = read_instance(result.content, "a result")
        with translated("result-invalid", f"The {result.kind} lacks what it must hold."):
            check_envelope(ds, story, source, result=result)
            named = {str(item.ReferencedSOPInstanceUID) for item in _references(ds)}
            if result.kind is ResultKind.SUMMARY:
                named.discard(str(source.header.SOPInstanceUID))
                _require(named == {one.sop_instance_uid for one in story.results})
                _require(_status(ds) == _expected_status(story))
                _require(
                    _alarms(ds, story.language) == alarm_line(story.alarm_since, story.language)
                )
            else:
                _require(named == {one.sop_instance_uid for one in story.predecessors})


def _require(holds: bool) -> None:  # noqa: FBT001 - the condition is the point
    if not holds:
        raise Defect("summary-differs", "What tells of the case isn't what became of it.")


def _references(ds: Dataset) -> Iterator[Dataset]:
    """Yield every reference of a content tree."""
    for item in ds.get("ContentSequence", []):
        yield from item.get("ReferencedSOPSequence", [])
        yield from _references(item)


def _status(ds: Dataset) -> str:
    (status,) = (one for one in _evaluations(ds) if _name(one) == "111065")
    return str(status.ConceptCodeSequence[0].CodeValue)


def _alarms(ds: Dataset, language: str) -> str:
    """Return what is said of alarms; empty where nothing is."""
    begins = say("alarm", language).partition("{")[0]
    texts = (str(one.get("TextValue", "")) for one in _evaluations(ds))
    return " ".join(text for text in texts if text.startswith(begins))


def _evaluations(ds: Dataset) -> list[Dataset]:
    (container,) = (one for one in ds.ContentSequence if _name(one) == "C0034375")
    return list(container.ContentSequence)


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _expected_status(story: Story) -> str:
    analysed = {part.prediction is not None for part in story.parts}
    return STATUS[analysed.pop()] if len(analysed) == 1 else PARTIALLY
