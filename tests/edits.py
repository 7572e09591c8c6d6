"""Our segmentation as a reader's viewer saves it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.pixels.utils import pack_bits
from pydicom.uid import generate_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def edited_copy(ours: Dataset) -> tuple[Dataset, float]:
    """Return our segmentation as a viewer saves it with half of its first segment erased, and the Dice."""
    edited = pydicom.dcmread(io.BytesIO(as_file(ours)))
    edited.SOPInstanceUID = edited.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    edited.SeriesInstanceUID, edited.Manufacturer = generate_uid(), "A viewer"
    pixels = edited.pixel_array.copy()
    first = [
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
        for frame in edited.PerFrameFunctionalGroupsSequence
    ]
    had = int(pixels[first].sum())
    erased = np.array(first).nonzero()[0][: sum(first) // 2]
    pixels[erased] = 0
    kept = int(pixels[first].sum())
    edited.PixelData = pack_bits(pixels)
    return edited, 2 * kept / (had + kept)


def as_file(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return buffer.getvalue()
