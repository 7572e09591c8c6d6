"""One instance to one two-dimensional image, or the reason why it is none.

================================  =========  ===================================================
code                              class      what was found
================================  =========  ===================================================
``not-an-image``                  Refusal    an SR, a waveform, a report …
``several-frames``                Refusal    a cine loop or another multi-frame object
``unsupported-object``            Refusal    pixels of one bit, of floats, or of other samples
``pixels-too-large``              Refusal    more than 4 GiB of them, decoded
``unreadable-instance``           Defect     not DICOM, or broken before the pixels
``truncated-instance``            Defect     the file ends before its last pixel
``invalid-attribute``             Defect     an attribute that is needed cannot be used
``undecodable-pixels``            Defect     no decoder takes the pixels
================================  =========  ===================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array

from clic_edge.dicom.acquisition import acquisition_of
from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.codestreams import require_room
from clic_edge.dicom.pixels import PixelSource, decoder_of, require_stated_size
from clic_edge.dicom.reading import place, read_instance, read_to_pixels, translated
from clic_edge.domain.image import Image
from clic_edge.domain.volume import SliceSource
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.clean import CleanSeries

BYTE = 8
_CALIBRATED = {"GEOMETRY", "FIDUCIAL"}
_PROJECTIONS = {"CR", "DX", "MG", "IO", "PX", "RF", "XA", "RG"}
"""Modalities whose pixels have one size on the detector and another in the patient."""
_TWO_DIMENSIONAL, _CENTIMETRES = 1, 3
"""Region Spatial Format (0018,6012) and Physical Units (0018,6024) of a plain ultrasound image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What one instance shows, whoever it is of."""

    pixels: NDArray[np.generic] = field(repr=False)
    """As `Image.pixels`."""
    shown: tuple[float, float]
    """As `Image.shown`."""
    pixel_spacing_mm: tuple[float, float] | None
    attributes: Attributes
    """Everything but the pixels."""


def build_image(clean: CleanSeries, index: int) -> Image:
    """Return the image of one instance of a clean series.

    Raises
    ------
    Refusal, Defect
        As the table of this module says.

    """
    shot = read_shot(clean.instances[index].content, place(index, len(clean.instances)))
    return Image(
        pixels=shot.pixels,
        shown=shot.shown,
        pixel_spacing_mm=shot.pixel_spacing_mm,
        source=SliceSource(instance_index=index, frame_number=1),
        acquisition=acquisition_of(shot.attributes),
        subject_id=clean.subject_id,
        series_uid=clean.series_uid,
    )


def read_shot(content: bytes, where: str) -> Shot:
    """Return what an instance shows; raises as the table of this module says."""
    header = read_to_pixels(content, where)
    attributes = Attributes(dataset=header.dataset, where=where)
    samples = attributes.integer("SamplesPerPixel")
    if samples is None or attributes.integer("Rows") is None:
        raise Refusal("not-an-image", f"{where} is not an image")
    if (attributes.integer("NumberOfFrames") or 1) > 1:
        raise Refusal(
            "several-frames",
            f"{where} has several frames, as a cine loop has; only single images are analysed",
        )
    if attributes.integer("BitsAllocated") not in {BYTE, 2 * BYTE} or samples not in {1, 3}:
        raise Refusal("unsupported-object", f"{where} has pixels that are neither grey nor colour")
    if not header.has_more:
        raise Defect("truncated-instance", f"{where} ends before its pixels")
    source = PixelSource(content=content, attributes=attributes, pixels_at=header.end)
    pixels = _colour(source) if samples > 1 else _grey(source)
    pixels.flags.writeable = False
    return Shot(
        pixels=pixels,
        shown=_shown(attributes, pixels),
        pixel_spacing_mm=pixel_spacing_of(attributes),
        attributes=attributes,
    )


def pixel_spacing_of(attributes: Attributes) -> tuple[float, float] | None:
    """Return the millimetres in the patient between rows and between columns, where that is sure.

    An ultrasound image says it region by region (PS3.3 C.8.5.5); they have to agree. A radiograph
    says it of its detector, and of the patient only where it was calibrated (C.10.7.1.1).
    """
    if regions := attributes.items("SequenceOfUltrasoundRegions"):
        return _spacing_of_regions(regions)
    modality = attributes.text("Modality")
    calibration = attributes.text("PixelSpacingCalibrationType")
    if modality in _PROJECTIONS and calibration not in _CALIBRATED:
        return None
    found = attributes.numbers("PixelSpacing", 2)
    return (found[0], found[1]) if found and min(found) > 0 else None


def _spacing_of_regions(regions: tuple[Attributes, ...]) -> tuple[float, float] | None:
    found = set()
    for one in regions:
        if one.integer("RegionSpatialFormat") != _TWO_DIMENSIONAL:
            continue
        units = {one.integer(f"PhysicalUnits{axis}Direction") for axis in "XY"}
        across, down = (abs(one.number(f"PhysicalDelta{axis}") or 0) * 10 for axis in "XY")
        found.add((down, across) if units == {_CENTIMETRES} and down and across else None)
    return found.pop() if len(found) == 1 else None


def _colour(source: PixelSource) -> NDArray[np.uint8]:
    """Return red, green and blue, however they are stored."""
    where, syntax = source.attributes.where, source.attributes.meta.text("TransferSyntaxUID")
    shape = (source.attributes.required("Rows"), source.attributes.required("Columns"))
    require_room(where, *shape, 3)
    dataset = read_instance(source.content, where)
    source.require_whole(dataset, syntax)
    with translated("undecodable-pixels", f"{where}: the pixels cannot be decoded"):
        require_stated_size(dataset.PixelData, (1, *shape, 3), syntax)
        decoded = pixel_array(dataset, decoding_plugin=decoder_of(syntax))
        return _in_bytes(decoded.reshape(*shape, 3), source.attributes.required("BitsStored"))


def _grey(source: PixelSource) -> NDArray[np.generic]:
    """Return values in the modality's unit, or the colours of a palette."""
    attributes, dataset = source.attributes, source.attributes.dataset
    (stored,) = source.frames()
    if attributes.text("PhotometricInterpretation") == "PALETTE COLOR":
        with translated("undecodable-pixels", f"{attributes.where}: the palette can't be applied"):
            colours = apply_color_lut(stored, dataset)
        return _in_bytes(colours, colours.dtype.itemsize * BYTE)
    with translated("invalid-attribute", f"{attributes.where}: the rescale can't be applied"):
        values: NDArray[np.generic] = apply_modality_lut(stored, dataset)
    return values.astype(np.float32) if _is_rescaled(dataset) else stored.copy()


