"""An instance's pixels as a reader sees them, from its elements; decoders by decision 0007."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

from clic_edge.dicom.codestreams import require_room, stated_size
from clic_edge.dicom.reading import translated
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from clic_edge.deid.part10 import Element, Encoding, Part10

SOP_CLASS, NUMBER_OF_FRAMES, PIXEL_DATA = 0x00080016, 0x00280008, 0x7FE00010
SAMPLES, PHOTOMETRIC, PLANAR, ROWS, COLUMNS = (
    0x00280002,
    0x00280004,
    0x00280006,
    0x00280010,
    0x00280011,
)
BITS_ALLOCATED, BITS_STORED, HIGH_BIT, SIGN = 0x00280100, 0x00280101, 0x00280102, 0x00280103
PADDING = 0x00280120
REGIONS = 0x00186011
_PALETTE = (0x00281101, 0x00281102, 0x00281103)
_TABLES = (0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223)
_ULTRASOUND = ("1.2.840.10008.5.1.4.1.1.3", "1.2.840.10008.5.1.4.1.1.6")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """Frames as they are stored after decoding, colour as RGB."""

    frames: NDArray[np.integer]
    """Shape (frames, rows, columns), or (frames, rows, columns, 3)."""
    photometric: str
    bits_stored: int
    palette: Dataset | None
    padding: int | None
    had_overlays: bool
    """Whether bits that are not stored held something; they are gone from `frames`."""
    outside: NDArray[np.bool_] | None
    """What lies outside the ultrasound regions (PS3.3 C.8.5.5), shape (rows, columns)."""

    @property
    def has_colour(self) -> bool:
        """Whether a pixel has three samples."""
        return self.frames.ndim == 4  # noqa: PLR2004 - frames, rows, columns, samples

    def seen(self, frame: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return a frame as a reader sees it: palette colours applied.

        Raises Defect ``undecodable-pixels``.
        """
        if self.palette is None:
            return frame
        with translated("undecodable-pixels", "The palette can't be applied."):
            return apply_color_lut(frame, self.palette)

    @property
    def black(self) -> int:
        """The stored value that blanks: padding, or what is shown darkest."""
        if self.padding is not None:
            return self.padding
        low, high = int(self.frames.min()), int(self.frames.max())
        if self.palette is not None:
            index = np.arange(low, high + 1, dtype=self.frames.dtype)[None]
            return low + int(self.seen(index)[0].astype(np.int64).sum(axis=-1).argmin())
        if self.photometric == "MONOCHROME1":
            return high
        return 0 if self.has_colour else low


class _Attributes:
    """Reads what is needed of an instance's top-level elements."""

    def __init__(self, elements: Mapping[int, Element], encoding: Encoding) -> None:
        self._elements = elements
        self.order: Literal["little", "big"] = "little" if encoding.little else "big"

    def bytes(self, tag: int) -> bytes:
        """Return a value; empty where there is none."""
        return bytes(self._elements[tag].value) if tag in self._elements else b""

    def text(self, tag: int) -> str:
        """Return a value as text."""
        return self.bytes(tag).decode("latin-1").strip(" \0")

    def number(self, tag: int) -> int:
        """Return a binary value of one number; 0 where there is none."""
        return int.from_bytes(self.bytes(tag), self.order)

    def shorts(self, tag: int) -> list[int]:
        """Return a value as unsigned 16-bit numbers."""
        value = self.bytes(tag)
        return [int.from_bytes(value[at : at + 2], self.order) for at in range(0, len(value), 2)]

    def regions(self) -> list[tuple[int, int, int, int]]:
        """Return first row, first column, last row and last column of each ultrasound region."""
        items = self._elements[REGIONS].items if REGIONS in self._elements else None
        corners = (0x0018601A, 0x00186018, 0x0018601E, 0x0018601C)
        found = []
        for item in items or ():
            values = {element.tag: element.value for element in item}
            first, left, last, right = (int.from_bytes(values[tag], self.order) for tag in corners)
            found.append((first, left, last, right))
        return found


