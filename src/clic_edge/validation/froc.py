"""How many of what is there are found, at how many false finds an image: free-response ROC.

A find hits a reference box of its kind when its middle lies in it, edges included. The surest find
that hits a box counts for it; others that hit the same box count as nothing, as in LUNA16 (Setio
et al., Medical Image Analysis 2017;42:1-13). Every find that hits nothing is false.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False finds an image at which the sensitivity is told, as LUNA16 does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Something at a place: columns and rows from the outer edge of the first pixel."""

    kind: str
    x0: float
    y0: float
    x1: float
    y1: float

    def holds(self, x: float, y: float) -> bool:
        """Whether a place lies in the box."""
        return self.x0 <= x <= self.x1 and self.y0 <= y <= self.y1


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """What a detector found: where its middle lies, and how sure it is."""

    kind: str
    x: float
    y: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A find that counts, and whether it hit."""

    kind: str
    probability: float
    hit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedCase:
    """One image: how many of each kind there are, and every find that counts."""

    name: str
    there: tuple[str, ...]
    """The kind of each reference box."""
    finds: tuple[Judged, ...]

    def of_kind(self, kind: str) -> DetectedCase:
        """Return what is of one kind."""
        return DetectedCase(
            name=self.name,
            there=tuple(one for one in self.there if one == kind),
            finds=tuple(one for one in self.finds if one.kind == kind),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrocPoint:
    """What is found when every find of this probability or more counts."""

    probability: float
    false_per_image: float
    sensitivity: float


def judge(finds: Sequence[Find], boxes: Sequence[Box]) -> tuple[Judged, ...]:
    """Return the finds that count, the surest first."""
    judged, taken = [], set[int]()
    for find in sorted(finds, key=lambda one: -one.probability):
        hit = [
            number
            for number, box in enumerate(boxes)
            if box.kind == find.kind and box.holds(find.x, find.y)
        ]
        free = [number for number in hit if number not in taken]
        if hit and not free:
            continue
        taken.update(free[:1])
        judged.append(Judged(kind=find.kind, probability=find.probability, hit=bool(hit)))
    return tuple(judged)


def curve(cases: Sequence[DetectedCase]) -> tuple[FrocPoint, ...]:
    """Return a point for each probability that was given, from the highest down; none without a box."""
    there = sum(len(one.there) for one in cases)
    if not there:
        return ()
    finds = [find for one in cases for find in one.finds]
    probabilities = np.array([one.probability for one in finds])
    hits = np.array([one.hit for one in finds], np.bool_)
    order = np.argsort(-probabilities, kind="stable")
    found, false = np.cumsum(hits[order]), np.cumsum(~hits[order])
    ordered = probabilities[order]
    is_last = np.append(np.diff(ordered) != 0, True)[: len(finds)]
    return tuple(
        FrocPoint(
            probability=float(ordered[place]),
            false_per_image=float(false[place]) / len(cases),
            sensitivity=float(found[place]) / there,
        )
        for place in np.flatnonzero(is_last)
    )


def sensitivity_at(points: Sequence[FrocPoint], rate: float) -> float:
    """Return the highest sensitivity at this rate of false finds or fewer; 0 before the curve."""
    return max((one.sensitivity for one in points if one.false_per_image <= rate), default=0.0)


def score(points: Sequence[FrocPoint]) -> float:
    """Return the mean sensitivity over `RATES`: LUNA16's competition performance metric."""
    return float(np.mean([sensitivity_at(points, rate) for rate in RATES]))
