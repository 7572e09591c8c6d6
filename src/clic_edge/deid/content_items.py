"""Content items (PS3.3 10.2, C.17.3) by PS3.15 Table E.3.4-1, the Clean Structured Content Option.

A row names a concept and a value type. X takes the item out with all below it, D gives its value
a stand-in, an option's K or C keeps or cleans it. Text, person names, dates, times and UIDs that
no row names get a stand-in. Value types and relationships stay, and references by position are
counted anew, so that the tree stays valid.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from clic_edge.deid.codes import CODE_VALUES, SCHEME, canonical
from clic_edge.deid.options import deciding_cell
from clic_edge.deid.policy import Action, Rule
from clic_edge.deid.standard import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clic_edge.deid.part10 import Element

CONTENT_SEQUENCE, VALUE_TYPE, CONCEPT_NAME = 0x0040A730, 0x0040A040, 0x0040A043
REFERENCED_ITEM = 0x0040DB73
VALUES = {
    "TEXT": (0x0040A160, "UT"),
    "PNAME": (0x0040A123, "PN"),
    "DATE": (0x0040A121, "DA"),
    "TIME": (0x0040A122, "TM"),
    "DATETIME": (0x0040A120, "DT"),
    "UIDREF": (0x0040A124, "UI"),
}
"""Value types whose value may tell who the patient is: where it stands, and its VR."""

Items = tuple[tuple["Element", ...], ...]
Path = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRow:
    """One row of Table E.3.4-1."""

    meaning: str
    code_value: str
    scheme: str
    value_type: str
    basic_profile: str
    options: tuple[tuple[str, str], ...]


@cache
def content_rows() -> tuple[ContentRow, ...]:
    """Return the rows of Table E.3.4-1, in the table's order."""
    return tuple(
        ContentRow(
            meaning=row["meaning"],
            code_value=row["code_value"],
            scheme=row["scheme_designator"],
            value_type=row["value_type"],
            basic_profile=row["basic_profile"],
            options=tuple(sorted(row["options"].items())),
        )
        for row in json.loads(table("e3_4_1"))["rows"]
    )


@cache
def _by_concept() -> dict[tuple[str, str, str], ContentRow]:
    return {(row.scheme, row.code_value, row.value_type): row for row in content_rows()}


class ContentRules:
    """What happens to the content items of one profile's objects."""

    def __init__(self, options: frozenset[str], *, little: bool) -> None:
        self._options = options
        self._order: Literal["little", "big"] = "little" if little else "big"

    def decide(self, elements: Sequence[Element]) -> tuple[Action, str] | None:
        """Return what happens to an item's value, or REMOVE for the whole item; None if nothing."""
        kind, row = _kind(elements), None
        if kind:
            scheme, value = _concept(elements)
            row = _by_concept().get((scheme, value, kind))
        if row is None:
            denied = Action.UID if kind == "UIDREF" else Action.DUMMY
            return (denied, "E.3.4-1 not listed") if kind in VALUES else None
        option, code = deciding_cell(row.options, self._options) or ("", row.basic_profile)
        reason = f"E.3.4-1 {code} {option}".rstrip()
        if (
            kind not in VALUES
        ):  # references are mapped like all others, unless the row takes them out
            return (Action.REMOVE, reason) if code == "X" else None
        cleaned = Action.DESCRIBE if kind == "TEXT" else Action.SHIFT
        dummy = Action.UID if kind == "UIDREF" else Action.DUMMY
        return {"X": Action.REMOVE, "K": Action.RETAIN, "C": cleaned}.get(code, dummy), reason

    def rules(self, elements: Sequence[Element]) -> dict[int, Rule]:
        """Return the rules of an item's values, by tag; what is not of its value type goes."""
        kind, decided = _kind(elements), self.decide(elements)
        found = {}
        for name, (tag, vr) in VALUES.items():
            action, reason = (Action.REMOVE, "not of the value type")
            if name == kind and decided:
                action, reason = decided
                action = Action.DUMMY if action is Action.REMOVE else action
            denied = action if action is Action.REMOVE else Action.DUMMY
            found[tag] = Rule(action=action, vrs=(vr,), denied=denied, most_values=0, reason=reason)
        return found

    def pruned(self, sequence: Element) -> tuple[Element, list[tuple[Element, ...]]]:
        """Return a sequence of content items without those that go, and what went."""
        tree = dict(_walk(sequence.items or (), ()))
        gone = {path for path, item in tree.items() if self._goes(item)}
        if not gone:
            return sequence, []
        for path, item in tree.items():
            target = self._target(item)
            if target and any(target[:depth] in gone for depth in range(1, len(target) + 1)):
                gone.add(path)
        items = self._left(sequence.items or (), (), gone)
        return sequence._replace(items=items), [tree[path] for path in sorted(gone)]

    def _goes(self, item: Sequence[Element]) -> bool:
        decided = self.decide(item)
        return decided is not None and decided[0] is Action.REMOVE

    def _left(self, items: Items, path: Path, gone: set[Path]) -> Items:
        left = []
        for number, item in enumerate(items, 1):
            here = (*path, number)
            if here not in gone:
                elements = (self._renewed(element, here, gone) for element in item)
                left.append(tuple(element for element in elements if element is not None))
        return tuple(left)

    def _renewed(self, element: Element, path: Path, gone: set[Path]) -> Element | None:
        if element.tag == CONTENT_SEQUENCE and element.items:
            items = self._left(element.items, path, gone)
            return element._replace(items=items) if items else None
        if element.tag == REFERENCED_ITEM:
            target = self._target((element,))
            numbers = [1, *(_position(target[: end + 1], gone) for end in range(len(target)))]
            value = b"".join(number.to_bytes(4, self._order) for number in numbers)
            return element._replace(value=value)
        return element

    def _target(self, item: Sequence[Element]) -> Path:
        """Return the path of the item that a by-reference relationship names; empty without one."""
        value = next((bytes(e.value) for e in item if e.tag == REFERENCED_ITEM), b"")
        parts = (value[at : at + 4] for at in range(0, len(value), 4))
        return tuple(int.from_bytes(part, self._order) for part in parts)[1:]


def _position(path: Path, gone: set[Path]) -> int:
    """Return the new number of an item among its siblings."""
    before = sum((*path[:-1], number) in gone for number in range(1, path[-1]))
    return path[-1] - before


def _walk(items: Items, path: Path) -> Iterator[tuple[Path, tuple[Element, ...]]]:
    for number, item in enumerate(items, 1):
        yield (*path, number), item
        for element in item:
            if element.tag == CONTENT_SEQUENCE and element.items:
                yield from _walk(element.items, (*path, number))


def _kind(elements: Sequence[Element]) -> str:
    value = next((e.value for e in elements if e.tag == VALUE_TYPE and e.items is None), b"")
    return bytes(value).strip(b" \0").decode("latin-1")


def _concept(elements: Sequence[Element]) -> tuple[str, str]:
    """Return scheme and value of an item's concept name, SNOMED in its current form."""
    named = next((e.items for e in elements if e.tag == CONCEPT_NAME and e.items), ((),))
    texts = {
        e.tag: bytes(e.value).strip(b" \0").decode("latin-1") for e in named[0] if e.items is None
    }
    value = next((texts[tag] for tag in CODE_VALUES if texts.get(tag)), "")
    return canonical(texts.get(SCHEME, ""), value)
