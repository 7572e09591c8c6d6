"""All planes of a series to the planes of one stack, sorted along their normal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.dicom.planes import Plane
    from clic_edge.dicom.policy import VolumePolicy

Stack = tuple["Plane", ...]

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine within one orientation, about 0.06 degrees."""
SAME_PIXEL_SPACING_MM = 1e-4
"""Pixel spacings that differ by less are one: decimal strings are rounded."""
SAME_PLACE_MM = 0.01
"""Slices that lie closer than this along the normal are at one position."""

_Mark = Callable[["Plane"], float | tuple[str, ...] | None]
# What holds still within a volume, and what may also count its slices.
_STILL: dict[str, _Mark] = {
    "temporal position": lambda plane: plane.marks.temporal_position,
    "diffusion b-value": lambda plane: plane.marks.b_value,
    "image type": lambda plane: plane.marks.image_type,
    "echo time": lambda plane: plane.marks.echo_time,
}
_MARKS: dict[str, _Mark] = _STILL | {
    "trigger time": lambda plane: plane.marks.trigger_time,
    "acquisition number": lambda plane: plane.marks.acquisition_number,
}


def one_stack(planes: Sequence[Plane], policy: VolumePolicy) -> Stack:
    """Return the planes of one volume: one orientation, one size, each position once.

    Raises
    ------
    Refusal
        ``flipped-orientation``, ``mixed-orientations``, ``mixed-frames-of-reference``,
        ``mixed-sizes``, ``duplicate-slices``, ``several-volumes`` or ``single-slice``.

    """
    stack = _one_orientation(planes, policy)
    _refuse_mixtures(stack)
    stack = _one_volume(_by_position(stack), policy)
    if len(stack) == 1:
        raise Refusal("single-slice", "there is one slice, and a volume needs two")
    return stack


def _one_orientation(planes: Sequence[Plane], policy: VolumePolicy) -> Stack:
    groups: list[list[Plane]] = []
    for plane in planes:
        group = next((group for group in groups if _same_orientation(group[0], plane)), None)
        if group is None:
            groups.append([plane])
        else:
            group.append(plane)
    groups.sort(key=len, reverse=True)
    largest = groups[0]
    for other in groups[1:]:
        if abs(largest[0].normal @ other[0].normal) > 1 - ORIENTATION_TOLERANCE:
            raise Refusal(
                "flipped-orientation",
                f"rows or columns of {len(other)} of {len(planes)} slices run another way "
                "in the same plane",
            )
    if len(groups) == 1 or (policy.orientations == "largest" and len(largest) > len(groups[1])):
        return tuple(largest)
    counts = ", ".join(str(len(group)) for group in groups)
    raise Refusal("mixed-orientations", f"the slices have {len(groups)} orientations ({counts})")


def _same_orientation(one: Plane, other: Plane) -> bool:
    difference = np.abs(np.concatenate((one.row - other.row, one.column - other.column)))
    return bool(difference.max() <= ORIENTATION_TOLERANCE)


def _refuse_mixtures(stack: Stack) -> None:
    if len({plane.frame_of_reference_uid for plane in stack}) > 1:
        raise Refusal(
            "mixed-frames-of-reference", "the slices have several frames of reference (0020,0052)"
        )
    if len({plane.shape for plane in stack}) > 1:
        raise Refusal("mixed-sizes", "the slices have different numbers of rows or columns")
    if np.ptp([plane.pixel_spacing for plane in stack], axis=0).max() > SAME_PIXEL_SPACING_MM:
        raise Refusal("mixed-sizes", "the slices have different pixel spacings")


def _by_position(stack: Stack) -> list[Stack]:
    """Return the planes at each position, positions along the normal of the first plane."""
    normal = stack[0].normal
    positions: list[list[Plane]] = []
    previous = -np.inf
    for depth, plane in sorted(
        ((float(plane.position @ normal), plane) for plane in stack),
        key=lambda pair: pair[0],
    ):
        if depth - previous > SAME_PLACE_MM:
            positions.append([])
        positions[-1].append(plane)
        previous = depth
    return [tuple(position) for position in positions]


def _one_volume(positions: Sequence[Stack], policy: VolumePolicy) -> Stack:
    sizes = [len(position) for position in positions]
    if max(sizes) == 1:
        return tuple(position[0] for position in positions)
    _refuse_duplicates(positions, sizes)
    name, volumes = _separate(positions)
    if policy.volumes == "refuse" or not volumes:
        raise Refusal(
            "several-volumes",
            f"each of the {len(positions)} positions holds {sizes[0]} slices, "
            f"told apart by {name or 'no attribute'}",
        )
    return volumes[0 if policy.volumes == "first" else -1]


def _refuse_duplicates(positions: Sequence[Stack], sizes: Sequence[int]) -> None:
    twice = sum(
        len({(plane.instance_uid, plane.source.frame_number) for plane in position}) < len(position)
        for position in positions
    )
    if twice:
        raise Refusal(
            "duplicate-slices", f"{twice} of {len(positions)} positions hold one instance twice"
        )
    crowded = sum(size > min(sizes) for size in sizes)
    if crowded:
        raise Refusal(
            "duplicate-slices",
            f"{crowded} of {len(positions)} positions hold more slices than the others",
        )


def _separate(positions: Sequence[Stack]) -> tuple[str, tuple[Stack, ...]]:
    """Return what tells the slices of a position apart, and the volumes as the scanner counted.

    An attribute counts when it takes the same distinct values at every position. Where none
    does, the order in which the scanner counted decides, unless that would mix the attributes
    within a volume; then there are no volumes.
    """
    for name, mark in _MARKS.items():
        values = [{mark(plane) for plane in position} for position in positions]
        if len(values[0]) == len(positions[0]) and all(value == values[0] for value in values):
            return name, _volumes(positions, partial(_sortable, mark))
    counted = [{_count(plane) for plane in position} for position in positions]
    volumes = _volumes(positions, _count)
    if (
        len(set(map(len, counted))) > 1
        or len(counted[0]) < len(positions[0])
        or not all(map(_is_uniform, volumes))
    ):
        return "", ()
    return "instance number", volumes


def _volumes(
    positions: Sequence[Stack], key: Callable[[Plane], tuple[object, ...]]
) -> tuple[Stack, ...]:
    volumes = zip(*(sorted(position, key=key) for position in positions), strict=True)
    return tuple(sorted(volumes, key=lambda volume: min(map(_count, volume))))


def _count(plane: Plane) -> tuple[int, int]:
    return plane.marks.instance_number, plane.source.frame_number


def _is_uniform(volume: Stack) -> bool:
    return all(len({mark(plane) for plane in volume}) == 1 for mark in _STILL.values())


def _sortable(mark: _Mark, plane: Plane) -> tuple[object, ...]:
    value = mark(plane)
    return value is not None, value
