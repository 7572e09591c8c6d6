"""Numbers and days as the reader writes them: a Danish decimal comma, months by their names."""

from __future__ import annotations

from math import floor, isfinite, log10
from typing import TYPE_CHECKING

from clic_edge.drawing.look import Language

if TYPE_CHECKING:
    from datetime import date

NOTHING = "–"
"""Stands where there is no number."""
_MINUS = "−"
_FROM, _TO = 1e-4, 1e6
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_TURNED = str.maketrans(",.", ".,")
_MONTHS = {
    Language.ENGLISH: "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    Language.DANISH: "jan. feb. mar. apr. maj jun. jul. aug. sep. okt. nov. dec.",
}
_WEEKDAYS = {
    Language.ENGLISH: "Mo Tu We Th Fr Sa Su",
    Language.DANISH: "ma ti on to fr lø sø",
}


def say_number(value: float | None, language: Language, *, digits: int = 3) -> str:
    """Return a number in so many significant digits; a dash where there is none."""
    if value is None or not isfinite(value):
        return NOTHING
    size = abs(value)
    if size and not _FROM <= size < _TO:
        return _scientific(value, language, digits)
    decimals = max(0, digits - 1 - floor(log10(size))) if size else 0
    plain = f"{value:,.{decimals}f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return _written(plain, language)


def say_fixed(value: float, language: Language, decimals: int) -> str:
    """Return a number with so many decimals, as the marks of an axis have them."""
    if value and not _FROM / 100 <= abs(value) < _TO * 10:
        return _scientific(value, language, 3)
    return _written(f"{value:,.{decimals}f}", language)


def say_share(value: float | None, language: Language) -> str:
    """Return a share as per cent."""
    if value is None or not isfinite(value):
        return NOTHING
    space = "\N{NO-BREAK SPACE}" if language is Language.DANISH else ""
    return f"{say_number(value * 100, language)}{space}%"


def say_day(day: date, language: Language) -> str:
    """Return a day of the year, e.g. ``3 Oct`` or ``3. okt.``."""
    dot = "." if language is Language.DANISH else ""
    return f"{day.day}{dot} {say_month(day, language)}"


def say_month(day: date, language: Language) -> str:
    """Return the short name of a day's month."""
    return _MONTHS[language].split()[day.month - 1]


def weekdays(language: Language) -> list[str]:
    """Return the short names of the days of a week, from Monday on."""
    return _WEEKDAYS[language].split()


def _scientific(value: float, language: Language, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{_written(mantissa, language)}·10{str(int(exponent)).translate(_RAISED)}"


def _written(plain: str, language: Language) -> str:
    turned = plain.translate(_TURNED) if language is Language.DANISH else plain
    return turned.replace("-", _MINUS)
