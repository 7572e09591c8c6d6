"""SEAM writer: what turns a prediction into a DICOM object of the original study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.result import ResultObject
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
