"""Head volumes from which a face could be rendered: recognised by their geometry.

A face needs thin slices, a field of view of a face's size, and a surface with air in front of it
on a body as wide and deep as a head. All of that is measured in the volume; what the headers say
can only make the check stricter. Where it is wrong it holds too much: a knee is as wide as a head.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from clic_edge.deid import part10
from clic_edge.deid.cranium import crown_of
from clic_edge.deid.upright import Upright, body_of, least_of_tissue, tissue_of, upright
from clic_edge.dicom.acquisition import acquisition_of
from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.pixels import PixelSource, read_voxels
from clic_edge.dicom.planes import planes_of
from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.reading import read_header, read_to_pixels
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.volume import Geometry, Volume
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clic_edge.domain.clean import CleanSeries
    from clic_edge.domain.study import Series

THICKEST_MM = 3.5
"""Voxels longer than this render no face that is recognised."""
SMALLEST_MM = 80.0
"""Field of view, in each direction, below which no face fits."""
STRETCH_MM = 60.0
"""Least stretch, top to bottom, of a body with a visible front: from the chin to the eyes."""
FRONT_MM = 40.0
"""Half the width in front of which air is looked for."""
FRONT_SHARE = 0.5
WIDTHS_MM, DEPTHS_MM = (80.0, 210.0), (90.0, 280.0)
"""A head's extents in a transverse plane, from a newborn's to the largest."""
STEP_MM = 4.0
FACE = (0.58, 0.77, 0.96, 1.15)
"""Below the vertex, in lengths of the head: nasion, nose, mouth and chin; the ends of three bands."""
STRIPS_MM = (-54.0, -18.0, 18.0, 54.0)
"""The ends of a face's right side, its middle and its left side."""
_ANYTHING = re.compile(rb"BODY|NECK|UNKNOWN|OTHER", re.IGNORECASE)
"""Body parts that leave open whether the head is among them."""
_GOES_ON = 3
_TRANSVERSE = 0.8
"""Cosine of the angle between a slice's normal and the body's axis."""
LEAST_POINTS = 12
"""How many points of a part of a face have to be in view: 2 square centimetres."""
DEEP_MM = 45.0
"""How far behind the brow the skin of a face lies at most; beyond are throats and open nostrils."""
POLICY = VolumePolicy(gantry_tilt="shear", volumes="first", orientations="largest")
_NO_VOLUME = frozenset({"not-an-image", "unsupported-object", "not-monochrome", "empty-series"})
"""What `build_volume` says of objects that nothing can be rendered from."""
_BODY_PART = 0x00180015
_WORDS = frozenset({_BODY_PART, 0x0008103E, 0x00081030, 0x00181030})
_HEAD = re.compile(
    rb"HEAD|BRAIN|SKULL|FACE|FACIAL|SINUS|ORBIT|CEREBR|NEURO|KOPF|CRAN|JAW", re.IGNORECASE
)


def check_face(series: Series, clean: CleanSeries) -> None:
    """Return when no face can be rendered from a series; `clean` is what became of `series`.

    Raises
    ------
    Refusal
        ``face-visible``: one can, or it can't be ruled out.
    Defect
        As `build_volume`.

    """
    if face_volume(series, clean):
        raise Refusal(
            "face-visible",
            "A face could be rendered from this volume: thin slices of a head with air before it.",
        )


def face_volume(series: Series, clean: CleanSeries) -> Volume | None:
    """Return the volume from which a face could be rendered; None where a series holds none.

    `clean` is what became of `series`. Every slice is judged: those beside the volume by
    themselves, and those that form none each alone, for it may be one of many, and more strictly.

    Raises
    ------
    Refusal
        ``face-visible``: it can't be told, or there is one beside slices that show none.
    Defect
        As `build_volume`.

    """
    words, body_part = _words(series)
    rest = clean
    while rest.instances:
        try:
            volume = build_volume(rest, POLICY)
        except Refusal as error:
            if error.code in _NO_VOLUME and (images := _images(rest)).instances:
                rest = images
                continue
            if any(_may_be_of_face(one, words, body_part) for one in _each(rest)):
                raise Refusal(
                    "face-visible",
                    "Whether these slices show a face can't be told without the others.",
                ) from error
            return None
        if shows_face(volume, is_head=bool(_HEAD.search(words))):
            if len(rest.instances) == len(clean.instances):
                return volume
            raise Refusal("face-visible", "A face could be rendered from a part of this series.")
        rest = _beside(rest, volume)
    return None


def _each(clean: CleanSeries) -> Iterator[CleanSeries]:
    return (replace(clean, instances=(one,)) for one in clean.instances)


