"""A clean series to one volume on a regular grid, or the reason why it is none.

================================  =========  ===================================================
code                              class      what was found
================================  =========  ===================================================
``empty-series``                  Refusal    no instance at all
``not-an-image``                  Refusal    an SR, a structure set, a report …
``unsupported-object``            Refusal    pixels, but neither CT, nor MR, nor PET
``not-monochrome``                Refusal    colour or palette
``modality-lut``                  Refusal    a Modality LUT in place of slope and intercept
``mosaic``                        Refusal    many slices tiled in one image
``missing-geometry``              Refusal    no position, orientation or pixel spacing
``flipped-orientation``           Refusal    rows or columns run another way in the same plane
``mixed-orientations``            Refusal    several planes, e.g. a localizer (`orientations`)
``mixed-frames-of-reference``     Refusal    positions that cannot be compared
``mixed-sizes``                   Refusal    rows, columns or pixel spacing differ
``duplicate-slices``              Refusal    some positions more than once
``several-volumes``               Refusal    every position equally often, e.g. 4-D (`volumes`)
``single-slice``                  Refusal    one slice only
``gantry-tilt``                   Refusal    the stack leans away from the normal (`gantry_tilt`)
``missing-slices``                Refusal    a gap of a multiple of the spacing
``uneven-spacing``                Refusal    slices not equally far apart
``misaligned-slices``             Refusal    a slice beside the stack
``pixels-too-large``              Refusal    more than 4 GiB of them, decoded
``unreadable-instance``           Defect     not DICOM, or broken before the pixels
``truncated-instance``            Defect     the file ends before its last pixel
``invalid-attribute``             Defect     an attribute that is needed cannot be used
``undecodable-pixels``            Defect     no decoder takes the pixels
================================  =========  ===================================================

The words in brackets are the settings of `VolumePolicy` that resolve the finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.dicom.acquisition import acquisition_of
from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.grid import fit_grid
from clic_edge.dicom.pixels import PixelSource, read_voxels
from clic_edge.dicom.planes import is_volume_image, planes_of
from clic_edge.dicom.reading import place, read_to_pixels
from clic_edge.dicom.stacks import one_stack
from clic_edge.domain.volume import Volume
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from clic_edge.dicom.policy import VolumePolicy
    from clic_edge.domain.clean import CleanSeries


def build_volume(clean: CleanSeries, policy: VolumePolicy) -> Volume:
    """Return the voxels of the series, ordered by position along the normal, and their grid.

    Raises
    ------
    Refusal, Defect
        As the table of this module says.

    """
    if not clean.instances:
        raise Refusal("empty-series", "the series holds no instance")
    sources = [
        _source(instance.content, place(index, len(clean.instances)))
        for index, instance in enumerate(clean.instances)
    ]
    planes = [
        plane
        for index, source in enumerate(sources)
        for plane in planes_of(source.attributes, index)
    ]
    stack = one_stack(planes, policy)
    geometry = fit_grid(stack, policy)
    return Volume(
        voxels=read_voxels(sources, stack),
        geometry=geometry,
        slices=tuple(plane.source for plane in stack),
        acquisition=acquisition_of(sources[stack[0].source.instance_index].attributes),
        subject_id=clean.subject_id,
        series_uid=clean.series_uid,
    )


def _source(content: bytes, where: str) -> PixelSource:
    header = read_to_pixels(content, where)
    attributes = Attributes(dataset=header.dataset, where=where)
    if is_volume_image(attributes) and not header.has_more:
        raise Defect("truncated-instance", f"{where} ends before its pixels")
    return PixelSource(content=content, attributes=attributes, pixels_at=header.end)
