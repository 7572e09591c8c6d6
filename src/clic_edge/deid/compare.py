"""Two instances beside each other, tag by tag: what became of each attribute."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clic_edge.deid.part10 import Element

Value = bytes | memoryview


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


def compare(
    before: Sequence[Element], after: Sequence[Element], place: str = ""
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
            yield from _items(one, other, path)
        else:
            yield _change(one, other, path=path, siblings=before)


def _items(one: Element, other: Element, path: str) -> Iterator[Change]:
    old, new = one.items or (), other.items or ()
    for number in range(max(len(old), len(new))):
        left = old[number] if number < len(old) else ()
        right = new[number] if number < len(new) else ()
        yield from compare(left, right, f"{path}[{number + 1}].")


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
    if one.value == other.value:
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
