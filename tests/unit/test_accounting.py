"""The account of a day adds up, and says where the books differ."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from lines import Shelf, a_ledger, a_line, a_pipeline, a_series, a_study
from signed_in import PHYSICIST, browser

from clic_edge.accounting.books import Books, Peer
from clic_edge.accounting.making import make_account
from clic_edge.accounting.night import Keeper
from clic_edge.domain.accounting import DifferenceKind, Outcome
from clic_edge.domain.case import CaseState
from clic_edge.domain.monitoring import Acknowledgement
from clic_edge.domain.result import Receipt, ResultKind, ResultObject
from clic_edge.errors import Transient
from clic_edge.ledger.alarms import WantedAlarms
from clic_edge.ledger.cases import Admission
from clic_edge.pacs.transport import AskedStudy, HeldStudy, Holding
from clic_edge.pipeline.delivery import deliver_again
from clic_edge.pipeline.intake import intake
from clic_edge.pipeline.intervening import send_again
from clic_edge.pipeline.line import ReadyDestination
from clic_edge.web import accounting, alarms, api
from clic_edge.web.rendering import Pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from clic_edge.domain.accounting import DayAccount, Difference
    from clic_edge.pipeline.line import Line

TODAY = datetime.now(UTC).date()
TOMORROW = datetime.combine(TODAY, time(12), UTC) + timedelta(days=1)
PIPELINES = (a_pipeline("brain"),)


@dataclass(kw_only=True)
class Stock:
    """The shelf's own books; `arrivals` are what its log says of today."""

    shelf: Shelf
    arrivals: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    down: bool = False

    def studies(self) -> Iterator[tuple[str, ...]]:
        """Yield all studies, one to a part."""
        self._answer()
        yield from ((one,) for one in tuple(self.shelf.studies))

    def arrived(self, since: datetime, until: datetime) -> Iterator[str]:
        """Yield what came today."""
        assert since.date() == TODAY
        assert until - since == timedelta(days=1)
        yield from self.arrivals

    def study(self, study_id: str) -> HeldStudy | None:
        """Return a study that is on the shelf."""
        self._answer()
        if study_id not in self.shelf.studies:
            return None
        return HeldStudy(study_instance_uid=f"1.2.{study_id}", patient_id=f"of {study_id}")

    def _answer(self) -> None:
        if self.down:
            raise Transient("archive-unreachable", "The archive is away.")


@dataclass(kw_only=True)
class Pacs:
    """What a destination holds, by study; a study in `moved` is another patient's there."""

    objects: dict[str, set[str]] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    down: bool = False
    refuses: bool = False
    asked: int = 0
    meanwhile: Callable[[], None] = lambda: None

    def deliver(self, results: Sequence[ResultObject]) -> tuple[Receipt, ...]:
        """Take what is sent, for the one study that was delivered, or refuse it."""
        self.asked += 1
        if self.down:
            raise Transient("destination-unreachable", "Nothing answers.")
        self.meanwhile()
        taken = not self.refuses
        if taken:
            self.objects["good"] = {one.sop_instance_uid for one in results}
        status = "0x0000" if taken else "0xA700"
        return tuple(
            Receipt(
                destination="pacs",
                sop_instance_uid=one.sop_instance_uid,
                accepted=taken,
                status=status,
            )
            for one in results
        )

    def look(self, studies: Sequence[AskedStudy]) -> Iterator[Holding | None]:
        """Yield what was put there."""
        for one in studies:
            if self.down:
                raise Transient("destination-unreachable", "Nothing answers.")
            name = one.study_instance_uid.removeprefix("1.2.")
            patient = "another" if name in self.moved else f"of {name}"
            held = self.objects.get(name)
            yield Holding(patient_id=patient, objects=frozenset(held)) if held else None


