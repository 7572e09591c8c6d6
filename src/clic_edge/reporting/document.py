"""A report as people read it: sections of words, tables and pictures, before any form is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clic_edge.drawing.look import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A paragraph."""

    text: str
    is_notice: bool = False
    """Something that the reader should not miss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under named columns."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers_from: int = 1
    """The column from which on there are numbers, set to the right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A chart."""

    svg: str = field(repr=False)
    message: str
    """What it shows, for who cannot see it."""


Block = Words | Table | Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Blocks under a heading."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The whole report."""

    title: str
    subtitle: str
    footer: str
    language: Language
    sections: tuple[Section, ...]
