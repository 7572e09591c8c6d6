"""A series whose face is cut away: in every slice or in none, and looked at again afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydicom import uid

from clic_edge.deid import part10
from clic_edge.deid.cranium import not_defaced
from clic_edge.deid.decoding import (
    BITS_ALLOCATED,
    BITS_STORED,
    HIGH_BIT,
    DecodedImage,
    decoded,
)
from clic_edge.deid.faces import POLICY, face_left
from clic_edge.deid.headmask import cut_of, levelled
from clic_edge.deid.markers import METHOD_CODES, method_item
from clic_edge.deid.pixels import PIXEL_DATA
from clic_edge.deid.upright import body_of, indices_of, least_of_tissue, tissue_of, upright
from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.planes import planes_of
from clic_edge.dicom.reading import read_to_pixels
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from clic_edge.deid.headmask import Cut
    from clic_edge.deid.part10 import Element, Part10
    from clic_edge.dicom.planes import Plane
    from clic_edge.domain.volume import Volume

OPTION = "clean_recognizable_visual_features"
VISUAL_FEATURES = 0x00280302
LEFT = 0.15
"""Share of a face's surface, of its sides or its middle, above which a face may still be seen."""
COARSE_MM = 4.0
AIR = -1000.0
"""Hounsfield units."""
_MODALITIES = frozenset({"CT", "MR"})
_STALE = frozenset({0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280121})
"""Smallest and largest pixel values and padding range, which the cut may change."""


def defaced(clean: CleanSeries, volume: Volume) -> CleanSeries:
    """Return a series without the face and the ears of its head; `volume` is built of it.

    What is removed has the value of air and is stored uncompressed; slices of which nothing is
    removed keep their pixels byte for byte. Every instance says so by code 113102 (CID 7050) and
    Recognizable Visual Features (0028,0302) NO.

    Raises
    ------
    Refusal
        ``face-visible``: head, brain or front are not found for sure, a slice is not part of the
        volume, or the second look finds that a face is left or the brain was reached.
        ``unsafe-pixels``: pixels of a kind that can't be written again.
    Defect
        ``undecodable-pixels``, and as `build_volume`.

    """
    if volume.acquisition.modality not in _MODALITIES:
        raise not_defaced("it is neither in CT nor in MR")
    head = levelled(volume)
    cut = cut_of(head)
    removed = cut.removed(head.geometry)
    air = _air(volume)
    contents = [
        _instance(instance.content, masks, air)
        for instance, masks in zip(clean.instances, _masks(clean, volume, removed), strict=True)
    ]
    result = replace(clean, instances=tuple(CleanInstance(content=one) for one in contents))
    after = replace(head, voxels=build_volume(result, POLICY).voxels)
    look_again(head, after, removed=removed, cut=cut)
    return result


def look_again(before: Volume, after: Volume, *, removed: NDArray[np.bool_], cut: Cut) -> None:
    """Return when `after` shows the brain whole and no face; both heads look ahead.

    Raises
    ------
    Refusal
        ``face-visible``: a voxel of the brain changed, or one that was not to be `removed`; or more
        than `LEFT` of a side or of the middle of the face is still there.

    """
    changed = before.voxels != after.voxels
    indices, is_seen = indices_of(before.geometry, cut.brain)
    if changed[tuple(indices[is_seen].T)].any() or (changed & ~removed).any():
        raise not_defaced("what was removed reaches the brain")
    if face_left(before, after) > LEFT:
        raise not_defaced("the second look still finds one")


def _air(volume: Volume) -> float:
    """Return the value of what lies around a head: in MR, the middle of its noise."""
    if volume.acquisition.modality == "CT":
        return AIR
    grid = upright(volume, COARSE_MM)
    body = body_of(tissue_of(grid, least_of_tissue(grid, is_ct=False)))
    return float(np.median(grid.values[grid.inside & ~body]))


