"""What the monitor looks at, what it compares with, and what it says. No identity in any of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from clic_edge.domain.feature import Feature

from datetime import date, datetime  # noqa: TC003 - pydantic reads the annotations


class Channel(StrEnum):
    """What a feature is about: an alarm says which of these moved."""

    ACQUISITION = "acquisition"
    """How the images were made, and of whom."""
    IMAGE = "image"
    """What the images look like."""
    OUTPUT = "output"
    """What the model found."""
    WHOLE = "whole"
    """How whole studies lie among those of the reference, all numbers together."""
    TIMING = "timing"
    """How long it took."""
    RATES = "rates"
    """How often series were refused, failed, or were overridden by readers."""
    READERS = "readers"
    """How far readers' own segments are from ours: ground truth, as far as there is one."""
    CONSTANCY = "constancy"
    """What the model says of the phantoms of its constancy set."""
    ACCOUNTING = "accounting"
    """Whether the ledger, the archive and the destinations agree: of no model."""


class Direction(StrEnum):
    """Where something moves to."""

    UP = "up"
    DOWN = "down"


class Severity(StrEnum):
    """How serious an alarm is."""

    ADVISORY = "advisory"
    """The reference is provisional: look, but do not act on this alone."""
    WARNING = "warning"
    """One point beyond the limit, or something never seen before."""
    ACTION = "action"
    """Beyond the limit for more than one point in a row."""


class Response(StrEnum):
    """What an alarm to act on does to the model, from the mildest."""

    WARN = "warn"
    SHADOW = "shadow"
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """What has a reference of its own: one make, model and software of scanner."""

    manufacturer: str = ""
    model_name: str = ""
    software_versions: str = ""

    def __str__(self) -> str:
        """For people."""
        parts = (self.manufacturer, self.model_name, self.software_versions)
        return " / ".join(part or "?" for part in parts) if any(parts) else "all scanners"


EVERY = Stratum()
"""All scanners together: rates, and what readers say, which are too few for one scanner each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known of one prediction, one refusal or one reader's word."""

    at: datetime
    stratum: Stratum
    features: tuple[Feature, ...]
    embedding: tuple[float, ...] = field(default=(), repr=False)
    """Of a model that names a layer; its numbers become the features ``embedding.N``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberColumn:
    """A feature's numbers, one for each observation of a reference; None where it had none."""

    name: str
    values: tuple[float | None, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordColumn:
    """A feature's words, one for each observation of a reference; empty where it had none."""

    name: str
    values: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """How a model behaved on one stratum when a person accepted it; never changed."""

    name: str
    version: int
    """From 1; the newest of a model and stratum is the one that is charted."""
    model_id: str
    model_version: str
    model_digest: str
    stratum: Stratum
    first_at: datetime
    last_at: datetime
    """Of the observations."""
    frozen_at: datetime
    frozen_by: str
    """A person's name."""
    calibrated: bool
    """Whether the person accepts the model's probabilities as calibrated."""
    observations: int
    numbers: tuple[NumberColumn, ...] = field(repr=False)
    words: tuple[WordColumn, ...] = field(repr=False)

    @property
    def content(self) -> bytes:
        """Everything that is sealed, as JSON: the same reference has the same bytes."""
        return _REFERENCE.dump_json(self)

    @property
    def digest(self) -> str:
        """SHA-256 over the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def reference_id(self) -> str:
        """Short and unique."""
        return self.digest[:16]

    @classmethod
    def from_content(cls, content: bytes) -> Reference:
        """Return the reference that `content` was made of."""
        return _REFERENCE.validate_json(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPoint:
    """One chart's day."""

    chart: str
    direction: Direction
    day: date
    """In UTC."""
    n: int
    """Points of that day."""
    value: float
    """Their mean, in the feature's unit; of events, their share."""
    statistic: float
    """The chart's largest of that day."""
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartMemory:
    """How one chart stands after the last observation that was charted."""

    chart: str
    direction: Direction
    total: float = 0.0
    """The sum that is watched."""
    beyond: int = 0
    """Points in a row beyond the limit."""
    open: bool = False
    confirmed: bool = False
    since: datetime | None = None
    """When the sum last left zero: the change, if it is one, began about then."""
    points: int = 0
    """Since then."""
    value: float = 0.0
    """Sum of the values since then, in the feature's unit."""
    alarm_id: str = ""
    """Of the alarm that is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A chart beyond its limit, or something that the reference has never seen."""

    alarm_id: str
    model_id: str
    model_digest: str
    reference_id: str | None
    """None for a stratum that has no reference."""
    stratum: Stratum
    chart: str
    direction: Direction
    channel: Channel
    severity: Severity
    opened_at: datetime
    confirmed_at: datetime | None = None
    closed_at: datetime | None = None
    closed_why: str = ""
    """Where no chart closed it: what took the place of its reference."""
    acted_at: datetime | None = None
    """When a stop rule first did what it asks for; a warning is seen to as well."""
    sentence: str
    """What moved, by how much, since when."""
    is_event: bool = False
    """Something that came for the first time: no chart closes it, a person's word does."""


class Turn(StrEnum):
    """What happens to an alarm."""

    OPENED = "opened"
    CONFIRMED = "confirmed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmTurn:
    """What became of an alarm that was open."""

    alarm_id: str
    turn: Turn
    at: datetime
    severity: Severity
    sentence: str
    """What is known now; empty where the alarm closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What some observations did to the charts of a reference."""

    charted: int
    """Observations."""
    charted_until: datetime
    points: tuple[ChartPoint, ...]
    opened: tuple[Alarm, ...]
    turned: tuple[AlarmTurn, ...]
    """In their order; may be of alarms that were opened here."""
    memory: tuple[ChartMemory, ...]


class RootCause(StrEnum):
    """What kind of change an alarm was, as far as a person can tell."""

    ACQUISITION = "acquisition"
    """Scanner, protocol, coil, contrast."""
    POPULATION = "population"
    """Other patients: age, referral, site."""
    PREVALENCE = "prevalence"
    """More or fewer with the finding, looking as they did."""
    CONCEPT = "concept"
    """The finding itself looks or is defined otherwise."""
    LABEL = "label"
    """Readers' practice, or what counts as truth."""
    TECHNICAL = "technical"
    """A fault: network, storage, software, this appliance."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A person has seen an alarm, and says what it was."""

    alarm_id: str
    at: datetime
    person: str
    reason: str
    cause: RootCause = RootCause.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmComment:
    """What a person adds to an alarm."""

    alarm_id: str
    at: datetime
    person: str
    text: str


_REFERENCE = TypeAdapter(Reference)
