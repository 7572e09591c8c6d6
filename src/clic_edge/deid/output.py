"""What is written of one instance: its bytes in pieces, so that pixels that stay lie in memory once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from pydicom.uid import DeflatedExplicitVRLittleEndian

from clic_edge.deid import part10
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clic_edge.deid.part10 import Element, Part10

Piece = bytes | memoryview
PIECE = 1 << 20
"""Bytes that are looked at together."""
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A Part 10 file in memory."""

    pieces: tuple[Piece, ...] = field(repr=False)
    """Its bytes; the value of its pixels may be a view of the source."""
    parsed: Part10 = field(repr=False, compare=False)
    """What a reader finds in these bytes."""

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return a file that lies in one piece. Raises Defect ``unreadable-instance``."""
        return cls(pieces=(content,), parsed=part10.read(content))

    def joined(self) -> bytes:
        """Return the file in one piece."""
        return b"".join(self.pieces) if len(self.pieces) > 1 else bytes(self.pieces[0])

    def parts(self) -> Iterator[bytes]:
        """Yield the bytes, `PIECE` of them at a time at most."""
        for piece in self.pieces:
            for at in range(0, len(piece), PIECE):
                yield bytes(piece[at : at + PIECE])


def laid_out(
    sop: tuple[str, str], syntax: str, dataset: Sequence[bytes], *, bulk: Sequence[Piece]
) -> Output:
    """Return the file of a dataset and its pixels: header, value and padding, or nothing."""
    if len(bulk) != len(("header", "value", "padding")) or syntax == DeflatedExplicitVRLittleEndian:
        return Output.of(part10.file_bytes(sop, syntax, [*dataset, *bulk]))
    head = part10.file_bytes(sop, syntax, dataset)
    before = part10.read(head)
    header, value, padding = bulk
    return Output(
        pieces=(head + bytes(header), value, *((padding,) if padding else ())),
        parsed=replace(before, elements=(*before.elements, _read(bulk, before))),
    )


def _read(bulk: Sequence[Piece], before: Part10) -> Element:
    """Return the element that a reader finds in these bytes behind the others."""
    header, value, padding = bulk
    tag, vr, length, at = part10.Reader(header, before.encoding).header(0)
    is_encapsulated = length == _UNDEFINED
    reader = part10.Reader(value, before.encoding)
    end = reader.fragments_end(0) if is_encapsulated else length - len(padding)
    if tag not in part10.BULK_TAGS or at != len(header) or end != len(value):
        raise Defect("unwritable-element", "The pixel data does not have the length that it says.")
    whole = value if not padding or is_encapsulated else bytes(value) + bytes(padding)
    return part10.Element(tag, vr, whole, None, encapsulated=is_encapsulated)
