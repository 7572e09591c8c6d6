"""One dataset to the planes it holds: one for a classic image, one per frame for an enhanced one.

The planes carry what is needed to order and to place them, not their pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydicom import uid

from clic_edge.domain.volume import SliceSource
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.dicom.attributes import Attributes

CLASSIC = frozenset(
    {uid.CTImageStorage, uid.MRImageStorage, uid.PositronEmissionTomographyImageStorage}
)
ENHANCED = frozenset(
    {
        uid.EnhancedCTImageStorage,
        uid.EnhancedMRImageStorage,
        uid.EnhancedPETImageStorage,
        uid.LegacyConvertedEnhancedCTImageStorage,
        uid.LegacyConvertedEnhancedMRImageStorage,
        uid.LegacyConvertedEnhancedPETImageStorage,
    }
)
_CLASSIC_MODALITIES = frozenset({"CT", "MR", "PT"})
# Direction cosines are decimal strings of at most 16 characters; some writers keep three digits.
_COSINE_TOLERANCE = 1e-2
# No patient is that large; beyond this, arithmetic on positions loses the millimetre's decimals.
_FARTHEST_MM = 1e6
_LARGEST_RESCALE = 1e30


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What tells apart slices at one position; absent is None."""

    temporal_position: float | None
    b_value: float | None
    echo_time: float | None
    trigger_time: float | None
    image_type: tuple[str, ...]
    acquisition_number: float | None
    instance_number: int
    """0 when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One slice: where it lies (PS3.3 C.7.6.2.1.1), and how its stored values become real ones."""

    source: SliceSource
    instance_uid: str
    frame_of_reference_uid: str
    shape: tuple[int, int]
    """Rows, columns."""
    position: NDArray[np.float64]
    """Image Position (Patient), millimetres in LPS."""
    row: NDArray[np.float64]
    """Direction in which the column index grows."""
    column: NDArray[np.float64]
    """Direction in which the row index grows."""
    pixel_spacing: tuple[float, float]
    """Millimetres between rows, and between columns."""
    slope: float
    intercept: float
    marks: Marks

    @property
    def normal(self) -> NDArray[np.float64]:
        """Row direction cross column direction."""
        normal = np.cross(self.row, self.column)
        return normal / np.linalg.norm(normal)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FrameGroups:
    """Functional group macros of one frame: its own, else the shared ones, else the dataset."""

    dataset: Attributes
    shared: Attributes | None
    own: Attributes | None

    def find(self, macro: str) -> Attributes:
        for groups in (self.own, self.shared):
            item = groups.first_item(macro) if groups else None
            if item:
                return item
        return self.dataset


def planes_of(dataset: Attributes, index: int) -> tuple[Plane, ...]:
    """Return the planes of instance `index`, in frame order.

    Raises
    ------
    Refusal
        ``not-an-image``, ``unsupported-object``, ``not-monochrome``, ``modality-lut``,
        ``mosaic`` or ``missing-geometry``.
    Defect
        ``invalid-attribute``.

    """
    _refuse_what_holds_no_planes(dataset)
    frame_count = dataset.integer("NumberOfFrames") or 1
    shared = dataset.first_item("SharedFunctionalGroupsSequence")
    per_frame = dataset.items("PerFrameFunctionalGroupsSequence")
    if not per_frame and frame_count != 1:
        raise Refusal("missing-geometry", f"{dataset.where}: the frames have no positions")
    if per_frame and len(per_frame) != frame_count:
        raise Defect(
            "invalid-attribute",
            f"{dataset.where} has {frame_count} frames but {len(per_frame)} functional groups",
        )
    frames = per_frame or (None,) * frame_count
    return tuple(
        _plane(
            _FrameGroups(dataset=dataset, shared=shared, own=own),
            SliceSource(instance_index=index, frame_number=number),
        )
        for number, own in enumerate(frames, start=1)
    )


def is_volume_image(dataset: Attributes) -> bool:
    """Return whether the object is of a kind that volumes are made of."""
    sop_class = dataset.text("SOPClassUID") or dataset.meta.text("MediaStorageSOPClassUID")
    if not sop_class:
        return dataset.text("Modality") in _CLASSIC_MODALITIES
    return sop_class in CLASSIC | ENHANCED