def decoded(source: Part10, elements: Mapping[int, Element]) -> DecodedImage:
    """Return the frames of an instance; `elements` are those of `source` by tag.

    Raises
    ------
    Refusal
        ``unsafe-pixels``: pixels of a kind that can't be looked at; ``pixels-too-large``.
    Defect
        ``undecodable-pixels``.

    """
    attributes = _Attributes(elements, source.encoding)
    bits, allocated = attributes.number(BITS_STORED), attributes.number(BITS_ALLOCATED)
    if allocated not in {8, 16} or attributes.number(SAMPLES) not in {1, 3}:
        raise unsafe("pixels of this kind can't be looked at")
    with translated("undecodable-pixels", "The pixels can't be decoded."):
        frames, photometric = _frames(source, elements[PIXEL_DATA], attributes)
        stored = frames
        if bits < allocated and frames.ndim == 3:  # noqa: PLR2004 - without colour
            stored = _without_unused_bits(frames, bits, attributes.number(HIGH_BIT))
        return DecodedImage(
            frames=stored,
            photometric=photometric,
            bits_stored=bits,
            palette=_palette(attributes) if photometric == "PALETTE COLOR" else None,
            padding=_padding(attributes, stored),
            had_overlays=not np.array_equal(stored, frames),
            outside=_outside(attributes, stored.shape[1:3]),
        )


def _frames(
    source: Part10, element: Element, attributes: _Attributes
) -> tuple[NDArray[np.integer], str]:
    """Return the decoded frames and their photometric interpretation."""
    syntax = uid.UID(source.transfer_syntax_uid)
    shape = (attributes.number(ROWS), attributes.number(COLUMNS))
    samples, count = attributes.number(SAMPLES), int(attributes.text(NUMBER_OF_FRAMES) or 1)
    require_room("An image", count, *shape, samples, attributes.number(BITS_ALLOCATED) // 8)
    value = bytes(element.value)
    if syntax not in {*uid.UncompressedTransferSyntaxes, *uid.RLETransferSyntaxes}:
        for frame in generate_frames(value, number_of_frames=count):
            if stated_size(frame) != (*shape, samples):
                raise ValueError(shape)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = syntax
    image.SamplesPerPixel, image.NumberOfFrames = samples, count
    image.Rows, image.Columns = shape
    image.BitsAllocated = attributes.number(BITS_ALLOCATED)
    image.BitsStored = attributes.number(BITS_STORED)
    image.PixelRepresentation = attributes.number(SIGN)
    image.PhotometricInterpretation = attributes.text(PHOTOMETRIC)
    image.PlanarConfiguration = attributes.number(PLANAR)
    image.add_new(PIXEL_DATA, element.vr, value)
    array, stated = get_decoder(syntax).as_array(image, decoding_plugin=_decoder(syntax))
    frames = array.reshape(count, *shape, *((3,) if samples > 1 else ()))
    return frames, "RGB" if samples > 1 else str(stated["photometric_interpretation"])


def _decoder(syntax: str) -> str:
    """Return pydicom's name of the decoder that survives broken frames."""
    if syntax in uid.UncompressedTransferSyntaxes:
        return ""
    if syntax in uid.RLETransferSyntaxes:
        return "pydicom"
    return "pyjpegls" if syntax in uid.JPEGLSTransferSyntaxes else "pylibjpeg"


def _without_unused_bits(frames: NDArray[np.integer], bits: int, high: int) -> NDArray[np.integer]:
    """Return values without what old writers keep in the bits that are not stored: overlays."""
    width = frames.dtype.itemsize * 8
    return (frames << (width - 1 - high)) >> (width - bits)


def _palette(attributes: _Attributes) -> Dataset:
    palette = Dataset()
    for tag in _PALETTE:
        palette.add_new(tag, "US", attributes.shorts(tag))
    for tag in _TABLES:
        table = np.array(attributes.shorts(tag), "<u2").tobytes()
        if table:
            palette.add_new(tag, "OW", table)
    return palette


def _padding(attributes: _Attributes, frames: NDArray[np.integer]) -> int | None:
    value = attributes.bytes(PADDING)
    if len(value) != 2 or frames.ndim == 4:  # noqa: PLR2004 - bytes; frames with colour
        return None
    is_signed = bool(attributes.number(SIGN))
    number = int.from_bytes(value, attributes.order, signed=is_signed)
    limits = np.iinfo(frames.dtype)
    return number if limits.min <= number <= limits.max else None


def _outside(attributes: _Attributes, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    regions = attributes.regions()
    if not (regions and attributes.text(SOP_CLASS).startswith(_ULTRASOUND)):
        return None
    outside = np.ones(shape, bool)
    for first, left, last, right in regions:
        outside[first : last + 1, left : right + 1] = False
    return outside


def unsafe(why: str) -> Refusal:
    """Return the refusal of pixels that may show text."""
    return Refusal("unsafe-pixels", f"The pixels are not known to be free of text: {why}.")
