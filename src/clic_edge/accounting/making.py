"""The account of one day is made: case by case, some hundred in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from clic_edge import telemetry
from clic_edge.accounting.books import Found, take_in_unseen
from clic_edge.domain.accounting import (
    Arrivals,
    Comparison,
    DayAccount,
    Difference,
    DifferenceKind,
    Outcome,
    OutcomeCount,
    bounds,
)
from clic_edge.domain.case import CaseState
from clic_edge.errors import Transient
from clic_edge.ledger.search import Place
from clic_edge.ledger.withdrawals import STAYS
from clic_edge.pacs.transport import AskedStudy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date, datetime

    from clic_edge.accounting.books import Books, Peer
    from clic_edge.ledger.accounting import Entry
    from clic_edge.pacs.transport import HeldStudy, Holding

    Progress = Callable[[int, int], None]
    """Told after each part how many cases of how many are done."""

AT_ONCE: Final = 200
"""Cases in memory, and studies asked about in one association."""
ARCHIVE: Final = "archive"
_REPLACED: Final = (CaseState.SUPERSEDED, CaseState.WITHDRAWN)
"""What was said of these cases is taken back: a destination may hide or have deleted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Study:
    """The cases of one study, and by what other places know it."""

    study_id: str
    entries: tuple[Entry, ...]
    held: HeldStudy | None


def make_account(
    books: Books, day: date, *, now: datetime, person: str = "", tell: Progress | None = None
) -> tuple[DayAccount, tuple[Difference, ...]]:
    """Return the account of a day, and its differences; a place that is away is said to be.

    Studies of which there was no case have one afterwards. Nothing else is changed, and nothing
    kept: `AccountingStore.keep` does.
    """
    return _Making(books, day, tell).account(now=now, person=person)