def _refuse_what_holds_no_planes(dataset: Attributes) -> None:
    where = dataset.where
    known = is_volume_image(dataset)
    if not known and dataset.integer("Rows") is None:
        raise Refusal("not-an-image", f"{where} holds no image")
    if dataset.text("PhotometricInterpretation") not in {"MONOCHROME1", "MONOCHROME2"}:
        raise Refusal("not-monochrome", f"{where} is not a monochrome image")
    if not known:
        raise Refusal("unsupported-object", f"{where} is neither a CT, nor an MR, nor a PET image")
    if dataset.items("ModalityLUTSequence"):
        raise Refusal("modality-lut", f"{where} has a Modality LUT Sequence (0028,3000)")
    if "MOSAIC" in dataset.texts("ImageType"):
        raise Refusal("mosaic", f"{where} is a mosaic: many slices tiled in one image")


def _plane(groups: _FrameGroups, source: SliceSource) -> Plane:
    dataset = groups.dataset
    position = groups.find("PlanePositionSequence").numbers("ImagePositionPatient", 3)
    orientation = groups.find("PlaneOrientationSequence").numbers("ImageOrientationPatient", 6)
    spacing = groups.find("PixelMeasuresSequence").numbers("PixelSpacing", 2)
    if not (position and orientation and spacing):
        raise Refusal(
            "missing-geometry",
            f"{dataset.where} lacks Image Position (0020,0032), Image Orientation (0020,0037) "
            "or Pixel Spacing (0028,0030)",
        )
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    products = (row @ row - 1, column @ column - 1, row @ column)
    shape = dataset.required("Rows"), dataset.required("Columns")
    if (
        max(map(abs, products)) > _COSINE_TOLERANCE
        or max(map(abs, position)) > _FARTHEST_MM
        or min(*spacing, *shape) <= 0
    ):
        raise Defect(
            "invalid-attribute",
            f"{dataset.where}: the position lies beyond {_FARTHEST_MM:.0f} mm, the orientation "
            "is not two perpendicular unit vectors, or a size or spacing is not positive",
        )
    slope, intercept = _rescale(groups)
    return Plane(
        source=source,
        instance_uid=dataset.text("SOPInstanceUID"),
        frame_of_reference_uid=dataset.text("FrameOfReferenceUID"),
        shape=shape,
        position=np.array(position),
        row=row,
        column=column,
        pixel_spacing=(spacing[0], spacing[1]),
        slope=slope,
        intercept=intercept,
        marks=_marks(groups),
    )


def _rescale(groups: _FrameGroups) -> tuple[float, float]:
    transformation = groups.find("PixelValueTransformationSequence")
    slope = transformation.number("RescaleSlope")
    intercept = transformation.number("RescaleIntercept")
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    if slope == 0 or max(abs(slope), abs(intercept)) > _LARGEST_RESCALE:
        where = groups.dataset.where
        raise Defect("invalid-attribute", f"{where}: Rescale Slope (0028,1053) cannot be used")
    return slope, intercept


def _marks(groups: _FrameGroups) -> Marks:
    content = groups.find("FrameContentSequence")
    temporal = content.number("TemporalPositionIndex")
    if temporal is None:
        temporal = groups.dataset.number("TemporalPositionIdentifier")
    echo = groups.find("MREchoSequence")
    frame_type = groups.find("MRImageFrameTypeSequence").texts("FrameType")
    return Marks(
        temporal_position=temporal,
        b_value=groups.find("MRDiffusionSequence").number("DiffusionBValue"),
        echo_time=echo.number("EffectiveEchoTime") or groups.dataset.number("EchoTime"),
        trigger_time=groups.dataset.number("TriggerTime"),
        image_type=frame_type or groups.dataset.texts("ImageType"),
        acquisition_number=content.number("FrameAcquisitionNumber")
        or groups.dataset.number("AcquisitionNumber"),
        instance_number=groups.dataset.integer("InstanceNumber") or 0,
    )
