"""A clock that jumps by a year and back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.domain.case import Case, CaseState
from clic_edge.pipeline.clock import Clock, misdated

if TYPE_CHECKING:
    import pytest

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
YEAR = timedelta(days=365)


@dataclass(kw_only=True)
class Machine:
    """A machine whose clock can be set."""

    wall: datetime = NOW
    seconds: float = 1000.0

    def run(self, time: timedelta) -> None:
        """Let time pass."""
        self.wall += time
        self.seconds += time.total_seconds()

    def clock(self) -> Clock:
        """Return the appliance's look at it."""
        return Clock(lambda: self.wall, lambda: self.seconds)


def test_a_jump_ahead_and_back_is_told_and_nothing_expires_for_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[float] = []
    monkeypatch.setattr(telemetry, "clock_jumped", lambda *, seconds: told.append(seconds))
    machine = Machine()
    clock = machine.clock()
    machine.run(timedelta(days=3))
    assert clock.look() == machine.wall
    assert clock.is_trusted, "a machine that slept for days has not jumped"
    machine.wall += YEAR
    clock.look()
    assert not clock.is_trusted
    machine.run(timedelta(hours=2))
    machine.wall -= YEAR
    clock.look()
    assert told == [YEAR.total_seconds(), -YEAR.total_seconds()]
    machine.run(timedelta(hours=23))
    assert not clock.is_trusted
    machine.run(timedelta(hours=2))
    clock.look()
    assert clock.is_trusted
    assert len(told) == 2


def test_the_clock_of_this_machine_has_not_jumped() -> None:
    clock = Clock()
    assert abs(clock.look() - datetime.now(UTC)) < timedelta(minutes=1)
    assert clock.is_trusted


def test_a_case_that_a_clock_ahead_told_to_wait_a_year_is_found() -> None:
    def waiting(until: datetime | None) -> Case:
        return Case(
            case_id="a",
            study_id="s",
            pipeline="p",
            series_ids=("x",),
            state=CaseState.WAITING,
            attempt=1,
            expedited=False,
            code="c",
            reason="r",
            received_at=NOW,
            started_at=None,
            updated_at=NOW,
            next_attempt_at=until,
        )

    cases = [waiting(NOW + YEAR), waiting(NOW + timedelta(hours=1)), waiting(None)]
    assert misdated(cases, latest=NOW + timedelta(days=14)) == (cases[0],)
