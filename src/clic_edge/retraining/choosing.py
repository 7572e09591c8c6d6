"""Which results may teach, by what readers said of them; every other one is counted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from clic_edge.domain.assessment import ADDED, Assessment, Source, Verdict
from clic_edge.ledger.assessments import standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class LeftOut(StrEnum):
    """Why a prediction teaches nothing."""

    UNASSESSED = "unassessed"
    """Nobody said anything of it."""
    REJECTED = "rejected"
    """A finding was rejected: what would be right, nobody said."""
    ACCEPTED_ONLY = "accepted-only"
    """Accepted, and the site does not count the model's own mask as truth."""
    DISAGREED = "readers-disagree"
    """Two readers said different things of a finding."""
    ADDED = "segment-added"
    """A reader drew something that is none of the model's segments."""
    NOT_DRAWN = "modified-not-drawn"
    """Said to need a change, and no edited segmentation shows which."""
    NOT_WHOLE = "not-judged-whole"
    """A segment was neither drawn nor accepted."""
    OUTLINE_GONE = "outline-gone"
    """The segmentation that was judged is not in the archive any more, or can't be read."""
    NOT_CURRENT = "not-current"
    """The case has no result that counts now, or the images are gone."""
    OPTED_OUT = "opted-out"
    """The subject is on the site's list."""
    NOT_CLEAN = "not-clean"
    """De-identification held an image back."""
    NO_VOLUME = "no-volume"
    """The clean images are no volume that the package takes."""
    AGAIN = "newer-result"
    """A newer result of the same series is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What readers made of one prediction."""

    drawn: Mapping[str, float | None]
    """Dice of each segment that a reader's own segmentation has; empty where nobody drew."""
    accepted: frozenset[str]
    """Segments whose mask is the model's own, accepted."""


def judged(
    said: Iterable[Assessment], segments: Collection[str], *, accepted_masks: bool
) -> Lesson | LeftOut:
    """Return what one prediction can teach, by all that was said of it.

    The last word of each reader counts. A segment is known when a reader's own segmentation has
    it, or, with `accepted_masks`, when it was accepted; all of `segments` must be known.
    """
    words = standing(said)
    verdicts = {one.verdict for one in words}
    edits = [one for one in words if one.source is Source.SEGMENTATION]
    is_edited = any(one.verdict is Verdict.MODIFIED for one in edits)
    drawn = {one.finding: one.dice for one in edits} if is_edited else {}
    modified = {one.finding for one in words if one.verdict is Verdict.MODIFIED}
    accepted = frozenset(one.finding for one in words if one.finding not in drawn)
    reasons = (
        (LeftOut.UNASSESSED, not words),
        (LeftOut.ADDED, any(one.finding == ADDED for one in words)),
        (LeftOut.DISAGREED, _disagree(words)),
        (LeftOut.REJECTED, Verdict.REJECTED in verdicts),
        (LeftOut.NOT_DRAWN, not modified <= drawn.keys()),
        (LeftOut.NOT_WHOLE, {*drawn, *accepted} != set(segments)),
        (LeftOut.NOT_WHOLE, bool(drawn and accepted) and not accepted_masks),
        (LeftOut.ACCEPTED_ONLY, bool(accepted) and not accepted_masks),
    )
    for reason, applies in reasons:
        if applies:
            return reason
    return Lesson(drawn=drawn, accepted=accepted)


def _disagree(words: Iterable[Assessment]) -> bool:
    """Whether two readers differ over a finding; two edits differ unless they are one outline."""
    opinions: dict[str, set[tuple[Verdict, float | None]]] = {}
    for one in words:
        outline = one.dice if one.verdict is Verdict.MODIFIED else None
        opinions.setdefault(one.finding, set()).add((one.verdict, outline))
    return any(len(found) > 1 for found in opinions.values())