@dataclass(kw_only=True)
class Kept(Shelf):
    """A shelf that keeps a result."""

    result_kept: ResultObject

    def result(self, sop_instance_uid: str, kind: str = "") -> ResultObject:
        """Return it, by whatever UID."""
        assert kind == ResultKind.SR
        return replace(self.result_kept, sop_instance_uid=sop_instance_uid)


class Day:
    """A day on which three studies came: delivered, refused by every rule, and still open."""

    def __init__(self) -> None:
        self.ledger = a_ledger()
        self.shelf = Shelf(
            studies={
                "good": a_study(study_id="good"),
                "knee": a_study(a_series(description="T2"), study_id="knee"),
                "open": a_study(study_id="open"),
            }
        )
        for name, study in self.shelf.studies.items():
            self.shelf.studies[name] = replace(study, study_instance_uid=f"1.2.{name}")
        self.stock = Stock(shelf=self.shelf, arrivals=list(self.shelf.studies))
        self.pacs = Pacs()
        for name in self.shelf.studies:
            intake(name, PIPELINES, archive=self.shelf, ledger=self.ledger)
        self.result = ResultObject(
            kind=ResultKind.SR,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
            series_instance_uid="2.25.0",
            sop_instance_uid="2.25.1",
            content=b"",
        )
        self.case_id = self._deliver("good", self.result)

    def _deliver(self, study_id: str, result: ResultObject) -> str:
        (case,) = self.ledger.cases.of_study(study_id)
        begun = self.ledger.cases.begin(case.case_id, 0)
        assert begun
        self.ledger.deliveries.record(case.case_id, (result,))
        receipt = replace(self.receipt(accepted=True), sop_instance_uid=result.sop_instance_uid)
        self.ledger.deliveries.receive((receipt,))
        self.ledger.cases.close(begun, CaseState.DELIVERED)
        self.pacs.objects[study_id] = {result.sop_instance_uid}
        return case.case_id

    def ask_for_two(self) -> tuple[str, str]:
        """Ask for two cases to be sent again; return them in the order in which they are."""
        other = self._deliver("open", replace(self.result, sop_instance_uid="2.25.2"))
        for case_id in (self.case_id, other):
            send_again(self.ledger, case_id, person="Ida", reason="the disk is back")
        first, second = self.ledger.deliveries.to_send_again()
        return first, second

    def receipt(self, *, accepted: bool) -> Receipt:
        """Return what the PACS says of the one result."""
        uid = self.result.sop_instance_uid
        return Receipt(destination="pacs", sop_instance_uid=uid, accepted=accepted, status="0x0000")

    def line(self) -> Line:
        """Return a line that delivers to the PACS what the archive keeps."""
        line = a_line(*PIPELINES, shelf=Kept(studies=self.shelf.studies, result_kept=self.result))
        takes = frozenset({self.result.kind})
        pacs = ReadyDestination(name="pacs", transport=self.pacs, takes=takes)
        (brain,) = line.pipelines
        return replace(line, ledger=self.ledger, pipelines=(replace(brain, destinations=(pacs,)),))

    @property
    def books(self) -> Books:
        """What is compared."""
        return Books(
            ledger=self.ledger,
            archive=self.shelf,  # type: ignore[arg-type]  # as much of one as these tests need
            content=self.stock,
            peers=(Peer(name="pacs", holdings=self.pacs),),
            rules=PIPELINES,
        )

    def account(self) -> tuple[DayAccount, tuple[Difference, ...]]:
        """Make today's account."""
        return make_account(self.books, TODAY, now=TOMORROW)

    def kept(self) -> tuple[Difference, ...]:
        """Make today's account, and keep it."""
        account, differences = self.account()
        self.ledger.accounting.keep(account, differences)
        return differences

    def open_alarms(self) -> list[str]:
        """Return what rings."""
        return [one.chart for one in self.ledger.alarms.page(WantedAlarms(), limit=100)]


@pytest.fixture
def day() -> Day:
    return Day()


def kinds(differences: tuple[Difference, ...]) -> list[str]:
    return [one.kind for one in differences]


