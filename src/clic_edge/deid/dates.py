"""Dates moved by whole days (PS3.15 E.3.6, modified dates): intervals stay, times of day stay."""

from __future__ import annotations

import re
from datetime import date

_DATE = re.compile(rb"(\d{4})(\d{2})(\d{2})")
_DATETIME = re.compile(
    rb"(\d{4})(\d{2})(\d{2})(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?([+-]\d{4})?"
)
_TIME = re.compile(rb"(?:\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?")
_ZONE = re.compile(rb"[+-]\d{4}")
_SECONDS_A_DAY = 86_400
_PTP_SECONDS, _PTP_BYTES = 6, 10


def shifted(value: bytes, vr: str, days: int) -> bytes | None:
    """Return a value of VR DA, DT, TM, SH (a time zone) or OB (a PTP timestamp) moved by `days`.

    Times and time zones stay. None where the value is not what its VR says, tells less than a
    day (a year alone cannot be moved exactly), or leaves the years 1 to 9999.
    """
    if vr == "OB":
        return _timestamp(value, days)
    moved = [_moved(part.strip(b" \0"), vr, days) for part in value.split(b"\\")]
    return None if None in moved else b"\\".join(part for part in moved if part is not None)


def _moved(value: bytes, vr: str, days: int) -> bytes | None:
    if not value:
        return value
    if vr in {"TM", "SH"}:
        return value if (_TIME if vr == "TM" else _ZONE).fullmatch(value) else None
    match = {"DA": _DATE, "DT": _DATETIME}[vr].fullmatch(value) if vr in {"DA", "DT"} else None
    if match is None:
        return None
    try:
        ordinal = date(int(match[1]), int(match[2]), int(match[3])).toordinal() + days
        moved = date.fromordinal(ordinal)
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04}{moved.month:02}{moved.day:02}".encode("ascii") + value[8:]


def _timestamp(value: bytes, days: int) -> bytes | None:
    """Move an IEEE 1588 timestamp: six bytes of seconds, four of nanoseconds, big endian."""
    if len(value) != _PTP_BYTES:
        return None
    seconds = int.from_bytes(value[:_PTP_SECONDS], "big") + days * _SECONDS_A_DAY
    if seconds < 0:
        return None
    return seconds.to_bytes(_PTP_SECONDS, "big") + value[_PTP_SECONDS:]
