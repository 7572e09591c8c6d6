"""Back-pressure of the queue: by policy, told once, and visible wherever one looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from lines import a_ledger

from clic_edge.board.overview import Level, Surroundings, overview
from clic_edge.config.intake import Intake
from clic_edge.domain.case import CaseState, Priority
from clic_edge.domain.notice import NoticeKind, Urgency
from clic_edge.domain.pressure import Backlog, Pressure, QueueLimits
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.notices import ChannelRule
from clic_edge.pipeline.capacity import Capacity, Reserve
from clic_edge.readiness.finding import Verdict
from clic_edge.readiness.servers import intake

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.ledger import Ledger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = QueueLimits(cases=10, wait=timedelta(hours=10))
EVERY = ChannelRule(name="log", at_least=Urgency.INFO, pause=timedelta())


@dataclass(kw_only=True)
class House:
    """A ledger and what looks at it."""

    ledger: Ledger = field(default_factory=a_ledger)
    warnings: list[str] = field(default_factory=list)
    reserve: Reserve = field(default_factory=lambda: Reserve(folders=(), size=0))

    def __post_init__(self) -> None:
        """Begin."""
        self.capacity = Capacity(self.reserve, self.warnings.append)

    def look(self, policy: str = "take", at: datetime = NOW) -> list[Pressure]:
        """Look; return what weighs."""
        self.capacity.look(self.ledger, Intake(full_at_cases=2, when_full=policy), at)  # type: ignore[arg-type] # one of two
        return [one.pressure for one in self.ledger.pressure.standing()]

    def admit(self, *numbers: int, priority: Priority = Priority.ROUTINE) -> None:
        """Let cases wait."""
        for number in numbers:
            self.ledger.cases.admit(
                Admission(
                    case_id=f"case-{number}",
                    study_id=f"study-{number}",
                    pipeline="head",
                    series_ids=("one",),
                    priority=priority,
                )
            )


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize(
    ("cases", "hours", "were", "full"),
    [
        (9, 0, False, False),
        (10, 0, False, True),
        (9, 0, True, True),
        (8, 0, True, False),
        (1, 10, False, True),
        (1, 9.5, False, False),
        (1, 9.5, True, True),
    ],
)
def test_a_queue_is_full_by_number_or_age_and_stays_so_until_there_is_some_way_to_go(
    cases: int, hours: float, *, were: bool, full: bool
) -> None:
    backlog = Backlog(cases=cases, oldest=NOW - timedelta(hours=hours))
    assert LIMITS.are_reached(backlog, NOW, were=were) is full


def test_a_queue_without_limits_is_never_full() -> None:
    limits = QueueLimits(cases=0, wait=timedelta())
    assert not limits.are_reached(Backlog(cases=10**6, oldest=NOW - timedelta(365)), NOW, were=True)


def test_a_full_queue_is_said_and_images_are_taken_unless_the_site_says_otherwise(
    house: House,
) -> None:
    house.admit(1)
    assert house.look() == []
    house.admit(2)
    assert house.look() == [Pressure.QUEUE_TAKEN]
    assert house.capacity.takes_new_studies
    assert house.look("refuse") == [Pressure.QUEUE]
    assert not house.capacity.takes_new_studies


def test_batches_and_screening_fill_no_queue(house: House) -> None:
    house.admit(*range(20), priority=Priority.BACKGROUND)
    assert house.look("refuse") == []


def test_the_age_of_a_queue_is_that_of_cases_that_had_no_turn(house: House) -> None:
    house.admit(1)
    assert house.ledger.pressure.backlog().oldest is not None
    assert house.ledger.cases.begin("case-1", 0)
    assert house.ledger.pressure.backlog() == Backlog(cases=1, oldest=None)


def test_it_is_told_once_and_noted_when_it_begins_and_ends(house: House) -> None:
    house.admit(1, 2)
    for _ in range(2):
        house.look("refuse")
    for number in (1, 2):
        case = house.ledger.cases.begin(f"case-{number}", 0)
        assert case
        house.ledger.cases.close(case, CaseState.DELIVERED)
    assert house.look("refuse") == []
    noted = [one.action for one in house.ledger.records.audit("") if "intake" in one.about]
    assert noted == ["pressure-begins", "pressure-ends"]
    (told,) = house.ledger.notices.take(EVERY, now=NOW)
    assert (told.notice.kind, told.notice.detail) == (NoticeKind.IMAGES_TURNED_AWAY, "queue")
    assert len(house.warnings) == 2


def test_a_disk_without_room_is_seen_too(tmp_path: Path) -> None:
    house = House(reserve=Reserve(folders=(tmp_path,), size=1 << 60))
    assert house.look() == [Pressure.DISK]
    assert not house.capacity.has_room()


@pytest.mark.parametrize(
    ("policy", "level", "why", "verdict"),
    [
        ("take", Level.WARN, "queue_taken", Verdict.LOOK),
        ("refuse", Level.BAD, "queue", Verdict.NO),
    ],
)
def test_it_is_on_the_first_page_and_in_the_check(
    house: House, policy: str, level: Level, why: str, verdict: Verdict
) -> None:
    around = Surroundings(archive_answers=True, free_bytes=50, total_bytes=100)
    light = next(x for x in overview(house.ledger, around, NOW).lights if x.name == "intake")
    assert (light.level, light.why) == (Level.GOOD, "open")
    assert intake(house.ledger).verdict is Verdict.OK
    house.admit(1, 2)
    house.look(policy)
    light = next(x for x in overview(house.ledger, around, NOW).lights if x.name == "intake")
    assert (light.level, light.why, light.since) == (level, why, NOW)
    assert intake(house.ledger).verdict is verdict


def test_a_disk_around_its_reserve_turns_nobody_away_by_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(reserve=Reserve(folders=(tmp_path,), size=100))
    seen = []
    for free in (101, 99, 101, 104, 106, 101, 99):
        disk = SimpleNamespace(f_flag=0, f_bavail=free, f_frsize=1)
        monkeypatch.setattr("os.statvfs", lambda _, disk=disk: disk)
        seen.append(house.capacity.has_room())
    assert seen == [True, False, False, False, True, True, False]
    assert len(house.warnings) == 3
