"""One line of `clic-edge check`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from clic_edge.errors import ClicEdgeError

if TYPE_CHECKING:
    from collections.abc import Callable


class Verdict(StrEnum):
    """Whether the site may go live with it."""

    OK = "ok"
    LOOK = "look"
    """It may, and somebody should know."""
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was looked at, what was seen there, and what to do about it."""

    what: str
    seen: str = ""
    verdict: Verdict = Verdict.OK
    to_do: str = ""
    """Empty where nothing is to be done."""
    exit_code: int = 0
    """Of the command, where the verdict is no."""
    code: str = ""
    """Of the error that `seen` tells of; empty where it is none."""


def found(what: str, look: Callable[[], str], *, to_do: str) -> Finding:
    """Return what `look` sees, or the error that it raises as a no with what to do then."""
    try:
        return Finding(what=what, seen=look())
    except ClicEdgeError as error:
        return failed(what, error, to_do=to_do)


def failed(what: str, error: ClicEdgeError, *, to_do: str) -> Finding:
    """Return an error as a no with what to do."""
    return Finding(
        what=what,
        seen=error.sentence,
        verdict=Verdict.NO,
        to_do=to_do,
        exit_code=error.exit_code,
        code=error.code,
    )
