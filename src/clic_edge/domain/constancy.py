"""Constancy: does a model still say of the same phantoms what it said when it was commissioned?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime  # noqa: TC003 - pydantic reads the annotations
from enum import StrEnum

from pydantic import TypeAdapter

PHANTOM_AE_TITLE = "CLICEDGE-QA"
"""As which the appliance sends phantoms to itself."""
RESERVED_PATIENT = "CLICEDGE-QA-"
"""How the Patient ID of every constancy study begins, and that of no patient may."""
CONSTANCY_MARK = "qa:"
"""How the pipeline's name of a constancy case begins, and no clinical one's can."""


def constancy_pipeline(pipeline: str, model_digest: str) -> str:
    """Return the pipeline's name that a constancy case bears: no clinical one can be called so."""
    return f"{CONSTANCY_MARK}{model_digest[:12]}:{pipeline}"


def is_constancy(pipeline: str) -> bool:
    """Whether a case with this pipeline's name is one of constancy, and no patient's."""
    return pipeline.startswith(CONSTANCY_MARK)


def clinical_name(pipeline: str) -> tuple[str, str]:
    """Return of a constancy case's pipeline the clinical one's name, and how the digest begins."""
    digest, _, name = pipeline.removeprefix(CONSTANCY_MARK).partition(":")
    return name, digest


class Verdict(StrEnum):
    """What a run of a constancy set says."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    """It did not come to its end, so nothing is known: the worker was killed, the archive away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One thing that a result may depend on: the driver, a library, the processor."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number of a case's result objects."""

    name: str
    """Segment or category, then what was measured; unique within the case."""
    value: float
    unit: str
    """UCUM; ``1`` of a probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The voxels of one segment as a result object draws it."""

    name: str
    size: tuple[int, int]
    """Rows and columns of a frame."""
    places: tuple[str, ...]
    """Where each frame lies, sorted; one without voxels may be left out by the writer."""
    digest: str
    """SHA-256 over places and voxels."""
    packed: str = field(repr=False)
    """The voxels frame by frame, eight to a byte, compressed (zlib), in base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the chain made of one constancy case, as its destination got it."""

    case: str
    """Its name in the protocol."""
    state: str
    """As `CaseState`."""
    code: str
    """Why it was refused; empty where it was not."""
    objects: tuple[str, ...]
    """The kinds of the result objects, sorted."""
    measured: tuple[Measured, ...]
    outlines: tuple[Outline, ...]
    device: str
    """Where the model ran; empty where it did not."""
    seconds: float
    """From the first C-STORE to the last object read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The commissioning record: what a model said of a protocol when a person accepted it; sealed."""

    protocol: str
    version: int
    protocol_digest: str
    """SHA-256 of the protocol's file."""
    pipeline: str
    model_id: str
    model_version: str
    model_digest: str
    at: datetime
    person: str
    device: str
    """``cpu`` is compared exactly."""
    environment: tuple[Component, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def content(self) -> bytes:
        """Everything that is sealed, as JSON: the same record has the same bytes."""
        return _RECORD.dump_json(self)

    @property
    def digest(self) -> str:
        """SHA-256 over the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def record_id(self) -> str:
        """Short and unique."""
        return self.digest[:16]

    @classmethod
    def from_content(cls, content: bytes) -> Record:
        """Return the record that `content` was made of."""
        return _RECORD.validate_json(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One quantity of one case, held against what is expected."""

    case: str
    quantity: str
    unit: str = ""
    value: float | None = None
    expected: float | None = None
    """None where nothing is expected: it is only kept, as the seconds are."""
    tolerance: float | None = None
    """How far it may be from that, in the same unit; None where it is not judged."""
    said: str = ""
    """In words, where it is no number."""
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a constancy set."""

    run_id: str
    protocol: str
    version: int
    pipeline: str
    model_id: str
    model_version: str
    model_digest: str
    record_id: str | None
    """What it was compared with; None of the run that makes the record."""
    started_at: datetime
    started_by: str
    """A person, or `SCHEDULE`."""
    ended_at: datetime | None = None
    verdict: Verdict = Verdict.RUNNING
    reason: str = ""
    """What failed, in a sentence; empty where it passed."""
    environment: tuple[Component, ...] = ()


SCHEDULE = "schedule"
"""Who starts the nightly run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A constancy study that is about to be sent; what nobody announced is not let in."""

    study_id: str
    """The archive's handle."""
    run_id: str
    case: str
    """Its name in the protocol."""
    pipeline: str
    """As `constancy_pipeline` names it."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of the calendar."""

    day: date
    """In UTC."""
    verdict: Verdict
    """The worst of its runs."""
    runs: tuple[str, ...]
    """Their ids, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One value of a quantity, for a Levey-Jennings chart."""

    at: datetime
    run_id: str
    value: float
    expected: float | None
    tolerance: float | None
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReport:
    """An acceptance report as the list shows it; `ConstancyStore.report` returns its files."""

    report_id: str
    at: datetime
    pipeline: str
    model_id: str
    version: str
    digest: str
    person: str
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFiles:
    """An acceptance report's two files."""

    json: str = field(repr=False)
    pdf: bytes = field(repr=False)


_RECORD = TypeAdapter(Record)