class _Making:
    """One account under way."""

    def __init__(self, books: Books, day: date, tell: Progress | None) -> None:
        self._books = books
        self._day = day
        self._tell = tell
        self._found = Found()
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._results = self._receipts = 0
        names = (ARCHIVE, *(peer.name for peer in books.peers))
        self._compared = {name: Comparison(place=name) for name in names}

    def account(self, *, now: datetime, person: str) -> tuple[DayAccount, tuple[Difference, ...]]:
        arrivals = self._arrivals()
        entered, done = self._books.ledger.accounting.entered(self._day), 0
        for entries in self._parts():
            for entry in entries:
                self._count(entry)
            self._compare(tuple(self._studies(entries)))
            done += len(entries)
            if self._tell:
                self._tell(done, entered)
        account = DayAccount(
            day=self._day,
            made_at=now,
            person=person,
            entered=entered,
            outcomes=tuple(OutcomeCount(outcome=o, count=n) for o, n in self._outcomes.items()),
            results=self._results,
            receipts=self._receipts,
            arrivals=arrivals,
            comparisons=tuple(self._compared.values()),
            differences=self._found.counts,
        )
        return account, self._found.kept

    def _parts(self) -> Iterator[tuple[Entry, ...]]:
        after: Place | None = None
        while found := self._books.ledger.accounting.entries(self._day, limit=AT_ONCE, after=after):
            yield found
            last = found[-1].case
            after = Place(received_at=last.received_at, case_id=last.case_id)

    def _arrivals(self) -> Arrivals | None:
        """Return what the archive's log says of the day, once everything it holds has its cases."""
        try:
            late = take_in_unseen(self._books, self._found)
            arrived = frozenset(self._books.content.arrived(*bounds(self._day)))
        except Transient as problem:
            self._give_up(ARCHIVE, problem)
            return None
        known = self._books.ledger.accounting.known(arrived)
        return Arrivals(
            studies=len(arrived),
            with_case=len((known & arrived) - late),
            taken_in_late=len(arrived & late),
            without_images=len(arrived - known - late),
        )

    def _count(self, entry: Entry) -> None:
        outcome = Outcome.of(entry.case)
        self._outcomes[outcome] += 1
        self._results += len(entry.results)
        accepted = sum(one.accepted for one in entry.receipts)
        self._receipts += accepted
        if outcome is Outcome.DELIVERED:
            for place in sorted(_unreceipted(entry)):
                self._differs(DifferenceKind.RECEIPT_MISSING, entry, place=place)

    def _studies(self, entries: Iterable[Entry]) -> Iterator[_Study]:
        """Yield the studies of some cases; none once the archive is away."""
        by_study: dict[str, list[Entry]] = {}
        for entry in entries:
            by_study.setdefault(entry.case.study_id, []).append(entry)
        for study_id, own in by_study.items():
            if self._compared[ARCHIVE].hindrance:
                return
            try:
                held = self._books.content.study(study_id)
            except Transient as problem:
                self._give_up(ARCHIVE, problem)
                return
            self._add(ARCHIVE, studies=1)
            yield _Study(study_id=study_id, entries=tuple(own), held=held)

    def _compare(self, studies: tuple[_Study, ...]) -> None:
        for study in studies:
            standing = [one for one in study.entries if one.case.state not in _REPLACED]
            if study.held is None and standing:
                self._differs(DifferenceKind.STUDY_GONE, standing[0])
        for peer in self._books.peers:
            if not self._compared[peer.name].hindrance:
                self._ask(peer, studies)
                if blind := self._compared[ARCHIVE].hindrance:  # it knows who is who
                    self._hinder(peer.name, blind)

    def _ask(self, peer: Peer, studies: tuple[_Study, ...]) -> None:
        """Compare a destination; of studies that are gone nothing can be asked."""
        known = [(one, one.held) for one in studies if one.held]
        asked = [
            AskedStudy(study_instance_uid=held.study_instance_uid, series=_series(one))
            for one, held in known
        ]
        if not asked:
            return
        try:
            for (study, held), holding in zip(known, peer.holdings.look(asked), strict=True):
                self._hold(peer.name, study, held=held, holding=holding)
        except Transient as problem:
            self._give_up(peer.name, problem)

    def _hold(self, place: str, study: _Study, *, held: HeldStudy, holding: Holding | None) -> None:
        """Hold what a destination says of a study against what it has accepted."""
        expected = {
            receipt.sop_instance_uid: entry
            for entry in study.entries
            if entry.case.state not in _REPLACED
            for receipt in entry.receipts
            if receipt.destination == place and receipt.accepted
        }
        objects = holding.objects if holding else frozenset[str]()
        self._add(place, studies=1, objects=len(expected))
        for uid in sorted(expected.keys() - objects):
            self._differs(DifferenceKind.RESULT_MISSING, expected[uid], place=place, uid=uid)
        others = objects - expected.keys()
        for uid in sorted(others - self._books.ledger.accounting.answered(place, others)):
            first = study.entries[0]
            self._differs(DifferenceKind.RESULT_UNKNOWN, first, place=place, uid=uid)
        other = holding.patient_id if holding else None
        if other is not None and other != held.patient_id:
            self._differs(DifferenceKind.PATIENT_DIFFERS, study.entries[0], place=place)

    def _differs(
        self, kind: DifferenceKind, entry: Entry, *, place: str = "", uid: str = ""
    ) -> None:
        self._found.add(
            Difference(
                kind=kind,
                study_id=entry.case.study_id,
                case_id=entry.case.case_id,
                destination=place,
                sop_instance_uid=uid,
            )
        )

    def _add(self, place: str, *, studies: int, objects: int = 0) -> None:
        before = self._compared[place]
        self._compared[place] = replace(
            before, studies=before.studies + studies, objects=before.objects + objects
        )

    def _give_up(self, place: str, problem: Transient) -> None:
        telemetry.account_hindered(destination=place, code=problem.code)
        self._hinder(place, problem.code)

    def _hinder(self, place: str, code: str) -> None:
        self._compared[place] = replace(self._compared[place], hindrance=code)


def _unreceipted(entry: Entry) -> set[str]:
    """Return where a delivered case has no receipt of a result; a nameless place where nowhere has.

    What readers say, and what takes results back, is sent after the end, and tried by itself.
    """
    own = {one.sop_instance_uid for one in entry.results if one.kind not in STAYS}
    receipts = [one for one in entry.receipts if one.sop_instance_uid in own]
    return {one.destination for one in receipts if not one.accepted} if receipts else {""}


def _series(study: _Study) -> frozenset[str]:
    return frozenset(one.series_instance_uid for entry in study.entries for one in entry.results)
