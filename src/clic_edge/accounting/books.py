"""The books that an account compares: ledger, archive, destinations."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clic_edge.domain.accounting import Difference, DifferenceCount, DifferenceKind
from clic_edge.errors import Refusal
from clic_edge.pipeline.intake import intake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.config import Pipeline
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.transport import Archive, Holdings, Inventory

MOST_KEPT: Final = 500
"""Differences of one kind at one place; the others are counted."""
_SETTLES: Final = timedelta(minutes=15)
"""A study that received an image since is not missed by anybody yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A destination that can be asked what it holds."""

    name: str
    holdings: Holdings = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What an account is made of."""

    ledger: Ledger = field(repr=False)
    archive: Archive = field(repr=False)
    content: Inventory = field(repr=False)
    peers: tuple[Peer, ...]
    rules: tuple[Pipeline, ...]


class Found:
    """Differences as they are found: all are counted, and so many of a kind kept as can be shown."""

    def __init__(self) -> None:
        self._counts: dict[tuple[DifferenceKind, str], int] = {}
        self._kept: list[Difference] = []

    def add(self, difference: Difference) -> None:
        """Count a difference, and keep it while there is room."""
        key = difference.kind, difference.destination
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] <= MOST_KEPT:
            self._kept.append(difference)

    @property
    def kept(self) -> tuple[Difference, ...]:
        """By kind and place, in the order in which they were found."""
        order = list(DifferenceKind)
        return tuple(sorted(self._kept, key=lambda one: (order.index(one.kind), one.destination)))

    @property
    def counts(self) -> tuple[DifferenceCount, ...]:
        """By kind and place."""
        return tuple(
            DifferenceCount(kind=kind, destination=place, count=self._counts[kind, place])
            for kind, place in sorted(self._counts, key=lambda one: (one[0], one[1]))
        )


def take_in_unseen(books: Books, found: Found) -> frozenset[str]:
    """Take in every study of the archive of which there is no case; return which these were.

    Events and the archive's log both can be missed: of an archive that was restored, say. What it
    holds can't. Raises Transient ``archive-unreachable``.
    """
    late: set[str] = set()
    for study_ids in books.content.studies():
        known = books.ledger.accounting.known(study_ids)
        for study_id in study_ids:
            if study_id not in known:
                for difference in _taken_in(books, study_id):
                    found.add(difference)
                    late.add(study_id)
    return frozenset(late)


def _taken_in(books: Books, study_id: str) -> Iterator[Difference]:
    """Yield that a study had no case, once it has; nothing of one that asks for none, or still comes."""
    try:
        study = books.archive.study(study_id)
    except Refusal:
        return
    settled = study.seconds_since_last_instance >= _SETTLES.total_seconds()
    if not settled or any(one.is_constancy for one in study.series):
        return
    cases = intake(study_id, books.rules, archive=books.archive, ledger=books.ledger)
    for case in cases[:1]:
        yield Difference(kind=DifferenceKind.STUDY_UNSEEN, study_id=study_id, case_id=case.case_id)
