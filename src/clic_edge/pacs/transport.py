"""SEAM transport: where studies come from and where results go.

An `Archive` is the appliance's own Orthanc, or a folder; a `Destination` is a PACS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

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