def _masks(
    clean: CleanSeries, volume: Volume, removed: NDArray[np.bool_]
) -> Iterator[NDArray[np.bool_]]:
    """Yield what goes from each instance, shape (frames, rows, columns)."""
    places: list[list[tuple[int, int]]] = [[] for _ in clean.instances]
    for at, source in enumerate(volume.slices):
        places[source.instance_index].append((source.frame_number, at))
    for frames in places:
        numbers = [number for number, _ in sorted(frames)]
        if not frames or numbers != list(range(1, len(frames) + 1)):
            raise not_defaced("not every slice is part of the volume")
        yield removed[[at for _, at in sorted(frames)]]


def _instance(content: bytes, masks: NDArray[np.bool_], air: float) -> bytes:
    """Return an instance without what `masks` name, and with the attributes that say so."""
    source = part10.read(content)
    top = {element.tag: element for element in source.elements}
    top[METHOD_CODES] = _with_code(top[METHOD_CODES])
    top[VISUAL_FEATURES] = part10.Element(VISUAL_FEATURES, "CS", b"NO")
    syntax = source.transfer_syntax_uid
    if masks.any():
        image = decoded(source, top)
        if image.frames.shape != masks.shape:
            raise not_defaced("not every slice is part of the volume")
        frames = _without(image, masks, _stored(content, image, air))
        top = {tag: one for tag, one in top.items() if tag not in _STALE}
        top |= {one.tag: one for one in _pixels(source, image, frames)}
        if syntax not in uid.UncompressedTransferSyntaxes:
            syntax = str(uid.ExplicitVRLittleEndian)
    writer = part10.Writer(source.encoding)
    chunks = [chunk for tag in sorted(top) for chunk in _laid_out(top[tag], writer)]
    return part10.file_bytes((source.sop_class_uid, source.sop_instance_uid), syntax, chunks)


def _with_code(codes: Element) -> Element:
    return codes._replace(items=(*(codes.items or ()), method_item(OPTION)))


def _stored(content: bytes, image: DecodedImage, air: float) -> list[int]:
    """Return what air is stored as in each frame, within the bits that are stored."""
    header = read_to_pixels(content, "the instance")
    planes: Sequence[Plane] = planes_of(Attributes(dataset=header.dataset, where="the instance"), 0)
    is_signed = image.frames.dtype.kind == "i"
    low = -(1 << image.bits_stored - 1) if is_signed else 0
    high = low + (1 << image.bits_stored) - 1
    return [
        int(np.clip(round((air - plane.intercept) / plane.slope), low, high)) for plane in planes
    ]


def _without(
    image: DecodedImage, masks: NDArray[np.bool_], stored: Sequence[int]
) -> NDArray[np.integer]:
    frames = image.frames.copy()
    for frame, mask, value in zip(frames, masks, stored, strict=True):
        frame[mask] = value
    return frames


def _pixels(source: Part10, image: DecodedImage, frames: NDArray[np.integer]) -> list[Element]:
    """Return uncompressed pixels, and how many bits they are stored in."""
    order: Literal["little", "big"] = "little" if source.encoding.little else "big"
    numbers = {
        BITS_ALLOCATED: frames.dtype.itemsize * 8,
        BITS_STORED: image.bits_stored,
        HIGH_BIT: image.bits_stored - 1,
    }
    value = frames.astype(frames.dtype.newbyteorder(order)).tobytes()
    vr = "OW" if frames.dtype.itemsize > 1 else "OB"
    return [
        *(part10.Element(tag, "US", number.to_bytes(2, order)) for tag, number in numbers.items()),
        part10.Element(PIXEL_DATA, vr, value),
    ]


def _laid_out(element: Element, writer: part10.Writer) -> list[bytes | memoryview]:
    if element.tag in part10.BULK_TAGS:
        return writer.bulk(element)
    if element.items is not None:
        items = (
            b"".join(bytes(part) for one in item for part in _laid_out(one, writer))
            for item in element.items
        )
        return [writer.sequence(element.tag, items)]
    return [writer.element(element.tag, element.vr, bytes(element.value))]
