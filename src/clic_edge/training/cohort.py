"""``cohort.json``: labelled cases that came out of an appliance, and how their truth came to be."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

COHORT = "cohort.json"


class Truth(StrEnum):
    """Where the label of a case is from."""

    EDITED = "edited"
    """A reader's own version of the model's segmentation."""
    ACCEPTED = "accepted"
    """The model's own segmentation, which a reader accepted: verification bias comes with it."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CohortCase(_Table):
    """One labelled case."""

    name: str
    subject: str
    """Pseudonym."""
    series_uid: str
    """Keyed."""
    truth: Truth
    model_version: str
    """Of the package whose result was judged."""
    digest: str
    """Over image and label."""


class TrainingCohort(_Table):
    """What a folder holds, and what was left out and why; no identifier in it."""

    format: str = "clic-edge training cohort 1"
    software: str
    model_id: str
    profile: str
    """De-identification profile."""
    key_id: str
    certificate: str
    """SHA-256 of the certificate of the clean images."""
    accepted_masks: bool
    """Whether what was accepted unseen by a pencil counts as truth."""
    left_out: dict[str, int]
    """Predictions that were not taken, by reason."""
    cases: tuple[CohortCase, ...]

    @property
    def taken(self) -> tuple[tuple[Truth, int], ...]:
        """How many cases there are of each truth."""
        return tuple(sorted(Counter(one.truth for one in self.cases).items()))


def read_cohort(folder: Path) -> TrainingCohort:
    """Return what a folder says that it holds. Raises ConfigError ``cohort-unreadable``."""
    try:
        return TrainingCohort.model_validate_json((folder / COHORT).read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(
            "cohort-unreadable", f"{folder / COHORT} is no cohort of ours."
        ) from error


def write_cohort(folder: Path, cohort: TrainingCohort) -> None:
    """Write what a folder holds."""
    text = cohort.model_dump_json(indent=1) + "\n"
    (folder / COHORT).write_text(text, encoding="ascii")