def _attributes(clean: CleanSeries) -> Iterator[Attributes]:
    for number, one in enumerate(clean.instances, 1):
        where = f"instance {number} of {len(clean.instances)}"
        yield Attributes(dataset=read_header(one.content, where), where=where)


def _images(clean: CleanSeries) -> CleanSeries:
    """Return a series without the objects that are no slices of any volume."""
    images = []
    for one, attributes in zip(clean.instances, _attributes(clean), strict=True):
        try:
            planes_of(attributes, 0)
        except Refusal as error:
            if error.code in _NO_VOLUME:
                continue
        images.append(one)
    return replace(clean, instances=tuple(images))


def _beside(clean: CleanSeries, volume: Volume) -> CleanSeries:
    """Return what of a series shows something else than `volume`, which is built of it.

    The same kind of image at the same place shows the same: one time after the other.
    """
    within = {source.instance_index for source in volume.slices}
    if len(within) == len(clean.instances):
        return replace(clean, instances=())
    kinds = [_kind(attributes) for attributes in _attributes(clean)]
    seen = {kinds[at] for at in within}
    left = [one for at, one in enumerate(clean.instances) if at not in within]
    others = [kind for at, kind in enumerate(kinds) if at not in within]
    instances = (one for one, kind in zip(left, others, strict=True) if kind not in seen)
    return replace(clean, instances=tuple(instances))


def _kind(attributes: Attributes) -> tuple[object, ...]:
    """Return where a slice lies and what its values are; of several frames, nothing in common."""
    position = attributes.numbers("ImagePositionPatient", 3)
    orientation = attributes.numbers("ImageOrientationPatient", 6)
    if not (position and orientation):
        return (attributes.where,)
    place = np.round([*position, *orientation], 2).tolist()
    return (*place, attributes.texts("ImageType"))


def _may_be_of_face(alone: CleanSeries, words: bytes, body_part: bytes) -> bool:
    """Whether one instance, without the others, may belong to a face."""
    if _is_thick(alone):
        return False
    try:
        (attributes,) = _attributes(alone)
        planes = planes_of(attributes, 0)
    except Refusal as error:
        return error.code not in _NO_VOLUME
    return len(planes) > 1 or is_of_face(_lone_slice(alone), words, body_part)


def _words(series: Series) -> tuple[bytes, bytes]:
    """Return body part, descriptions and protocol of the first instance; and its body part alone."""
    elements = part10.read(series.instances[0].content).elements
    words = {e.tag: bytes(e.value).strip(b" \0") for e in elements if e.tag in _WORDS}
    return b" ".join(words.values()), words.get(_BODY_PART, b"")


def _lone_slice(clean: CleanSeries) -> Volume:
    """Return one slice as a volume that goes on for some steps as the slice is.

    A slice that is nearly transverse is laid flat, so that all of it is measured in one plane.
    """
    content = clean.instances[0].content
    header = read_to_pixels(content, "the instance")
    attributes = Attributes(dataset=header.dataset, where="the instance")
    source = PixelSource(content=content, attributes=attributes, pixels_at=header.end)
    (plane,) = planes_of(source.attributes, 0)
    axes = _laid_flat(np.stack([plane.normal, plane.column, plane.row], axis=1))
    affine = np.eye(4)
    affine[:3, :3] = axes * (STEP_MM, *plane.pixel_spacing)
    affine[:3, 3] = plane.position
    voxels = read_voxels([source], [plane])
    return Volume(
        voxels=np.broadcast_to(voxels, (_GOES_ON, *plane.shape)),
        geometry=Geometry(affine=affine, shape=(_GOES_ON, *plane.shape)),
        slices=(plane.source,) * _GOES_ON,
        acquisition=acquisition_of(source.attributes),
        subject_id=clean.subject_id,
        series_uid=clean.series_uid,
    )


