"""Burned-in text taken out of pixels: looked for, blanked, and looked for again.

What is blanked: text-like areas, and in ultrasound whatever lies outside the regions that the
object declares (PS3.3 C.8.5.5). Pixels without such areas stay as they are, byte for byte; changed
ones are stored uncompressed, so that nothing but the blanked areas differs from what was decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydicom import uid

from clic_edge.deid.decoding import (
    BITS_ALLOCATED,
    BITS_STORED,
    HIGH_BIT,
    PHOTOMETRIC,
    PLANAR,
    SAMPLES,
    DecodedImage,
    decoded,
    unsafe,
)
from clic_edge.deid.part10 import Writer
from clic_edge.deid.pixels import BURNED_IN, PIXEL_DATA
from clic_edge.deid.textareas import text_areas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from clic_edge.deid.part10 import Element, Encoding, Part10

MOST = 0.5
"""Share of a frame beyond which blanking leaves no image; the instance is refused."""
ROUNDS = 4
"""How often pixels are looked at; text in the last look refuses the instance."""
_STALE = frozenset({0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280121})
"""Smallest and largest pixel values and padding range, which blanking may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanPixels:
    """What looking at an instance's pixels came to."""

    attributes: dict[int, bytes]
    """What replaces elements of the dataset, by tag, laid out."""
    dropped: frozenset[int]
    """Tags that no longer hold."""
    transfer_syntax_uid: str
    pixel_data: bytes | None
    """The element, laid out; None where nothing was blanked and the source's stays."""
    blanked: int
    """Pixels that were blanked, over all frames."""


def cleaned_pixels(source: Part10, elements: Mapping[int, Element]) -> CleanPixels:
    """Return the pixels of an instance without text-like areas; the source's where it has none.

    `elements` are those of `source` by tag.

    Raises
    ------
    Refusal
        ``unsafe-pixels``: text is left after blanking, no image would be left, or the pixels are
        of a kind that can't be looked at.
    Defect
        ``undecodable-pixels``.

    """
    image = decoded(source, elements)
    frames = image.frames.copy()
    blanked = np.zeros(frames.shape[:3], bool)
    if image.outside is not None:
        blanked |= image.outside
    for _ in range(ROUNDS):
        frames[blanked] = image.black
        found = _text(image, frames, blanked) & ~blanked
        if not found.any():
            break
        blanked |= found
    else:
        raise unsafe("text-like areas are left after blanking")
    if float(blanked.mean(axis=(1, 2)).max(initial=0)) > MOST:
        raise unsafe("blanking the text would leave no image")
    if blanked.any() or image.had_overlays:
        return _laid_out(source, image, frames, blanked=int(blanked.sum()))
    return CleanPixels(
        attributes=_no_text(Writer(source.encoding)),
        dropped=frozenset(),
        transfer_syntax_uid=source.transfer_syntax_uid,
        pixel_data=None,
        blanked=0,
    )


def _text(
    image: DecodedImage, frames: NDArray[np.integer], blanked: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the text-like areas of each frame, with those of their mean: text that stands still."""
    looked_at = zip(frames, blanked, strict=True)
    found = np.stack([text_areas(image.seen(frame), hidden) for frame, hidden in looked_at])
    if len(frames) > 1 and image.palette is None:
        always: NDArray[np.bool_] = np.asarray(blanked.all(axis=0))
        found |= text_areas(frames.mean(axis=0).astype(frames.dtype), always)
    return found


def _laid_out(
    source: Part10, image: DecodedImage, frames: NDArray[np.integer], *, blanked: int
) -> CleanPixels:
    """Return changed pixels, uncompressed, and the attributes that say how they are stored now."""
    encoding, syntax = source.encoding, source.transfer_syntax_uid
    if syntax not in uid.UncompressedTransferSyntaxes:
        syntax = str(uid.ExplicitVRLittleEndian)
    writer = Writer(encoding)
    value = frames.astype(frames.dtype.newbyteorder("<" if encoding.little else ">")).tobytes()
    value += b"\0" * (len(value) % 2)
    is_wide = frames.dtype.itemsize > 1
    dropped = _STALE if image.has_colour else _STALE | {PLANAR}
    return CleanPixels(
        attributes=_no_text(writer) | _description(image, writer, encoding),
        dropped=dropped,
        transfer_syntax_uid=syntax,
        pixel_data=writer.head(PIXEL_DATA, "OW" if is_wide else "OB", len(value)) + value,
        blanked=blanked,
    )


def _no_text(writer: Writer) -> dict[int, bytes]:
    return {BURNED_IN: writer.element(BURNED_IN, "CS", b"NO")}


def _description(image: DecodedImage, writer: Writer, encoding: Encoding) -> dict[int, bytes]:
    numbers = {
        SAMPLES: 3 if image.has_colour else 1,
        BITS_ALLOCATED: image.frames.dtype.itemsize * 8,
        BITS_STORED: image.bits_stored,
        HIGH_BIT: image.bits_stored - 1,
    }
    if image.has_colour:
        numbers[PLANAR] = 0
    order: Literal["little", "big"] = "little" if encoding.little else "big"
    described = {
        tag: writer.element(tag, "US", number.to_bytes(2, order)) for tag, number in numbers.items()
    }
    shown = image.photometric.encode("ascii")
    return described | {PHOTOMETRIC: writer.element(PHOTOMETRIC, "CS", shown)}