def _is_rescaled(dataset: Dataset) -> bool:
    rescale = (dataset.get("RescaleSlope"), dataset.get("RescaleIntercept"))
    return "ModalityLUTSequence" in dataset or any(
        value is not None and float(value) != plain
        for value, plain in zip(rescale, (1, 0), strict=True)
    )


def _in_bytes(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Return the most significant byte of values that have `bits`."""
    return (values >> max(0, bits - BYTE)).astype(np.uint8)


def _shown(attributes: Attributes, pixels: NDArray[np.generic]) -> tuple[float, float]:
    """Return what a screen shows black and white: by the first window (PS3.3 C.11.2.1.2).

    Of a VOI LUT only its ends are taken; without either, 8-bit images have all of their range, and
    others what lies between their smallest and largest value.
    """
    centre, width = (attributes.number(f"Window{what}") for what in ("Center", "Width"))
    lut = attributes.first_item("VOILUTSequence")
    if centre is not None and width is not None and width > 1:
        exact = attributes.text("VOILUTFunction") in {"LINEAR_EXACT", "SIGMOID"}
        middle, reach = (centre, width / 2) if exact else (centre - 0.5, (width - 1) / 2)
        low, high = middle - reach, middle + reach
    elif lut and (descriptor := lut.numbers("LUTDescriptor", 3)):
        entries = descriptor[0] or 1 << 16
        low, high = descriptor[1], descriptor[1] + entries - 1
    elif pixels.dtype == np.uint8:
        low, high = 0.0, float((1 << min(BYTE, attributes.required("BitsStored"))) - 1)
    else:
        low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        high = low + 1
    inverted = attributes.text("PhotometricInterpretation") == "MONOCHROME1"
    return (high, low) if inverted else (low, high)