def test_what_entered_is_the_sum_of_what_became_of_it(day: Day) -> None:
    account, differences = day.account()
    counts = {one.outcome: one.count for one in account.outcomes if one.count}
    assert counts == {Outcome.DELIVERED: 1, Outcome.NOT_TAKEN: 1, Outcome.OPEN: 1}
    assert (account.entered, account.results, account.receipts) == (3, 1, 1)
    assert account.arrivals
    assert (account.arrivals.studies, account.arrivals.with_case) == (3, 3)
    assert account.balances
    assert account.is_complete
    assert [(one.place, one.studies, one.objects) for one in account.comparisons] == [
        ("archive", 3, 0),
        ("pacs", 3, 1),
    ]
    assert differences == ()


def test_a_result_that_the_pacs_lost_rings_until_it_is_there_again(day: Day) -> None:
    day.pacs.objects.clear()
    (lost,) = day.kept()
    assert lost.kind is DifferenceKind.RESULT_MISSING
    assert (lost.destination, lost.sop_instance_uid) == ("pacs", "2.25.1")
    day.kept()
    assert day.open_alarms() == ["result-missing pacs"]
    day.pacs.objects["good"] = {"2.25.1"}
    assert day.kept() == ()
    assert day.open_alarms() == []


def test_what_the_pacs_lost_is_sent_again_at_a_persons_word(day: Day) -> None:
    day.pacs.objects.clear()
    (lost,) = day.kept()
    send_again(day.ledger, lost.case_id, person="Ida", reason="the disk is back")
    (asked,) = day.kept()
    assert (asked.kind, asked.destination) == ("receipt-missing", "pacs")
    day.pacs.refuses = True
    deliver_again(day.line())
    assert kinds(day.kept()) == ["receipt-missing"]
    day.pacs.refuses = False
    send_again(day.ledger, lost.case_id, person="Ida", reason="its quota is raised")
    deliver_again(day.line())
    assert day.kept() == ()
    assert day.open_alarms() == []


def test_a_result_that_is_withdrawn_while_others_are_sent_again_is_not(day: Day) -> None:
    first, second = day.ask_for_two()
    day.pacs.meanwhile = partial(day.ledger.withdrawals.withdraw, second, person="I", reason="r")
    deliver_again(day.line())
    assert day.pacs.asked == 1
    assert day.ledger.cases.case(second).state is CaseState.WITHDRAWN
    assert day.ledger.cases.case(first).state is CaseState.DELIVERED


def test_a_place_that_is_down_is_asked_once_however_much_is_to_be_sent_there(day: Day) -> None:
    day.ask_for_two()
    day.pacs.down = True
    deliver_again(day.line())
    assert day.pacs.asked == 1
    day.pacs.down = False
    deliver_again(day.line())
    assert day.ledger.deliveries.to_send_again() == ()


def test_a_result_that_is_to_be_sent_again_is_replaced_like_one_that_is_held(day: Day) -> None:
    send_again(day.ledger, day.case_id, person="Ida", reason="the disk is back")
    later = Admission(case_id="later", study_id="good", pipeline="brain", series_ids=("one",))
    day.ledger.cases.admit(later)
    (held,) = day.ledger.deliveries.replaced("later")
    assert held.sop_instance_uid == day.result.sop_instance_uid


def test_a_result_that_is_refused_when_it_is_sent_again_is_taken_back_like_one_that_is_held(
    day: Day,
) -> None:
    send_again(day.ledger, day.case_id, person="Ida", reason="the disk is back")
    day.pacs.refuses = True
    deliver_again(day.line())
    (receipt,) = day.ledger.deliveries.receipts(day.case_id)
    assert not receipt.accepted
    assert day.ledger.deliveries.to_send_again() == ()
    assert day.ledger.withdrawals.can(day.case_id)
    later = Admission(case_id="later", study_id="good", pipeline="brain", series_ids=("one",))
    day.ledger.cases.admit(later)
    (held,) = day.ledger.deliveries.replaced("later")
    assert held.sop_instance_uid == day.result.sop_instance_uid


