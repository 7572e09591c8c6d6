"""A single image as a reader sees it, and its heat maps over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from clic_edge.dicom.images import read_shot
from clic_edge.dicom.reading import place
from clic_edge.results.sr_terms import PROBABILITY
from clic_edge.results.wording import decimal, say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.prediction import ParametricMap
    from clic_edge.results.writer import Analysis


def heated(image: Image.Image, one: ParametricMap) -> Image.Image:
    """Return the image in grey below a heat map: black, red, yellow and white as it rises."""
    low, high = _span(one)
    shares = np.clip((one.values[0] - low) / max(high - low, 1e-12), 0, 1) * 255
    small = Image.fromarray(shares.astype(np.uint8)).resize(image.size, Image.Resampling.BILINEAR)
    heat = np.asarray(small, np.float32)[..., None] / 255
    colours = np.clip(heat * 3 - np.array([0, 1, 2], np.float32), 0, 1) * 255
    grey_ = np.asarray(image.convert("L"), np.float32)[..., None]
    return Image.fromarray(((grey_ + colours) / 2).astype(np.uint8))


def _span(one: ParametricMap) -> tuple[float, float]:
    """Return what is dark and what is bright: of probabilities 0 and 1, else all that there is."""
    if one.quantity.value == PROBABILITY.value:
        return 0.0, 1.0
    return float(one.values.min()), float(one.values.max())


def displayed(analysis: Analysis) -> NDArray[np.uint8]:
    """Return a single image as a screen shows it: (rows, columns), or (rows, columns, 3)."""
    instances, index = analysis.series.instances, analysis.slices[0].instance_index
    return shown(instances[index].content, place(index, len(instances)))


def shown(content: bytes, where: str) -> NDArray[np.uint8]:
    """Return what `displayed` does, of an instance; raises as `read_shot`."""
    shot = read_shot(content, where)
    if shot.pixels.ndim > 2:  # noqa: PLR2004 - rows, columns, colours
        return shot.pixels.astype(np.uint8)
    black, white = shot.shown
    shares = np.clip((shot.pixels.astype(np.float64) - black) / (white - black), 0, 1)
    shades: NDArray[np.uint8] = np.rint(shares * 255).astype(np.uint8)
    return shades


def heat_maps(analysis: Analysis) -> list[ParametricMap]:
    """Return what is shown beside a single image."""
    maps = analysis.prediction.maps if analysis.image else ()
    return [one for one in maps if one.segment is None]


def legend(one: ParametricMap, language: str) -> str:
    """Return what a heat map is, and which numbers are dark and bright."""
    low, high = (decimal(value, language) for value in _span(one))
    return f"{say('heat map', language)}: {one.label} ({one.quantity.meaning}), {low} - {high}"
