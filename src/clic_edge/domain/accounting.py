"""The account of a day: what entered, what became of it, and where two books differ. No identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from clic_edge.domain.case import Case

ACCOUNTING: Final = "accounting"
"""Stands where other alarms name a model."""


class Outcome(StrEnum):
    """What became of a case, as the sum of a day counts it."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    OPEN = "open"
    """Received, running or waiting."""
    NOT_TAKEN = "not-taken"
    """No pipeline takes a series of the study."""
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"

    @classmethod
    def of(cls, case: Case) -> Outcome:
        """Return the one outcome of a case."""
        if not case.state.is_end:
            return cls.OPEN
        if case.state is CaseState.REFUSED and case.code == "no-pipeline":
            return cls.NOT_TAKEN
        return cls(case.state.value)


class DifferenceKind(StrEnum):
    """How two books can differ."""

    STUDY_UNSEEN = "study-unseen"
    """A study lay in the archive and no case was made of it; it was taken in when it was found."""
    STUDY_GONE = "study-gone"
    """A case's study is not in the archive any more."""
    RECEIPT_MISSING = "receipt-missing"
    """A case is delivered, and nobody has accepted a result of it."""
    RESULT_MISSING = "result-missing"
    """A destination does not hold an object that it accepted."""
    RESULT_UNKNOWN = "result-unknown"
    """A destination holds an object that bears our name, and has given no receipt for it."""
    PATIENT_DIFFERS = "patient-differs"
    """A destination files the study under another patient than the archive does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where two books differ, by handles and UIDs of our own."""

    kind: DifferenceKind
    study_id: str
    """The archive's handle."""
    case_id: str = ""
    destination: str = ""
    sop_instance_uid: str = ""
    """Of a result object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceCount:
    """How many differences of a kind there are at a destination."""

    kind: DifferenceKind
    destination: str
    """Empty where it is the archive's."""
    count: int

    def alarm_id(self, day: date) -> str:
        """Return the id of the alarm that tells of it: one for each day, kind and destination."""
        text = f"{ACCOUNTING}\n{day.isoformat()}\n{self.kind}\n{self.destination}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeCount:
    """How many cases of a day have an outcome."""

    outcome: Outcome
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What the archive's own log says of a day: `studies` is the sum of the others."""

    studies: int
    with_case: int
    taken_in_late: int
    """Of which no case had been made until the account was."""
    without_images: int
    """With nothing to analyse: phantoms, our own results, or deleted since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How far one place was compared with the ledger."""

    place: str
    """A destination's name; ``archive`` for the appliance's Orthanc."""
    studies: int = 0
    objects: int = 0
    """Which the place should hold, of those studies."""
    hindrance: str = ""
    """Code of what kept it from being compared to the end; empty where nothing did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayAccount:
    """What entered on one day (UTC), what became of it, and what was found when it was compared."""

    day: date
    made_at: datetime
    person: str = ""
    """Who asked for it; empty where the night did."""
    entered: int
    """Cases that the ledger counts on that day; a study has one for each pipeline that takes it."""
    outcomes: tuple[OutcomeCount, ...]
    """Of each case of the day, one by one."""
    results: int
    """Result objects of these cases that count."""
    receipts: int
    """Of these, pairs of an object and a destination that has accepted it."""
    arrivals: Arrivals | None
    """None where the archive was away."""
    comparisons: tuple[Comparison, ...]
    differences: tuple[DifferenceCount, ...]

    @property
    def balances(self) -> bool:
        """Whether the outcomes add up to what entered, and the archive's arrivals to their sum."""
        seen = self.arrivals
        parts = seen and seen.with_case + seen.taken_in_late + seen.without_images
        return (not seen or seen.studies == parts) and self.entered == sum(
            one.count for one in self.outcomes
        )

    @property
    def is_complete(self) -> bool:
        """Whether every place was compared."""
        return not any(one.hindrance for one in self.comparisons)

    @property
    def content(self) -> str:
        """The whole account as JSON."""
        return _ACCOUNT.dump_json(self).decode()

    @classmethod
    def from_content(cls, content: str) -> DayAccount:
        """Return the account that `content` was made of."""
        return _ACCOUNT.validate_json(content)


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first moment of a day and that of the next, in UTC."""
    since = datetime.combine(day, time(), UTC)
    return since, since + timedelta(days=1)


_ACCOUNT = TypeAdapter(DayAccount)