def test_a_study_of_two_patients_is_sent_again_for_neither(day: Day) -> None:
    send_again(day.ledger, day.case_id, person="Ida", reason="the disk is back")
    day.shelf.studies["other"] = replace(day.shelf.studies["good"], study_id="other")
    intake("other", PIPELINES, archive=day.shelf, ledger=day.ledger)
    deliver_again(day.line())
    assert not day.pacs.asked
    (receipt,) = day.ledger.deliveries.receipts(day.case_id)
    assert receipt.status == "not sent again: study-of-two-patients"
    assert day.ledger.deliveries.to_send_again() == ()
    assert day.ledger.withdrawals.can(day.case_id), "the destination may hold it all the same"
    day.shelf.studies.pop("other")
    send_again(day.ledger, day.case_id, person="Ida", reason="the wrong one is deleted")
    deliver_again(day.line())
    assert day.pacs.asked
    assert kinds(day.kept()) == ["study-gone"]


def test_a_person_closes_a_difference_with_its_cause_and_it_rings_no_more(day: Day) -> None:
    day.pacs.objects.clear()
    day.kept()
    (alarm,) = day.ledger.alarms.page(WantedAlarms(), limit=10)
    day.ledger.monitoring.acknowledge(
        Acknowledgement(alarm_id=alarm.alarm_id, at=TOMORROW, person="Ida", reason="a disk")
    )
    day.kept()
    assert day.open_alarms() == []
    assert day.ledger.gauges.read().differences == ()


def test_an_object_of_ours_without_a_receipt_and_a_moved_study_are_named(day: Day) -> None:
    day.pacs.objects["good"].add("2.25.99")
    day.pacs.moved.add("good")
    unknown, moved = day.kept()
    assert (unknown.kind, unknown.sop_instance_uid) == ("result-unknown", "2.25.99")
    assert (moved.kind, moved.study_id) == ("patient-differs", "good")


def test_a_study_that_is_gone_from_the_archive_is_named_with_its_case(day: Day) -> None:
    del day.shelf.studies["open"]
    (gone,) = day.kept()
    assert (gone.kind, gone.study_id) == ("study-gone", "open")


def test_a_study_that_nobody_told_of_is_taken_in_and_named(day: Day) -> None:
    day.shelf.studies["late"] = a_study(study_id="late")
    day.stock.arrivals.append("late")
    account, (late,) = day.account()
    (case,) = day.ledger.cases.of_study("late")
    assert (late.kind, late.case_id) == ("study-unseen", case.case_id)
    assert account.arrivals
    assert account.arrivals.taken_in_late == 1
    assert account.balances
    assert day.account()[1] == ()


def test_results_alone_and_a_study_that_still_comes_are_missed_by_nobody(day: Day) -> None:
    day.shelf.studies["ours"] = a_study(a_series(maker="clic-edge"), study_id="ours")
    day.shelf.studies["new"] = a_study(study_id="new", silence=3)
    day.stock.arrivals += ["ours", "new"]
    account, differences = day.account()
    assert differences == ()
    assert account.arrivals
    assert account.arrivals.without_images == 2
    assert account.balances


def test_what_was_withdrawn_is_not_expected_at_the_pacs(day: Day) -> None:
    day.ledger.withdrawals.withdraw(day.case_id, person="Ida", reason="wrong")
    day.pacs.objects.clear()
    assert day.account()[1] == ()


def test_a_delivered_case_whose_result_nobody_accepts_is_named(day: Day) -> None:
    day.ledger.deliveries.receive((day.receipt(accepted=False),))
    assert kinds(day.account()[1]) == ["receipt-missing"]