def _laid_flat(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the axes of a slice, its normal first, turned so that a transverse one is flat."""
    tilt = abs(float(axes[2, 0]))
    if tilt < _TRANSVERSE:
        return axes
    up = np.array([0.0, 0.0, np.sign(axes[2, 0])])
    turn, _ = Rotation.align_vectors(up, axes[:, 0])
    return np.asarray(np.round(turn.as_matrix() @ axes, 9))


def is_of_face(lone: Volume, words: bytes, body_part: bytes) -> bool:
    """Whether a slice alone may belong to a face: called a head, or in a plane that could be one.

    A transverse slice is measured; any other passes only where its body part is another one.
    """
    spacing, shape = lone.geometry.spacing_mm[1:], lone.geometry.shape[1:]
    extents = [n * step for n, step in zip(shape, spacing, strict=True)]
    if max(spacing) > THICKEST_MM or min(extents) < SMALLEST_MM:
        return False
    if _HEAD.search(words):
        return True
    if abs(float(lone.geometry.affine[2, 0])) < _TRANSVERSE * STEP_MM:
        return not body_part or bool(_ANYTHING.search(body_part))
    grid, body = _seen(lone)
    middle = len(body) // 2
    return _is_head_sized(body[middle]) and _has_front(body[middle], grid.inside[middle])


def _is_thick(clean: CleanSeries) -> bool:
    thick = (attributes.number("SliceThickness") for attributes in _attributes(clean))
    return all(one is not None and one > THICKEST_MM for one in thick)


def shows_face(volume: Volume, *, is_head: bool) -> bool:
    """Whether a volume is fine enough, and shows the front of a body of a head's size.

    `is_head` leaves the size out: what is called a head is one.
    """
    extents = np.array(volume.geometry.spacing_mm) * volume.geometry.shape
    if max(volume.geometry.spacing_mm) > THICKEST_MM or min(extents) < SMALLEST_MM:
        return False
    grid, body = _seen(volume)
    is_front = np.array([_has_front(*plane) for plane in zip(body, grid.inside, strict=True)])
    is_sized = np.array([is_head or _is_head_sized(plane) for plane in body])
    return _longest_run(is_front & is_sized) * STEP_MM >= STRETCH_MM


def _seen(volume: Volume) -> tuple[Upright, NDArray[np.bool_]]:
    grid = upright(volume, STEP_MM)
    least = least_of_tissue(grid, is_ct=volume.acquisition.modality == "CT")
    return grid, body_of(tissue_of(grid, least))


def face_left(before: Volume, after: Volume) -> float:
    """Return which share of a face's surface `after` still shows, from 0 to 1.

    Of the nine parts of a face (brow to nose, nose, mouth and chin; right, middle, left) the one
    of which most is left counts. The surface is the foremost tissue below the nasion in `before`,
    a volume whose head looks ahead; it is left where `after`, on the same grid, has tissue within
    `STEP_MM` of it. Raises Refusal ``face-visible`` as `crown_of`.
    """
    grid, body = _seen(before)
    crown = crown_of(grid, body)
    least = least_of_tissue(grid, is_ct=before.acquisition.modality == "CT")
    tissue = ndimage.binary_dilation(tissue_of(upright(after, STEP_MM), least), np.ones((1, 3, 1)))
    first = body.argmax(axis=1)[:, None]
    is_left = np.take_along_axis(tissue, first, axis=1)[:, 0]
    is_skin = np.take_along_axis(grid.inside, np.maximum(first - 1, 0), axis=1)[:, 0]
    deepest = crown.middle[1] - crown.length_mm / 2 + DEEP_MM
    is_skin &= (first[:, 0] > 0) & (grid.axis("y")[first[:, 0]] < deepest)
    band = np.digitize((crown.top_mm - grid.axis("z")) / crown.length_mm, FACE)[:, None]
    strip = np.digitize(grid.axis("x") - crown.middle[0], STRIPS_MM)
    parts = [
        is_left[is_skin & (band == height) & (strip == side)]
        for height, side in product(range(1, len(FACE)), range(1, len(STRIPS_MM)))
    ]
    return max(float(part.mean()) if part.size >= LEAST_POINTS else 0.0 for part in parts)


def _has_front(body: NDArray[np.bool_], inside: NDArray[np.bool_]) -> bool:
    """Whether a transverse plane shows air before the middle of the body."""
    columns = np.flatnonzero(body.any(axis=0))
    if not columns.size:
        return False
    reach = int(FRONT_MM / STEP_MM)
    middle = int(columns.mean())
    columns = columns[np.abs(columns - middle) <= reach]
    first = body[:, columns].argmax(axis=0)
    before = np.maximum(first - 1, 0)
    is_visible = (first > 0) & inside[before, columns]
    return bool(is_visible.mean() >= FRONT_SHARE)


def _is_head_sized(body: NDArray[np.bool_]) -> bool:
    width, depth = (
        float(np.ptp(np.flatnonzero(body.any(axis=a))) + 1) * STEP_MM if body.any() else 0.0
        for a in (0, 1)
    )
    return WIDTHS_MM[0] <= width <= WIDTHS_MM[1] and DEPTHS_MM[0] <= depth <= DEPTHS_MM[1]


def _longest_run(flags: NDArray[np.bool_]) -> int:
    """Return the most neighbours that are all true."""
    labels, count = ndimage.label(flags)
    return int(np.bincount(labels)[1:].max()) if count else 0
