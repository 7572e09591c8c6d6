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
    link: str = ""
    """Where the reader accepts, modifies or rejects the result; empty where no page is reached."""
    edition: int = 0
    """Rejection notes of the case's earlier runs: what one may name is not said again under its UID."""
    alarm_since: datetime | None = None
    """Since when an alarm on the model stood open that nobody had acknowledged; None without one.
    The same at every run of the case."""

    @property
    def model(self) -> ModelIdentity:
        """Which model predicted."""
        return self.prediction.model

    @property
    def in_patient(self) -> bool:
        """Whether it is known where in the patient the grid lies."""
        return self.prediction.geometry.in_patient

    @property
    def image(self) -> int:
        """Position in the series, from 1, of the one image that was analysed; 0 for more of it."""
        return self.slices[0].instance_index + 1 if self.prediction.geometry.of_one_image else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStory:
    """What became of one series of a case, or one image of it: it was analysed, or refused."""

    series_number: int | None
    """By which a reader finds the series in a list."""
    image_number: int | None = None
    """Instance Number (0020,0013), else the position, where it is about one image of the series."""
    side: str = ""
    """``L``, ``R`` or ``B``, where it is about one image, and that says so."""
    prediction_id: str = ""
    """The prediction's name in the log."""
    prediction: Prediction | None = None
    results: tuple[ResultObject, ...] = ()
    refusal: SeriesRefusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What became of a case, for its reader: all that its root SR (`results.summary`) tells."""

    case_id: str
    started_at: datetime
    series: Series
    """One of the case's series: its header says whose study it is."""
    pipeline_title: str
    model: ModelIdentity
    parts: tuple[SeriesStory, ...]
    """One for each series of the case, or for each image of it."""
    predecessors: tuple[ResultReference, ...] = ()
    """What the PACS holds of earlier, and this takes the place of."""
    language: str = "en"
    link: str = ""
    """As an analysis has it."""
    edition: int = 0
    """As an analysis has it."""
    alarm_since: datetime | None = None
    """As an analysis has it."""

    @property
    def image(self) -> int:
        """No one image: it is of the whole case."""
        return 0

    @property
    def results(self) -> tuple[ResultObject, ...]:
        """Everything that was made of any series."""
        return tuple(result for part in self.parts for result in part.results)


class Told(Protocol):
    """What an object is written from: an `Analysis` or a `Story`."""

    @property
    def case_id(self) -> str:
        """The case that it belongs to."""
        ...

    @property
    def started_at(self) -> datetime:
        """Start of the analysis: Content Date and Time."""
        ...

    @property
    def series(self) -> Series:
        """Whose it is."""
        ...

    @property
    def model(self) -> ModelIdentity:
        """Which algorithm."""
        ...

    @property
    def image(self) -> int:
        """Position in the series of the one image that it is of; 0 for more than that."""
        ...

    @property
    def language(self) -> str:
        """Of code meanings and sentences."""
        ...

    @property
    def link(self) -> str:
        """Where the reader assesses it."""
        ...

    @property
    def edition(self) -> int:
        """Rejection notes of the case's earlier runs."""
        ...


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
