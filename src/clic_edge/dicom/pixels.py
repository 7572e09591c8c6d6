"""Stored pixels to real values: decoded, rescaled, in the order asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydicom import uid
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array

from clic_edge.dicom.codestreams import require_room, stated_size
from clic_edge.dicom.reading import read_instance, translated
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.dicom.attributes import Attributes
    from clic_edge.dicom.planes import Plane

_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0"
_INT16 = np.iinfo(np.int16)
_BITS = _INT16.bits


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSource:
    """An instance whose frames can be decoded."""

    content: bytes
    attributes: Attributes
    """Everything but the pixels."""
    pixels_at: int | None
    """Offset of the pixel data element, where the file is not deflated."""

    def frames(self) -> NDArray[np.integer]:
        """Return the stored values, shape (frames, rows, columns).

        Uncompressed 16-bit pixels are a view of the file's bytes; all others go through
        pydicom's decoders.

        Raises
        ------
        Defect
            ``truncated-instance``, ``undecodable-pixels`` or ``invalid-attribute``.
        Refusal
            ``pixels-too-large``.

        """
        shape = (
            self.attributes.integer("NumberOfFrames") or 1,
            self.attributes.required("Rows"),
            self.attributes.required("Columns"),
        )
        require_room(self.attributes.where, *shape, _BITS // 8)
        syntax = self.attributes.meta.text("TransferSyntaxUID")
        implicit, little_endian = self.attributes.dataset.original_encoding
        # A dataset without File Meta Information has no syntax, and is never compressed.
        native = syntax in {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, ""}
        if native and little_endian and self.attributes.required("BitsAllocated") == _BITS:
            return self._native(shape, explicit=not implicit)
        return self._decoded(shape, syntax)

    def _native(self, shape: tuple[int, int, int], *, explicit: bool) -> NDArray[np.integer]:
        # Tag and length of the element: 8 bytes, 12 with an explicit VR of OB or OW (PS3.5 7.1).
        element = self.pixels_at or 0
        start = element + (12 if explicit else 8)
        stated = int.from_bytes(self.content[start - 4 : start], "little")
        length = math.prod(shape) * 2
        if (
            self.content[element : element + 4] != _PIXEL_DATA
            or min(stated, len(self.content) - start) < length
        ):
            raise self._truncated()
        if stated == _UNDEFINED_LENGTH:
            where = self.attributes.where
            raise Defect("undecodable-pixels", f"{where}: the pixels are not as its syntax says")
        dtype = "<i2" if self.attributes.integer("PixelRepresentation") else "<u2"
        stored = np.frombuffer(self.content, dtype, length // 2, start).reshape(shape)
        bits, high = self.attributes.required("BitsStored"), self.attributes.required("HighBit")
        if not 0 < bits <= high + 1 <= _BITS:
            where = self.attributes.where
            raise Defect("invalid-attribute", f"{where}: Bits Stored (0028,0101) cannot be used")
        if bits < _BITS:
            # Old writers keep overlays in the bits that are not stored.
            stored = (stored << (_BITS - 1 - high)) >> (_BITS - bits)
        return stored

    def _decoded(self, shape: tuple[int, int, int], syntax: str) -> NDArray[np.integer]:
        where = self.attributes.where
        dataset = read_instance(self.content, where)
        self.require_whole(dataset, syntax)
        with translated("undecodable-pixels", f"{where}: the pixels cannot be decoded"):
            require_stated_size(dataset.PixelData, (*shape, 1), syntax)
            return pixel_array(dataset, raw=True, decoding_plugin=decoder_of(syntax)).reshape(shape)

    def require_whole(self, dataset: Dataset, syntax: str) -> None:
        """Return where the pixels run to their end. Raises Defect ``truncated-instance``."""
        native = syntax in uid.UncompressedTransferSyntaxes or not syntax
        if "PixelData" not in dataset or not (native or self._is_delimited()):
            raise self._truncated()

    def _is_delimited(self) -> bool:
        """Whether encapsulated pixels run to their delimiter (PS3.5 A.4): decoders do not ask."""
        at = (self.pixels_at or 0) + 12
        while self.content[at : at + 4] == _ITEM:
            at += 8 + int.from_bytes(self.content[at + 4 : at + 8], "little")
        return self.content[at : at + 4] == _SEQUENCE_DELIMITER and at + 8 <= len(self.content)

    def _truncated(self) -> Defect:
        return Defect("truncated-instance", f"{self.attributes.where} ends before its last pixel")


def require_stated_size(pixel_data: bytes, shape: tuple[int, int, int, int], syntax: str) -> None:
    """Return where every compressed frame has the rows, columns and samples of the header.

    `shape` begins with the number of frames. Raises ValueError.
    """
    if syntax in {"", *uid.UncompressedTransferSyntaxes, *uid.RLETransferSyntaxes}:
        return
    for frame in generate_frames(pixel_data, number_of_frames=shape[0]):
        if stated_size(frame) != shape[1:]:
            raise ValueError(shape)


def decoder_of(syntax: str) -> str:
    """Return pydicom's name of the one decoder that survives broken frames, or none for native.

    GDCM ends the process over some JPEG-LS frames, and pylibjpeg's RLE panics past `Exception`.
    """
    if not syntax or syntax in uid.UncompressedTransferSyntaxes:
        return ""
    if syntax in uid.RLETransferSyntaxes:
        return "pydicom"
    return "pyjpegls" if syntax in uid.JPEGLSTransferSyntaxes else "pylibjpeg"


def read_voxels(sources: Sequence[PixelSource], planes: Sequence[Plane]) -> NDArray[np.generic]:
    """Return the slices of `planes`, shape (slices, rows, columns), rescaled and read-only.

    int16 where every slice has slope 1, an integral intercept and values that fit; else float32.
    `sources` are indexed by `SliceSource.instance_index`.

    Raises
    ------
    Defect, Refusal
        As `PixelSource.frames`.

    """
    integral = all(plane.slope == 1 and plane.intercept.is_integer() for plane in planes)
    size = np.dtype(np.int16 if integral else np.float32).itemsize
    require_room(f"{len(planes)} slices", len(planes), *planes[0].shape, size)
    with translated("undecodable-pixels", f"{len(planes)} slices do not fit in memory"):
        voxels = np.empty((len(planes), *planes[0].shape), np.int16 if integral else np.float32)
    for index in dict.fromkeys(plane.source.instance_index for plane in planes):
        frames = sources[index].frames()
        for place, plane in enumerate(planes):
            if plane.source.instance_index != index:
                continue
            stored = frames[plane.source.frame_number - 1]
            if voxels.dtype == np.int16 and not _fits(stored, plane.intercept):
                voxels = voxels.astype(np.float32)
            if voxels.dtype == np.int16:
                np.add(stored, np.int32(plane.intercept), out=voxels[place], casting="unsafe")
            else:
                voxels[place] = stored * plane.slope + plane.intercept
    voxels.flags.writeable = False
    return voxels


def _fits(stored: NDArray[np.integer], intercept: float) -> bool:
    return bool(stored.min() + intercept >= _INT16.min and stored.max() + intercept <= _INT16.max)
