"""Noise that a package takes for images: to see what it needs, not what it finds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.image import Image
from clic_edge.domain.volume import Acquisition, Geometry, SliceSource, Volume
from clic_edge.inference.slide_testset import picture_slide
from clic_edge.inference.transforms import PATIENT_AXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from clic_edge.domain.slide import Slide
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.tile_input import TileInput

_GROWTH = 8
"""How many times as many voxels the larger volume has, where the package takes them."""
_WINDOWS = 2
"""How many windows it holds at least, where the package takes so much."""
_MORE_TILES = 4
"""How many times as many tiles the larger slide has along each side."""
_HIGH = 2048
"""Rows and columns of the larger image."""


def made_up(declared: Declaration) -> Iterator[Volume | Image | Slide]:
    """Yield noise in the smallest size that a package takes, then in a larger one."""
    if declared.image:
        pairs = zip(declared.image.smallest, declared.image.size, strict=True)
        rows, columns = (max(pair) for pair in pairs)
        yield _image(declared, rows, columns)
        yield _image(declared, max(rows, _HIGH), max(columns, _HIGH))
        return
    if declared.tiles:
        side = math.isqrt(declared.tiles.batch) + 1  # so many tiles that a batch is full
        for tiles in (side, _MORE_TILES * side):
            yield _slide(declared, declared.tiles, tiles)
        return
    spacing = [
        float(np.clip(step, *declared.input.source_spacing_mm))
        for step in declared.input.spacing_mm
    ]
    least = _counts(declared.input.smallest_mm, spacing, math.ceil)
    most = _counts(declared.input.largest_mm, spacing, math.floor)
    yield _volume(declared, least, spacing)
    wanted = max(_GROWTH * math.prod(least), _WINDOWS * math.prod(declared.window.shape))
    yield _volume(declared, _between(least, most, wanted), spacing)


def _counts(
    extent_mm: Sequence[float], spacing: Sequence[float], whole: Callable[[float], int]
) -> list[int]:
    # A slice thinner than a rounding error would be one too few or too many.
    return [
        max(2, whole(round(length / step, 6)))
        for length, step in zip(extent_mm, spacing, strict=True)
    ]


def _between(least: Sequence[int], most: Sequence[int], wanted: int) -> list[int]:
    """Return the first counts on the way from the least to the most that hold what is wanted."""
    larger = list(least)
    for share in np.linspace(0, 1, 65):
        larger = [round(low + share * (high - low)) for low, high in zip(least, most, strict=True)]
        if math.prod(larger) >= wanted:
            break
    return larger


def _volume(declared: Declaration, counts: Sequence[int], spacing: Sequence[float]) -> Volume:
    affine = np.eye(4)
    for axis, letter in enumerate(declared.input.orientation):
        towards, sign = PATIENT_AXES[letter]
        affine[:3, axis] = 0
        affine[towards, axis] = sign * spacing[axis]
    noise = np.random.default_rng(0).integers(0, 1000, tuple(counts))
    voxels = (noise + _foreground(declared)).astype(np.int16)
    for array in (affine, voxels):
        array.flags.writeable = False
    return Volume(
        voxels=voxels,
        geometry=Geometry(affine=affine, shape=voxels.shape),
        slices=tuple(SliceSource(instance_index=i, frame_number=1) for i in range(len(voxels))),
        acquisition=_acquisition(declared),
        subject_id="",
        series_uid="",
    )


def _foreground(declared: Declaration) -> int:
    """Return the value above which every step of the package finds foreground."""
    steps = (*declared.input.geometry, *declared.input.intensity)
    asked = [getattr(step, "above", None) for step in steps]
    highest = max((one for one in asked if one is not None), default=0.0)
    return int(np.clip(math.ceil(highest), 0, np.iinfo(np.int16).max - 1000))


def _image(declared: Declaration, rows: int, columns: int) -> Image:
    colours = (3,) if declared.images.channels > 1 else ()
    pixels = np.random.default_rng(0).integers(0, 256, (rows, columns, *colours)).astype(np.uint8)
    pixels.flags.writeable = False
    return Image(
        pixels=pixels,
        pixel_spacing_mm=(1.0, 1.0),
        source=SliceSource(instance_index=0, frame_number=1),
        acquisition=_acquisition(declared),
        subject_id="",
        series_uid="",
    )


def _slide(declared: Declaration, tiles: TileInput, count: int) -> Slide:
    """Return a slide that is pink all over, so that every tile is looked at."""
    pixels = np.random.default_rng(0).integers(0, 60, (count * tiles.size, count * tiles.size, 3))
    pixels += (180, 90, 160)
    slide = picture_slide(pixels.astype(np.uint8), tiles.spacing_mm)
    return replace(slide, acquisition=_acquisition(declared))


def _acquisition(declared: Declaration) -> Acquisition:
    """Return an acquisition that the package's gate lets in."""
    population, protocol = declared.population, declared.protocol
    ages = population.age_years if population else None
    thicknesses = protocol.slice_thickness_mm if protocol else None
    return Acquisition(
        modality=declared.modalities[0],
        age_years=sum(ages) / 2 if ages else None,
        sex=population.sexes[0] if population and population.sexes else "",
        body_part=protocol.body_parts[0] if protocol and protocol.body_parts else "",
        contrast=protocol.contrast or "" if protocol else "",
        manufacturer=protocol.manufacturers[0] if protocol and protocol.manufacturers else "",
        laterality=protocol.lateralities[0] if protocol and protocol.lateralities else "",
        slice_thickness_mm=sum(thicknesses) / 2 if thicknesses else None,
        suv_bw_factor=0.01,
    )
