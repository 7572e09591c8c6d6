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
class ModelIdentity:
    """Which model made a prediction; changes when a byte of the package changes."""

    model_id: str
    version: str
    title: str
    manufacturer: str
    digest: str
    """SHA-256 over the package's content, hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFinding:
    """One segment and its numbers; `voxel_count` is 0 where nothing was found."""

    definition: SegmentDefinition
    voxel_count: int
    volume_mm3: float
    mean_probability: float
    """Mean over the segment's voxels; 0 where the segment is empty."""


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
    """``cpu`` or ``cuda``: where the forward pass ran."""
    forward_seconds: float
    """Wall time of the forward passes alone."""
