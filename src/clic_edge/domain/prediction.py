"""What a model found in one volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clic_edge.domain.volume import Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A coded concept (PS3.3 8.8): value, scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


AREA = Code(value="42798000", scheme="SCT", meaning="Area")
SQUARE_MILLIMETRE = Code(value="mm2", scheme="UCUM", meaning="square millimeter")
PIXELS = Code(value="{pixels}", scheme="UCUM", meaning="pixels")
"""Of an area in an image that doesn't tell how large its pixels are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDefinition:
    """What one value of a label map means; declared by the model package."""

    number: int
    """The value in the label map, from 1 upward without gaps."""
    name: str
    """Short and stable, e.g. ``anterior``; used in tables and metrics."""
    label: str
    """What a reader sees as Segment Label (0062,0005)."""
    category: Code
    """Segmented Property Category (0062,0003)."""
    property_type: Code
    """Segmented Property Type (0062,000F)."""
    modifier: Code | None = None
    """Segmented Property Type Modifier (0062,0011), e.g. anterior; a place's modifier in the SR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Where on its curve a model decides, as its card states it."""

    name: str
    """For people, e.g. ``high sensitivity``."""
    threshold: float
    """A probability from here upward counts as found."""
    sensitivity: float | None = None
    specificity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which model made a prediction; changes when a byte of the package changes."""

    model_id: str
    version: str
    title: str
    manufacturer: str
    digest: str
    """SHA-256 over the package's content, hexadecimal."""
    intended_use: str = ""
    """As the package declares it, for the reader of the result."""
    operating_point: OperatingPoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number that a model or a rule found, beside the volume that every segment has."""

    name: Code
    """What was measured, e.g. (126401, DCM, "SUVbw")."""
    value: float
    unit: Code
    """UCUM."""
    derivation: Code | None = None
    """CID 7464, e.g. (56851009, SCT, "Maximum")."""
    method: str = ""
    """In words, where no code says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFinding:
    """One segment and its numbers; `voxel_count` is 0 where nothing was found.

    A segment of a single image has no volume: `volume_mm3` is 0, and an `AREA` is measured.
    """

    definition: SegmentDefinition
    voxel_count: int
    volume_mm3: float
    mean_probability: float
    """Mean over the segment's voxels; 0 where the segment is empty."""
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryFinding:
    """What a classifier says of the whole volume or image for one of its categories."""

    name: str
    """Short and stable, e.g. ``malignant``."""
    label: str
    """What a reader sees."""
    concept: Code
    """The question, e.g. (246112005, SCT, "Severity"); categories of one question share it."""
    value: Code
    """The answer that this category is."""
    probability: float
    chosen: bool
    """Whether the operating point, or the largest probability, chose this category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Something found at a place: a point, or the corners of a box."""

    name: str
    """Short and stable, unique within the prediction, e.g. ``nodule 1``."""
    label: str
    finding: Code
    site: Code | None
    probability: float
    corners_mm: tuple[tuple[float, float, float], ...]
    """Patient coordinates: one point, or two opposite corners of a box along the volume's axes."""
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametricMap:
    """A number for each voxel: a heat map, or the probability of a segment."""

    name: str
    """Short and stable, e.g. ``attention``."""
    label: str
    quantity: Code
    """What the numbers are (PS3.3 C.7.6.16.2.11.1), e.g. (122157, DCM, "Probability")."""
    unit: Code
    """UCUM."""
    values: NDArray[np.float32] = field(repr=False)
    """Shape (slices, rows, columns) as the geometry's, read-only, finite."""
    segment: int | None = None
    """The number of the segment whose probability it is; None for a map of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The segments that a model produced for one volume, on the volume's own grid."""

    model: ModelIdentity
    geometry: Geometry
    label_map: NDArray[np.uint8] = field(repr=False)
    """Shape (slices, rows, columns) as `geometry.shape`, read-only; 0 is background."""
    segments: tuple[SegmentFinding, ...]
    """One finding for each segment that the package declares, by number."""
    device: str
    """Where the forward pass ran: ``cpu``, ``cuda``, or the name of the server that made it."""
    forward_seconds: float
    """Wall time of the forward passes alone."""
    categories: tuple[CategoryFinding, ...] = ()
    detections: tuple[Detection, ...] = ()
    maps: tuple[ParametricMap, ...] = ()
    embedding: tuple[float, ...] = field(default=(), repr=False)
    """The layer that the package names, averaged over space: at most 256 numbers, for the monitor.
    Empty where it names none, and of a prediction that was found in the log."""
