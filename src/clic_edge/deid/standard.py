"""The tables of the standard that ship with the package, as values.

DICOM PS3.15 2026d and PS3.16 2026d, © NEMA; edition and notice stand in each file of ``tables/``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from clic_edge.domain.prediction import Code

EDITION = "PS3.15 2026d"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidentialityRow:
    """One row of PS3.15 Table E.1-1."""

    name: str
    pattern: str
    """The tag as the table writes it: ``(0010,0010)``, ``(60xx,3000)``."""
    basic_profile: str
    """The action code, e.g. ``X/Z/D``; PS3.15 Table E.1-1a says what it means."""
    options: tuple[tuple[str, str], ...]
    """Option column and action code, for each cell that is not empty."""

    @property
    def tag(self) -> int | None:
        """The tag as a number; None for a repeating group and for the private attributes."""
        digits = self.pattern[1:5] + self.pattern[6:10]
        return int(digits, 16) if len(self.pattern) == 11 and "x" not in digits else None  # noqa: PLR2004 - (gggg,eeee)


def table(name: str) -> str:
    """Return a shipped table as JSON text."""
    return (files("clic_edge.deid") / "tables" / f"{name}.json").read_text(encoding="utf-8")


@cache
def confidentiality_rows() -> tuple[ConfidentialityRow, ...]:
    """Return the rows of Table E.1-1, in the table's order."""
    return tuple(
        ConfidentialityRow(
            name=row["name"],
            pattern=row["tag"],
            basic_profile=row["basic_profile"],
            options=tuple(sorted(row["options"].items())),
        )
        for row in json.loads(table("e1_1"))["rows"]
    )


@cache
def option_names() -> tuple[str, ...]:
    """Return the option columns of Table E.1-1, sorted."""
    return tuple(sorted({name for row in confidentiality_rows() for name, _ in row.options}))


@cache
def method_codes() -> tuple[tuple[str, Code], ...]:
    """Return CID 7050: the option's name as in Table E.1-1 (``basic`` for the profile) and its code."""
    return tuple(
        (
            _option_of(row["code_meaning"]),
            Code(
                value=row["code_value"],
                scheme=row["scheme_designator"],
                meaning=row["code_meaning"],
            ),
        )
        for row in json.loads(table("cid_7050"))["rows"]
    )


def _option_of(meaning: str) -> str:
    if meaning.startswith("Basic "):
        return "basic"
    words = meaning.removesuffix(" Option").replace("Temporal Information ", "")
    return words.lower().replace(" ", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeTypes:
    """How strictly the IODs ask for an attribute: 1 (a value), 2 (may be empty) or 3 (may be absent).

    Conditional types count as their strict form; types are known only where they decide something.
    """

    top: dict[str, dict[int, int]]
    """By SOP Class UID, then by tag."""
    nested: dict[int, int]
    """By tag: the strictest type in any sequence of any IOD."""

    def of(self, sop_class_uid: str, tag: int, *, nested: bool) -> int:
        """Return the type of an attribute; 3 where no IOD asks for it."""
        known = self.nested if nested else self.top.get(sop_class_uid, {})
        return known.get(tag, 3)


@cache
def attribute_types() -> AttributeTypes:
    """Return the attribute types of ``tables/attribute_types.json``."""
    content = json.loads(table("attribute_types"))
    lists: list[dict[int, int]] = [
        {int(tag, 16): kind for tag, kind in entries.items()} for entries in content["top"]
    ]
    return AttributeTypes(
        top={uid: lists[index] for uid, index in content["sop_classes"].items()},
        nested={int(tag, 16): kind for tag, kind in content["nested"].items()},
    )
