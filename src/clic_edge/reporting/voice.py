"""How a report speaks: words, numbers and times as its reader writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.drawing.look import Look
from clic_edge.drawing.numerals import NOTHING, say_number, say_share
from clic_edge.reporting.words import say

if TYPE_CHECKING:
    from datetime import datetime

    from clic_edge.drawing.look import Language, Theme

_MINUTE, _HOUR = 60.0, 3600.0
_TWICE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """How a report speaks: in a language, in some colours."""

    language: Language
    theme: Theme

    def say(self, key: str, **values: object) -> str:
        """Return a sentence."""
        return say(self.language, key, **values)

    def number(self, value: float | None, digits: int = 3) -> str:
        """Return a number as the reader writes it."""
        return say_number(value, self.language, digits=digits)

    def count(self, value: int) -> str:
        """Return a whole number with all its digits."""
        return say_number(value, self.language, digits=7)

    def share(self, value: float | None) -> str:
        """Return a share as per cent."""
        return say_share(value, self.language)

    def between(self, low: float | None, high: float | None) -> str:
        """Return an interval; a dash for none."""
        if low is None or high is None:
            return NOTHING
        return self.say("to", low=self.number(low), high=self.number(high))

    def scanner(self, named: str) -> str:
        """Return a scanner's name."""
        return self.say("all-scanners") if named == "all scanners" else named

    def duration(self, seconds: float | None) -> str:
        """Return how long something took, in seconds, minutes or hours."""
        if seconds is None:
            return NOTHING
        if seconds < _TWICE * _MINUTE:
            return self.say("seconds", n=self.number(seconds, 2))
        if seconds < _TWICE * _HOUR:
            return self.say("minutes", n=self.number(seconds / _MINUTE, 2))
        return self.say("hours", n=self.number(seconds / _HOUR, 2))

    @property
    def look(self) -> Look:
        """How charts are drawn."""
        return Look(language=self.language, theme=self.theme)


def moment(at: datetime | None) -> str:
    """Return a moment to the minute."""
    return f"{at:%Y-%m-%d %H:%M}" if at else NOTHING
