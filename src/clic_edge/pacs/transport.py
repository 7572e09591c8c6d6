"""SEAM transport: where studies come from and where results go.

An `Archive` is the appliance's own Orthanc, or a folder; a `Destination` is a PACS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from clic_edge.domain.confirmation import Confirmation
    from clic_edge.domain.result import Receipt, ResultKind, ResultObject, ResultReference
    from clic_edge.domain.study import Series, StudySummary

# The answers after which an instance is at the destination: success, the three warnings of
# PS3.4 B.2.3, and Duplicate SOP Instance (PS3.7 C.5.3), which some PACS answer when a retry sends
# what they already hold: our UIDs name one content only.
STORED = frozenset({0x0000, 0xB000, 0xB006, 0xB007, 0x0111})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What happened in the archive since a cursor."""

    study_ids: tuple[str, ...]
    """Studies that became stable or received instances, each once, in order."""
    cursor: int
    """Where to go on; equal to the cursor given when nothing is new."""
    done: bool
    """False when there is more to ask for."""


class Archive(Protocol):
    """The identified store beside the worker."""

    def study(self, study_id: str) -> StudySummary:
        """Describe a study. Raises Refusal ``study-gone`` when it was deleted, Transient when down."""
        ...

    def series(self, series_id: str) -> Series:
        """Fetch every instance of a series. Raises as `study` does."""
        ...

    def changes(self, since: int) -> Changes:
        """Return what happened after the cursor `since` (0 for the beginning)."""
        ...

    def keep(self, results: Sequence[ResultObject]) -> None:
        """Store result objects in the archive; storing the same again changes nothing."""
        ...

    def result(self, sop_instance_uid: str, kind: ResultKind) -> ResultObject:
        """Return a result object kept before. Raises Defect ``result-gone`` when it is not there."""
        ...


class Destination(Protocol):
    """A PACS that takes results."""

    def deliver(self, results: Sequence[ResultObject]) -> tuple[Receipt, ...]:
        """Send the objects and return the answer to each, also when some were rejected.

        Raises
        ------
        Transient
            The destination could not be reached or ended the association; nothing is known of
            the objects without a receipt.

        """
        ...


class StudySource(Protocol):
    """An archive out of which studies are run again: the appliance's own, or a PACS."""

    @property
    def brings(self) -> bool:
        """Whether studies have to be brought into the appliance's archive first."""
        ...

    def find(self, query: Mapping[str, str]) -> Iterator[str]:
        """Yield the Study Instance UIDs that match attributes of studies (PS3.4 C.2.2.2).

        Raises ConfigError ``bad-query``, Transient where the archive does not answer.
        """
        ...

    def fetch(self, study_instance_uid: str) -> str | None:
        """Bring a study into the appliance's archive and return its handle there, None for none.

        Bringing it again changes nothing. Raises Transient as `find`, and ``retrieve-failed``.
        """
        ...

    def here(self, study_instance_uid: str) -> str | None:
        """Return the handle of what the appliance's archive has of a study, None for nothing."""
        ...


class Witness(Protocol):
    """A PACS that can say whether it holds what it accepted: a proof beyond the receipt."""

    def confirm(
        self, results: Sequence[ResultReference], *, study_instance_uid: str
    ) -> tuple[Confirmation, ...]:
        """Return what the PACS says of each object, all of one study, in their order.

        Raises
        ------
        Transient
            It could not be asked, or has not answered yet; nothing is known of the objects.

        """
        ...


class StudyCensus(Protocol):
    """A PACS that can say how many instances a study should have (C-FIND or QIDO-RS)."""

    def count_instances(self, study_instance_uid: str) -> int | None:
        """Return the number of instances the PACS reports, or None when it does not know the study."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedStudy:
    """A study that a PACS is asked about."""

    study_instance_uid: str = field(repr=False)
    series: frozenset[str]
    """Series Instance UIDs of ours, as far as the ledger knows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a PACS holds of a study."""

    patient_id: str | None = field(repr=False)
    """Under which the study is filed; None where the PACS does not tell."""
    objects: frozenset[str]
    """SOP Instance UIDs in our series: those asked for, and those that bear our name."""


class Holdings(Protocol):
    """A PACS that can say what it holds of ours (C-FIND or QIDO-RS)."""

    def look(self, studies: Sequence[AskedStudy]) -> Iterator[Holding | None]:
        """Yield what it holds of each study in order, None of one that it does not know.

        Raises
        ------
        Transient
            It could not be asked, or does not answer; nothing is known of this study or a later.

        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldStudy:
    """By what other places know a study of the archive; never kept."""

    study_instance_uid: str = field(repr=False)
    patient_id: str = field(repr=False)


class Inventory(Protocol):
    """An archive that can be gone through; each call raises Transient when it is down."""

    def studies(self) -> Iterator[tuple[str, ...]]:
        """Yield the handles of all studies, some at a time."""
        ...

    def arrived(self, since: datetime, until: datetime) -> Iterator[str]:
        """Yield the handles of studies whose first instance came in a period, by its own log."""
        ...

    def study(self, study_id: str) -> HeldStudy | None:
        """Return by what a study is known elsewhere; None where it was deleted."""
        ...
