"""A clock that jumps by a year and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from clic_edge import telemetry
from clic_edge.domain.case import Case, CaseState
from clic_edge.pacs.orthanc import OrthancArchive
from clic_edge.pipeline.clock import Clock, misdated

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
    def waiting(until: datetime | None, since: datetime = NOW) -> Case:
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
            updated_at=since,
            next_attempt_at=until,
        )

    hour, second = timedelta(hours=1), timedelta(seconds=1)
    ahead = NOW + hour, NOW + hour - second
    cases = [waiting(NOW + YEAR), waiting(*ahead), waiting(NOW + hour), waiting(None, NOW + hour)]
    assert misdated(cases, now=NOW, patience=timedelta(days=14)) == tuple(cases[:2])


@dataclass(kw_only=True)
class Rest:
    """Orthanc with one study, as far as its silence is asked for."""

    now: str

    def get(self, path: str) -> bytes:
        """Answer as Orthanc does."""
        if path == "/tools/now":
            return self.now.encode()
        return b"""{"LastUpdate": "20261121T120000", "Series": [],
                    "MainDicomTags": {"StudyInstanceUID": "1.2.3"}}"""

    def post(self, path: str, body: bytes) -> bytes:
        """Nothing is written."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("now", "silence"),
    [("20261121T120007", 7), ("20261121T115959", 0), ("20261121T110000", math.inf)],
    ids=["later", "rounded", "set back"],
)
def test_a_study_whose_last_image_lies_ahead_of_a_clock_that_was_set_back_is_silent(
    now: str, silence: float
) -> None:
    assert OrthancArchive(Rest(now=now)).study("a").seconds_since_last_instance == silence
