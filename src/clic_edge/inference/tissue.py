"""Where on a slide is tissue? A rule that anybody can follow, looking at the slide from afar.

Glass lets all light through and shadows are grey, but every stain takes more of one colour than of
another. So a pixel counts as stained by how much its optical densities of red, green and blue
differ, whatever the stain; where stained begins is found by Otsu's method (IEEE Transactions on
Systems, Man, and Cybernetics 1979, 9:62-66). No stain of tissue takes red alone: blue and green
ink do. Red ink can't be told from red stains, and counts as tissue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field
from scipy import ndimage

from clic_edge.inference.card import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float32]
    Mask = NDArray[np.bool_]

Length = Annotated[float, Field(gt=0)]
_BINS = 256
_GLASS = (220.0, 255.0)
"""Between these lies what glass looks like; a picture that is all tissue shows none."""
_BRIGHTEST = 99.0
"""Percentile of a channel that is taken for glass."""
_BLACK = 0.7
"""Mean optical density of black ink; it takes all colours alike."""


class Tissue(Table):
    """The step ``tissue``: a picture of a slide becomes a mask of its tissue."""

    step: Literal["tissue"]
    spacing_mm: Length
    """How far apart the pixels lie at which it looks."""
    least_density: Annotated[float, Field(gt=0, lt=1)] = 0.04
    """A difference of optical densities below this is never tissue: an empty slide has none."""
    surest_density: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Above this it always is: a slide full of tissue shows no glass to compare with."""
    ink: Annotated[float, Field(gt=1)] = 1.3
    """What takes so many times more red than green light is ink of a pen."""
    smallest_mm2: Annotated[float, Field(ge=0)] = 0.02
    """Smaller pieces are dust."""
    largest_hole_mm2: Annotated[float, Field(ge=0)] = 0.05
    """Smaller holes are a part of the tissue: fat, vessels, glands."""

    def apply(self, picture: NDArray[np.uint8]) -> Mask:
        """Return shape (rows, columns): True where tissue is; `picture` has pixels of `spacing_mm`."""
        density = optical_density(picture)
        ink = self._is_ink(density)
        stain = ndimage.median_filter(np.ptp(density, axis=2), 3)
        known = stain[~ink]
        if known.size == 0:
            return np.zeros(picture.shape[:2], np.bool_)
        # Pale tissue counts too: the square root brings it nearer to dark tissue than to glass.
        threshold = np.clip(otsu(np.sqrt(known)) ** 2, self.least_density, self.surest_density)
        return self._whole((stain > threshold) & ~ink)

    def _is_ink(self, density: Numbers) -> Mask:
        """Return where a pen wrote, and a pixel around it: its edge is mixed with glass."""
        red, green, blue = np.moveaxis(density, 2, 0)
        coloured = (red > self.ink * green) & (red - green > self.least_density)
        least, mean = np.minimum(np.minimum(red, green), blue), density.mean(axis=2)
        black = (mean > _BLACK) & (least > mean * 0.8)
        found: Mask = ndimage.binary_dilation(coloured | black, iterations=2)
        return found

    def _whole(self, mask: Mask) -> Mask:
        """Return the mask without dust, and without small holes."""
        pixel = self.spacing_mm**2
        kept = _pieces(mask, self.smallest_mm2 / pixel)
        holes = ~kept & ~_pieces(~kept, self.largest_hole_mm2 / pixel)
        return kept | holes


def optical_density(picture: NDArray[np.uint8]) -> Numbers:
    """Return shape (rows, columns, 3): the decimal logarithm of how much light of glass is taken."""
    sample = picture.reshape(-1, 3)
    glass = np.clip(np.percentile(sample, _BRIGHTEST, axis=0), *_GLASS).astype(np.float32)
    share = np.maximum(picture, 1).astype(np.float32) / glass
    density: Numbers = np.maximum(-np.log10(share), 0)
    return density


def otsu(values: Numbers) -> float:
    """Return the threshold that leaves the least variance within both sides of it."""
    counts, edges = np.histogram(values, _BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(edges[1:-1][np.argmax(np.nan_to_num(between))])


def _pieces(mask: Mask, smallest: float) -> Mask:
    """Return the pieces of a mask that are not smaller than so many pixels."""
    labels, count = ndimage.label(mask)
    large = np.bincount(labels.ravel(), minlength=count + 1) >= smallest
    large[0] = False
    kept: Mask = large[labels]
    return kept
