"""One two-dimensional image: an ultrasound still, a photograph, a radiograph."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from clic_edge.domain.volume import Geometry

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray

    from clic_edge.domain.volume import Acquisition, SliceSource


class InputKind(StrEnum):
    """What a model looks at."""

    VOLUME = "volume"
    IMAGE = "image"
    """Each image of a series by itself."""
    SLIDE = "slide"
    """A whole-slide image, tile by tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image of one subject, upright as it is stored."""

    pixels: NDArray[np.generic] = field(repr=False)
    """Read-only. Colour: shape (rows, columns, 3), uint8, red, green and blue as a screen shows
    them. Grey: shape (rows, columns), in modality units."""
    shown: tuple[float, float] = (0.0, 255.0)
    """Which values of a grey image a screen shows as black and as white; the first is the larger
    one where the image is inverted (MONOCHROME1)."""
    pixel_spacing_mm: tuple[float, float] | None
    """Between rows, between columns; None where the image does not say it for sure."""
    source: SliceSource
    acquisition: Acquisition
    subject_id: str
    series_uid: str
    """The keyed Series Instance UID."""

    @property
    def geometry(self) -> Geometry:
        """The grid of the image's own pixels."""
        rows, columns = self.pixels.shape[:2]
        return Geometry.of_image(rows, columns, self.pixel_spacing_mm)

    @property
    def slices(self) -> tuple[SliceSource, ...]:
        """Where its one slice came from, as a volume tells it of each of its own."""
        return (self.source,)

    def narrowed(self, needs: Collection[str]) -> Self:
        """Return what a model may see: pixels, grid, and of the acquisition only what it needs."""
        told = self.acquisition.narrowed(needs)
        return replace(self, acquisition=told, subject_id="", series_uid="")
