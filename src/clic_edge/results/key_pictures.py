"""Pictures for the appliance's own pages: the slices where a segmentation is largest, and outlines.

They are made of what lies in the archive, the segmentation as it was checked and its originals, so
a page shows what a reader has, long after the masks of the model are gone.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from highdicom.color import CIELabColor
from PIL import Image, ImageDraw

from clic_edge.dicom.reading import read_instance, translated
from clic_edge.results.check_seg import SEGMENT, group_of, pixels_of
from clic_edge.results.drawing import shades_of
from clic_edge.results.edited import segments_of
from clic_edge.results.outlines import outlines
from clic_edge.results.photographs import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

MOST: Final = 3
"""So many slices stand side by side."""
SIDE: Final = 320
"""Pixels of the longer side of each."""
_GAP: Final = 8
_DERIVATION: Final = "DerivationImageSequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySlice:
    """One original, and what was drawn on it."""

    sop_instance_uid: str
    frame_number: int
    """From 1, as DICOM counts frames; 1 of a single-frame image."""
    masks: Mapping[int, NDArray[np.bool_]] = field(repr=False)
    """By Segment Number, in the original's rows and columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySlices:
    """The slices that show a segmentation best, in the order of its frames."""

    slices: tuple[KeySlice, ...]
    colours: Mapping[int, tuple[int, int, int]]
    """Of each segment, as every viewer shows it."""
    scale: tuple[float, float]
    """By what columns and rows are enlarged: a millimetre is as long either way."""
    in_patient: bool

    @property
    def width(self) -> int:
        """Pixels that a slice takes from left to right, with the gap behind it."""
        return self._size[0] + _GAP

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a picture."""
        width, height = self._size
        return len(self.slices) * (width + _GAP) - _GAP, height

    @property
    def _size(self) -> tuple[int, int]:
        rows, columns = next(iter(self.slices[0].masks.values())).shape
        return round(columns * self.scale[0]), round(rows * self.scale[1])


def key_slices_of(segmentation: bytes) -> KeySlices | None:
    """Return the slices on which the segments are largest, at most `MOST`; None of an empty one.

    Raises
    ------
    Defect
        ``picture-impossible``.

    """
    with translated("picture-impossible", "No picture can be made of the segmentation."):
        ds = read_instance(segmentation)
        best: dict[int, tuple[int, tuple[str, int]]] = {}
        for place, number, mask in _masks(ds):
            area = int(np.count_nonzero(mask))
            if area > best.get(number, (0, place))[0]:
                best[number] = area, place
        largest = sorted(best.values(), key=lambda one: -one[0])
        chosen = list(dict.fromkeys(place for _, place in largest))[:MOST]
        found: dict[tuple[str, int], dict[int, NDArray[np.bool_]]] = {}
        for place, number, mask in _masks(ds) if chosen else ():
            if place in chosen and mask.any():
                found.setdefault(place, {})[number] = mask
        if not found:
            return None
        return KeySlices(
            slices=tuple(
                KeySlice(sop_instance_uid=uid, frame_number=frame, masks=masks)
                for (uid, frame), masks in found.items()
            ),
            colours={int(one.SegmentNumber): _colour(one) for one in segments_of(ds)},
            scale=_scale(ds),
            in_patient="FrameOfReferenceUID" in ds,
        )


def plain_picture(key: KeySlices, originals: Sequence[bytes]) -> bytes:
    """Return the originals of the slices side by side, as a PNG without a word in it.

    Raises
    ------
    Defect
        ``picture-impossible``, and as `read_instance` raises.

    """
    canvas = Image.new("RGB", key.size)
    with translated("picture-impossible", "No picture can be made of the original."):
        for index, (one, content) in enumerate(zip(key.slices, originals, strict=True)):
            image = Image.fromarray(_shown(one, content, in_patient=key.in_patient))
            size = (key.width - _GAP, key.size[1])
            enlarged = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
            canvas.paste(enlarged, (index * key.width, 0))
    return _png(canvas)


def outlines_picture(key: KeySlices) -> bytes:
    """Return the outlines alone, as large as `plain_picture`, on nothing: to be laid over it."""
    canvas = Image.new("RGBA", key.size)
    pen = ImageDraw.Draw(canvas)
    for index, one in enumerate(key.slices):
        for number, mask in one.masks.items():
            for loop in outlines(mask):
                line = loop * np.array(key.scale) + (index * key.width, 0)
                points = [(float(x), float(y)) for x, y in line]
                pen.line(points, fill=(0, 0, 0), width=4)  # a dark rim shows on bright images
                pen.line(points, fill=key.colours[number], width=2)
    return _png(canvas)


def _masks(ds: Dataset) -> Iterator[tuple[tuple[str, int], int, NDArray[np.bool_]]]:
    """Yield original and frame, Segment Number and mask of each frame and segment."""
    half = int(ds.get("MaximumFractionalValue", 1)) / 2
    shared = ds.SharedFunctionalGroupsSequence[0]
    numbers = [int(one.SegmentNumber) for one in segments_of(ds)]
    for frame, pixels in zip(ds.PerFrameFunctionalGroupsSequence, pixels_of(ds), strict=True):
        source = group_of(frame, shared, _DERIVATION).SourceImageSequence[0]
        place = str(source.ReferencedSOPInstanceUID), int(source.get("ReferencedFrameNumber", 1))
        if ds.SegmentationType == "LABELMAP":
            yield from ((place, number, pixels == number) for number in numbers)
        else:
            number = int(group_of(frame, shared, SEGMENT).ReferencedSegmentNumber)
            yield place, number, np.asarray(pixels, np.uint8) >= half


def _shown(one: KeySlice, content: bytes, *, in_patient: bool) -> NDArray[np.uint8]:
    if in_patient:
        return shades_of(read_instance(content), one.frame_number)
    return shown(content, "the original")


def _colour(segment: Dataset) -> tuple[int, int, int]:
    red, green, blue = CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb()
    return int(red), int(green), int(blue)


def _scale(ds: Dataset) -> tuple[float, float]:
    shared = ds.SharedFunctionalGroupsSequence[0]
    rows_mm, columns_mm = 1.0, 1.0
    if "PixelMeasuresSequence" in shared:
        rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    by = SIDE / max(ds.Rows * rows_mm, ds.Columns * columns_mm)
    return columns_mm * by, rows_mm * by


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
