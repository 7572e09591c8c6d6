"""Are the tiles where they are said to be? Compressed frames, offset tables, places on the slide.

A reader that trusts a wrong offset table, or a tile that says it lies elsewhere, shows the right
pixels at the wrong place: all of it is compared before a tile is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom import uid

from clic_edge.dicom.codestreams import stated_size
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clic_edge.dicom.attributes import Attributes
    from clic_edge.dicom.slide_headers import SlideImage

_ITEM, _SEQUENCE_DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_HEAD = 8
"""Bytes of an item's tag and length."""
_ELEMENT = 12
"""Bytes of tag, VR and length of pixel data with an explicit VR (PS3.5 7.1.2)."""
_IMPLICIT = 8
_FIRST_BYTES = 4096
"""Enough of a tile to find its size; tables of a JPEG stand before it."""
_ASTRAY = 1.0
"""A tile may say that it lies this many pixels beside where the matrix has it: numbers are rounded."""


def check_frames(image: SlideImage, content: bytes, pixels_at: int | None) -> None:
    """Return when each tile's bytes are there, of the size that is declared, and findable.

    Raises
    ------
    Refusal
        ``slide-syntax``.
    Defect
        ``truncated-instance``, ``undecodable-pixels`` or ``offset-table-wrong``.

    """
    if pixels_at is None:
        raise Refusal("slide-syntax", f"{image.attributes.where} is deflated, which is not read.")
    tiling = image.tiling
    if image.syntax in uid.UncompressedTransferSyntaxes:
        head = _ELEMENT if image.syntax == uid.ExplicitVRLittleEndian else _IMPLICIT
        length = int.from_bytes(content[pixels_at + head - 4 : pixels_at + head], "little")
        needed = tiling.frames * tiling.rows * tiling.columns * 3
        if min(length, len(content) - pixels_at - head) < needed:
            raise _truncated(image)
        return
    table, *items = _items(image, content, pixels_at + _ELEMENT)
    starts = _frame_starts(image, content, items)
    _check_tables(image, content[slice(*table)], starts)
    for start in starts:
        if stated_size(content[start : start + _FIRST_BYTES]) != (tiling.rows, tiling.columns, 3):
            raise Defect(
                "undecodable-pixels",
                f"{image.attributes.where}: a tile is not of the size that the header declares.",
            )


def _items(image: SlideImage, content: bytes, at: int) -> list[tuple[int, int]]:
    """Return where the value of each item begins and ends; the first is the offset table."""
    spans = []
    while content[at : at + 4] == _ITEM and at + _HEAD <= len(content):
        begin = at + _HEAD
        at = begin + int.from_bytes(content[at + 4 : begin], "little")
        spans.append((begin, at))
    if not spans or content[at : at + 4] != _SEQUENCE_DELIMITER:
        raise _truncated(image)
    return spans


def _frame_starts(
    image: SlideImage, content: bytes, items: list[tuple[int, int]]
) -> NDArray[np.int64]:
    """Return where the codestream of each frame begins: at each signature, as fragments go on."""
    signature = b"\xff\xd8\xff" if image.syntax == uid.JPEGBaseline8Bit else b"\xff\x4f\xff\x51"
    starts = [begin for begin, _ in items if content.startswith(signature, begin)]
    if len(starts) < image.tiling.frames:
        raise _truncated(image)
    if len(starts) > image.tiling.frames:
        raise Defect(
            "undecodable-pixels", f"{image.attributes.where} holds more tiles than it declares."
        )
    return np.array(starts, np.int64)


def _check_tables(image: SlideImage, basic: bytes, starts: NDArray[np.int64]) -> None:
    """Compare both offset tables (PS3.5 A.4, PS3.3 C.7.6.3.1.8) with where the items begin."""
    expected = starts - starts[0]
    tables = [np.frombuffer(basic, "<u4", len(basic) // 4).astype(np.int64)]
    extended = image.attributes.dataset.get("ExtendedOffsetTable") or b""
    if isinstance(extended, bytes):
        tables.append(np.frombuffer(extended, "<u8", len(extended) // 8).astype(np.int64))
    for table in tables:
        if table.size and not np.array_equal(table, expected):
            raise Defect(
                "offset-table-wrong",
                f"{image.attributes.where}: its offset table points beside the tiles.",
            )


def check_places(image: SlideImage) -> None:
    """Return when each tile of a sparse image lies on the grid, once, and where it says.

    Raises
    ------
    Refusal
        ``several-focal-planes``.
    Defect
        ``tile-misplaced`` or ``invalid-attribute``.

    """
    if image.tiling.full:
        return
    frames = image.attributes.items("PerFrameFunctionalGroupsSequence")
    if len(frames) != image.tiling.frames:
        raise _misplaced(image, "not every tile says where it lies")
    places = np.array(list(_places(image, frames)))
    tiling, matrix = image.tiling, image.matrix
    columns, rows = places[:, 0] - 1, places[:, 1] - 1
    inside = (columns >= 0) & (columns < matrix.columns) & (rows >= 0) & (rows < matrix.rows)
    if not inside.all() or (columns % tiling.columns).any() or (rows % tiling.rows).any():
        raise _misplaced(image, "a tile lies beside the grid of tiles")
    if len(set(zip(columns.tolist(), rows.tolist(), strict=True))) < len(places):
        raise _misplaced(image, "two tiles lie at one place")
    expected = matrix.on_slide(np.stack([columns, rows], axis=1))[:, :2]
    told = places[:, 2:4]
    distance = np.linalg.norm(expected - told, axis=1)
    if (distance[np.isfinite(told).all(axis=1)] > _ASTRAY * max(matrix.spacing_mm)).any():
        raise _misplaced(image, "a tile says in millimetres that it lies elsewhere")


def _places(image: SlideImage, frames: tuple[Attributes, ...]) -> Iterator[tuple[float, ...]]:
    """Yield column, row, x and y in mm of each frame; NaN where no millimetres are told."""
    depths = set()
    for frame in frames:
        place = frame.first_item("PlanePositionSlideSequence")
        if place is None:
            raise _misplaced(image, "not every tile says where it lies")
        x, y, z = (place.number(f"{axis}OffsetInSlideCoordinateSystem") for axis in "XYZ")
        depths.add(round(z or 0.0, 6))
        yield (
            place.required("ColumnPositionInTotalImagePixelMatrix"),
            place.required("RowPositionInTotalImagePixelMatrix"),
            float("nan") if x is None else x,
            float("nan") if y is None else y,
        )
    if len(depths) > 1:
        raise Refusal("several-focal-planes", f"{image.attributes.where} has several focal planes.")


def _misplaced(image: SlideImage, why: str) -> Defect:
    return Defect("tile-misplaced", f"{image.attributes.where}: {why}.")


def _truncated(image: SlideImage) -> Defect:
    return Defect("truncated-instance", f"{image.attributes.where} ends before its last pixel")
