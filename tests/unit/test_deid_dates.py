"""Modified dates: moved by whole days of the subject, intervals kept, nothing half moved."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from deid_plants import PSEUDONYM, WRITER, cleaned, value
from hypothesis import given, settings
from hypothesis import strategies as st

from clic_edge.deid import DeidKey
from clic_edge.deid.dates import shifted
from clic_edge.deid.options import FULL_DATES, MODIFIED_DATES

DAYS = st.integers(min_value=-3650, max_value=-1)
MOMENTS = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001 - DICOM dates have no zone


def _da(moment: datetime) -> bytes:
    return moment.strftime("%Y%m%d").encode()


def _dt(moment: datetime) -> bytes:
    return moment.strftime("%Y%m%d%H%M%S.%f").encode()


@pytest.mark.slow
@given(MOMENTS, MOMENTS, DAYS)
@settings(max_examples=100, deadline=None)
def test_the_interval_between_two_moments_stays_to_the_microsecond(
    one: datetime, other: datetime, days: int
) -> None:
    moved = [shifted(_dt(moment), "DT", days) or b"" for moment in (one, other)]
    first, second = (datetime.strptime(m.decode(), "%Y%m%d%H%M%S.%f") for m in moved)  # noqa: DTZ007 - DICOM dates have no zone
    assert second - first == other - one
    assert first == one + timedelta(days=days)


@given(MOMENTS, DAYS)
@settings(max_examples=50, deadline=None)
def test_a_date_and_a_datetime_of_one_day_stay_of_one_day(moment: datetime, days: int) -> None:
    day, with_time = shifted(_da(moment), "DA", days), shifted(_dt(moment), "DT", days)
    assert day == (with_time or b"")[:8]


@pytest.mark.parametrize(
    ("given_value", "vr", "moved"),
    [
        (b"20200301", "DA", b"20200229"),
        (b"20200301 ", "DA", b"20200229"),
        (b"20200301\\20200302", "DA", b"20200229\\20200301"),
        (b"", "DA", b""),
        (b"20200301", "DT", b"20200229"),
        (b"2020030110+0200", "DT", b"2020022910+0200"),
        (b"235959.9", "TM", b"235959.9"),
        (b"+0100", "SH", b"+0100"),
        (b"(?)", "SH", None),
        (b"2020", "DT", None),
        (b"202003", "DT", None),
        (b"20200230", "DA", None),
        (b"2020.03.01", "DA", None),
        (b"20200301-20200302", "DA", None),
        (b"Jensen", "TM", None),
        (b"00010101", "DA", None),
        (bytes(10), "OB", None),
        (b"\1", "OB", None),
        (b"77", "DS", None),
    ],
)
def test_a_value_moves_by_one_day_or_not_at_all(
    given_value: bytes, vr: str, moved: bytes | None
) -> None:
    assert shifted(given_value, vr, -1) == moved


def test_a_date_that_cannot_be_moved_is_done_as_without_the_option() -> None:
    plants = {0x0008002A: WRITER.element(0x0008002A, "DT", b"2020")}  # Acquisition DateTime
    assert 0x0008002A not in cleaned(plants, MODIFIED_DATES)


def test_birth_date_and_age_are_not_dates_of_the_course_of_care() -> None:
    plants = {0x00100030: WRITER.element(0x00100030, "DA", b"19330917")}
    for option in (MODIFIED_DATES, FULL_DATES):
        assert not value(cleaned(plants, option)[0x00100030])


def test_a_moved_date_that_equals_another_removed_one_is_no_residue() -> None:
    days = timedelta(days=PSEUDONYM.date_shift_days)
    study = datetime(2020, 5, 17)  # noqa: DTZ001 - DICOM dates have no zone
    plants = {
        0x00080020: WRITER.element(0x00080020, "DA", _da(study)),
        0x00100030: WRITER.element(0x00100030, "DA", _da(study + days)),
    }
    assert value(cleaned(plants, MODIFIED_DATES)[0x00080020]) == _da(study + days)


def test_a_kept_date_that_equals_the_birth_date_is_no_residue() -> None:
    plants = {
        0x00080020: WRITER.element(0x00080020, "DA", b"20200517"),
        0x00100030: WRITER.element(0x00100030, "DA", b"20200517"),
    }
    assert value(cleaned(plants, FULL_DATES)[0x00080020]) == b"20200517"


def test_each_subject_has_days_of_its_own_and_no_date_goes_to_the_future() -> None:
    key = DeidKey(b"one key of thirty-two bytes, yes")
    shifts = {key.pseudonym(str(number), "").date_shift_days for number in range(200)}
    assert len(shifts) > 150
    assert max(shifts) < 0
