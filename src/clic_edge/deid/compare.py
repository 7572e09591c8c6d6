"""Two instances beside each other, tag by tag: what became of each attribute."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clic_edge.deid.part10 import Element

Value = bytes | memoryview


PIECE = 1 << 20
"""Bytes of pixels or of a file that are looked at together."""


class Outcome(StrEnum):
    """What became of one attribute, as seen from outside."""

    KEPT = "kept"
    """Byte for byte, but for padding."""
    REPLACED = "replaced"
    MAPPED = "mapped"
    """A UID, replaced."""
    EMPTIED = "emptied"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One attribute before and after; None where it is absent. A sequence is there by its items."""

    path: str
    """``(0040,0275)[1].(0040,0007)``: items counted from 1."""
    tag: int
    vr: str
    nested: bool
    outcome: Outcome
    before: Value | None = field(repr=False)
    after: Value | None = field(repr=False)
    siblings: Sequence[Element] = field(repr=False)
    """The dataset before, in which the attribute stands."""


class Skips(Protocol):
    """Says which attributes need no change told when they are the same on both sides."""

    def __call__(self, tag: int, *, nested: bool) -> bool:
        """Whether to pass over an attribute that is the same."""
        ...


def compare(
    before: Sequence[Element],
    after: Sequence[Element],
    *,
    skips: Skips | None = None,
    place: str = "",
) -> Iterator[Change]:
    """Yield what became of each attribute, in the order of tags, at any depth.

    Of a tag that stands twice the first counts. A sequence that is in both is followed item by
    item, by position; one that is in one only, or empty in one, is a single change.
    """
    old, new = _by_tag(before), _by_tag(after)
    for tag in sorted(old.keys() | new.keys()):
        one, other = old.get(tag), new.get(tag)
        path = f"{place}({tag >> 16:04X},{tag & 0xFFFF:04X})"
        if one and other and one.items and other.items:
            for number, (left, right) in enumerate(
                zip_longest(one.items, other.items, fillvalue=()), 1
            ):
                yield from compare(left, right, skips=skips, place=f"{path}[{number}].")
        elif not (skips and _equal(one, other) and skips(tag, nested=bool(place))):
            yield _change(one, other, path=path, siblings=before)


def _equal(one: Element | None, other: Element | None) -> bool:
    if one is None or other is None or one.items or other.items:
        return False
    return same_bytes(one.value, other.value)


def same_bytes(one: Value, other: Value) -> bool:
    """Whether two values are the same; pixels in pieces, for views compare byte by byte."""
    if isinstance(one, bytes) and isinstance(other, bytes):
        return one == other
    return len(one) == len(other) and all(
        bytes(one[at : at + PIECE]) == bytes(other[at : at + PIECE])
        for at in range(0, len(one), PIECE)
    )


def _change(
    one: Element | None, other: Element | None, *, path: str, siblings: Sequence[Element]
) -> Change:
    tag, vr = next((element.tag, element.vr) for element in (other, one) if element)
    return Change(
        path=path,
        tag=tag,
        vr=vr,
        nested="[" in path,
        outcome=_outcome(one, other),
        before=one and _value(one),
        after=other and _value(other),
        siblings=siblings,
    )


def _outcome(one: Element | None, other: Element | None) -> Outcome:
    if other is None:
        return Outcome.REMOVED
    if one is None:
        return Outcome.ADDED
    if _same(one, other):
        return Outcome.KEPT
    if not (other.items or _bare(other.value)):
        return Outcome.EMPTIED
    return Outcome.MAPPED if other.vr == "UI" else Outcome.REPLACED


def _same(one: Element, other: Element) -> bool:
    if one.items or other.items:
        return one.items == other.items
    if same_bytes(one.value, other.value):
        return True
    return len(one.value) - len(other.value) in {-1, 0, 1} and _bare(one.value) == _bare(
        other.value
    )


def _value(element: Element) -> Value:
    return b"" if element.items is None and not element.value else element.value


def _bare(value: Value) -> bytes:
    return bytes(value).rstrip(b" \0")


def _by_tag(elements: Sequence[Element]) -> dict[int, Element]:
    found: dict[int, Element] = {}
    for element in elements:
        if element.tag & 0xFFFF or element.tag >> 16 in {0x0002, 0xFFFE}:  # no group lengths
            found.setdefault(element.tag, element)
    return found