@pytest.mark.parametrize("away", ["pacs", "stock"])
def test_a_place_that_is_away_is_named_and_the_day_is_tried_again(day: Day, away: str) -> None:
    getattr(day, away).down = True
    account, differences = day.account()
    assert not account.is_complete
    assert account.balances
    assert differences == ()
    day.ledger.accounting.keep(account, differences)
    night = Keeper(day.books, at="05:00", zone=UTC)
    assert night.due(TOMORROW + timedelta(days=1, minutes=5)) == due(TODAY, 2)
    getattr(day, away).down = False
    day.kept()
    assert night.due(TOMORROW + timedelta(days=1)) == due(TODAY, 2)[1:]


def due(first: date, count: int) -> list[date]:
    return [first + timedelta(days=one) for one in range(count)]


def test_days_that_a_worker_missed_are_made_up_for_once(day: Day) -> None:
    night = Keeper(day.books, at="00:00", zone=UTC)
    assert night.due(TOMORROW) == [TODAY]
    day.kept()
    assert night.due(TOMORROW) == []
    assert night.due(TOMORROW + timedelta(days=3)) == due(TODAY + timedelta(days=1), 3)


def test_an_account_that_stumbles_is_tried_again(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    night = Keeper(day.books, at="00:00", zone=UTC)
    monkeypatch.setattr(day.stock, "studies", lambda: iter([1]))  # a TypeError, as of a poor file
    with pytest.raises(TypeError):
        night.look(TOMORROW)
    assert night.due(TOMORROW) == []
    monkeypatch.undo()
    night.look(TOMORROW + timedelta(hours=2))
    (kept,) = day.ledger.accounting.days(limit=2)
    assert kept.complete


def test_two_workers_make_one_account(day: Day) -> None:
    store = day.ledger.accounting
    assert [store.claim(TODAY, TOMORROW), store.claim(TODAY, TOMORROW)] == [True, False]
    assert store.claim(TODAY, TOMORROW + timedelta(hours=2))
    day.kept()
    assert not store.claim(TODAY, TOMORROW + timedelta(days=2))


def test_a_difference_of_a_kind_is_counted_beyond_what_is_kept(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clic_edge.accounting.books.MOST_KEPT", 2)
    day.pacs.objects["good"] |= {f"2.25.9{number}" for number in range(5)}
    account, differences = day.account()
    assert len(differences) == 2
    assert [one.count for one in account.differences] == [5]


def test_the_page_shows_the_equation_the_difference_and_the_way_to_its_alarm(day: Day) -> None:
    day.pacs.objects.clear()
    day.kept()
    app = FastAPI()
    pages = Pages()
    for one in (accounting, alarms):
        app.include_router(one.router(day.ledger, pages))
    app.mount(api.PATH, api.create_api([accounting.api(day.ledger)]))
    client = browser(app, PHYSICIST)
    assert f'href="/accounting/{TODAY}"' in client.get("/accounting").text
    page = client.get(f"/accounting/{TODAY}").text
    assert "<strong>3</strong> cases entered" in page
    assert "2.25.1" in page
    (alarm,) = day.ledger.alarms.page(WantedAlarms(), limit=10)
    assert f'href="/alarms/{alarm.alarm_id}"' in page
    assert f'href="/accounting/{TODAY}"' in client.get(f"/alarms/{alarm.alarm_id}").text
    danish = client.get(f"/accounting/{TODAY}", headers={"cookie": "language=da"}).text
    assert "sager kom ind" in danish
    told = client.get(f"/api/v1/accounting/{TODAY}").json()
    assert told["differences"][0]["kind"] == "result-missing"
    entries = client.get(f"/api/v1/accounting/{TODAY}/cases?limit=2").json()
    rest = client.get(f"/api/v1/accounting/{TODAY}/cases?after={entries['after']}").json()
    assert len(entries["entries"]) + len(rest["entries"]) == 3
    assert client.get("/api/v1/accounting/2020-01-01").status_code == 404
