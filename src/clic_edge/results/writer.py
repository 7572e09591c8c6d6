"""SEAM writer: what turns a prediction into a DICOM object of the original study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from clic_edge.domain.prediction import ModelIdentity, Prediction
    from clic_edge.domain.result import ResultObject, ResultReference, SeriesRefusal
    from clic_edge.domain.study import Series
    from clic_edge.domain.volume import SliceSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """All that a writer needs of one series: both sides of the identity meet here only."""

    case_id: str
    started_at: datetime
    series: Series
    slices: tuple[SliceSource, ...]
    """For each slice of `prediction.geometry`, where it came from in `series`."""
    prediction: Prediction
    language: str = "en"
    """Of code meanings and sentences for the reader: ``en`` or ``da`` (RFC 5646)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What became of a case, for its reader: all that its root SR (`results.summary`) tells."""

    case_id: str
    started_at: datetime
    series: Series
    """One of the case's series: its header says whose study it is."""
    pipeline_title: str
    model: ModelIdentity
    analyses: tuple[tuple[Prediction, tuple[ResultObject, ...]], ...]
    """For each series that was analysed, what was found and what was made of it."""
    refusals: tuple[SeriesRefusal, ...]
    """For each series that was not: why."""
    predecessors: tuple[ResultReference, ...] = ()
    """What the PACS holds of earlier, and this takes the place of."""
    language: str = "en"


class Writer(Protocol):
    """Makes result objects of one kind; the same analysis gives the same bytes."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the objects for one analysis; none where there is nothing of its kind to write.

        `earlier` are the objects already made for this analysis by the writers before: an SR
        refers to the SEG among them.

        Raises
        ------
        Defect
            The source lacks what the object needs, or the standard forbids what was asked.

        """
        ...
