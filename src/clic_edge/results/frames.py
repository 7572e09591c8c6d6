"""The frames of a segmentation: where each lies, and their pixels, as bytes."""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from pydicom.valuerep import DSfloat

from clic_edge.domain.prediction import Code
from clic_edge.results.encoding import (
    element,
    encapsulated_pixels,
    native_pixels,
    sequence,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.results.source import Plane, Source

    Pixels = NDArray[np.bool_ | np.unsignedinteger]
    """Shape (rows, columns)."""

NATIVE = (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
ENCAPSULATED = {
    RLELossless: "pylibjpeg",
    JPEGLSLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
}
"""Lossless, with the library that encodes it; for frames of whole bytes."""

REPRESENTATIONS = {8: "OB", 16: "OW"}
"""Of uncompressed pixels, by Bits Allocated (PS3.5 A.2)."""

SEGMENTATION = Code(value="113076", scheme="DCM", meaning="Segmentation")
SOURCE_IMAGE = Code(
    value="121322", scheme="DCM", meaning="Source image for image processing operation"
)


class Place(NamedTuple):
    """Which part of the prediction one frame shows."""

    segment_number: int
    """Of the object; 0 where a frame shows all segments."""
    slice_index: int


def per_frame_groups(source: Source, places: Iterable[Place], *, in_patient: bool = True) -> bytes:
    """Return the Per-Frame Functional Groups Sequence (5200,9230), PS3.3 C.7.6.16.

    A frame is indexed by its segment, where it has one, and by its plane: among those in use,
    counted from 1. What is said of a plane is encoded once for all segments on it.
    """
    places = list(places)
    used = sorted({place.slice_index for place in places})
    planes = {
        k: (rank, _derivation(source.planes[k]), _position(source.planes[k]))
        for rank, k in enumerate(used, start=1)
    }
    frames = []
    for number, k in places:
        rank, derivation, position = planes[k]
        index = struct.pack("<LL", number, rank) if number else struct.pack("<L", rank)
        if not in_patient:  # all frames are of one image, and lie nowhere
            index, position = struct.pack("<L", number), b""
        content = sequence("FrameContentSequence", element("DimensionIndexValues", index))
        frames.append(
            derivation + content + position + (_identification(number) if number else b"")
        )
    return sequence("PerFrameFunctionalGroupsSequence", *frames)


def packed_bits(frames: Iterable[Pixels]) -> Iterator[bytes]:
    """Yield the bits of all frames without a gap: one may begin within a byte (PS3.5 8.1.1).

    Eight frames of any size fill whole bytes, so they are packed together.
    """
    frames = iter(frames)
    while batch := list(islice(frames, 8)):
        yield np.packbits(batch, bitorder="little").tobytes()


def pixel_data(header: Dataset, frames: Iterable[Pixels], transfer_syntax: UID) -> Iterator[bytes]:
    """Yield Pixel Data (7FE0,0010) of frames as `header` describes them, one after another."""
    if transfer_syntax in ENCAPSULATED:
        return encapsulated_pixels(_compressed(header, frame, transfer_syntax) for frame in frames)
    bits = header.NumberOfFrames * header.Rows * header.Columns * header.BitsAllocated
    if header.BitsAllocated == 1:
        return native_pixels(packed_bits(frames), -(-bits // 8))
    pieces = (frame.tobytes() for frame in frames)
    return native_pixels(pieces, bits // 8, vr=REPRESENTATIONS[header.BitsAllocated])


def _compressed(header: Dataset, frame: Pixels, transfer_syntax: UID) -> bytes:
    encoded: bytes = get_encoder(transfer_syntax).encode(
        frame,
        encoding_plugin=ENCAPSULATED[transfer_syntax],
        rows=header.Rows,
        columns=header.Columns,
        samples_per_pixel=1,
        number_of_frames=1,
        photometric_interpretation=header.PhotometricInterpretation,
        bits_allocated=header.BitsAllocated,
        bits_stored=header.BitsStored,
        pixel_representation=header.PixelRepresentation,
    )
    return encoded


def _derivation(plane: Plane) -> bytes:
    number = plane.frame_number
    image = sequence(
        "SourceImageSequence",
        element("ReferencedSOPClassUID", plane.image.sop_class_uid.encode())
        + element("ReferencedSOPInstanceUID", plane.image.sop_instance_uid.encode())
        + (b"" if number is None else element("ReferencedFrameNumber", str(number).encode()))
        + element("SpatialLocationsPreserved", b"YES")
        + _code("PurposeOfReferenceCodeSequence", SOURCE_IMAGE),
    )
    return sequence(
        "DerivationImageSequence", image + _code("DerivationCodeSequence", SEGMENTATION)
    )


def _position(plane: Plane) -> bytes:
    value = "\\".join(str(DSfloat(one, auto_format=True)) for one in plane.position)
    return sequence("PlanePositionSequence", element("ImagePositionPatient", value.encode()))


def _identification(number: int) -> bytes:
    return sequence(
        "SegmentIdentificationSequence",
        element("ReferencedSegmentNumber", struct.pack("<H", number)),
    )


def _code(keyword: str, code: Code) -> bytes:
    return sequence(
        keyword,
        element("CodeValue", code.value.encode())
        + element("CodingSchemeDesignator", code.scheme.encode())
        + element("CodeMeaning", code.meaning.encode()),
    )
