"""From a series of whole-slide images to one slide: levels by magnification, tiles read later."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.dicom.acquisition import acquisition_of
from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.reading import place, read_header, read_to_pixels
from clic_edge.dicom.slide_frames import check_frames, check_places
from clic_edge.dicom.slide_headers import VOLUME, flavour, read_slide_image
from clic_edge.domain.slide import Level, Slide
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.dicom.slide_headers import SlideImage
    from clic_edge.domain.clean import CleanSeries
    from clic_edge.domain.study import Series

_SAME_SIZE = 0.02
"""Levels show the same glass: by this share, or by two of their own pixels, they may differ."""
_SAME_PLACE_PIXELS = 2.0
_SAME_DIRECTION = 0.01


def pictures_only(series: Series) -> Series:
    """Return the series without images of the slide's label, and of the slide as a whole.

    A label shows the patient's name, and an overview shows the label: no stage of the line sees
    either. What does not say that it is a VOLUME is left out as well.

    Raises
    ------
    Refusal
        ``no-slide``: nothing is left.
    Defect
        ``unreadable-instance`` or ``invalid-attribute``.

    """
    total = len(series.instances)
    kept = tuple(
        one
        for index, one in enumerate(series.instances)
        if flavour(_attributes(one.content, place(index, total))) == VOLUME
    )
    if not kept:
        raise Refusal("no-slide", "The series holds no image of tissue, only labels or overviews.")
    return replace(series, instances=kept)


def _attributes(content: bytes, where: str) -> Attributes:
    return Attributes(dataset=read_header(content, where), where=where)


def build_slide(series: CleanSeries) -> Slide:
    """Return the slide; its tiles were found, compared with their tables, and not decoded.

    Raises as `read_levels`.
    """
    found = _read([one.content for one in series.instances])
    base, _ = found[0]
    return Slide(
        levels=tuple(level for _, level in found),
        objective_power=base.objective_power,
        acquisition=acquisition_of(base.attributes),
        subject_id=series.subject_id,
        series_uid=series.series_uid,
    )


def read_levels(contents: Sequence[bytes]) -> tuple[Level, ...]:
    """Return the levels that some instances are, from the finest to the coarsest.

    Raises
    ------
    Refusal
        ``empty-series``, ``label-image``, ``mixed-slides`` or ``slide-ambiguous``; as
        `read_slide_image`.
    Defect
        ``levels-disagree``, ``tile-misplaced``, ``tiles-missing``, ``offset-table-wrong``,
        ``truncated-instance``, ``undecodable-pixels``, ``unreadable-instance`` or
        ``invalid-attribute``.

    """
    return tuple(level for _, level in _read(contents))


def _read(contents: Sequence[bytes]) -> list[tuple[SlideImage, Level]]:
    if not contents:
        raise Refusal("empty-series", "The series holds no instance.")
    found = [_level(one, index, len(contents)) for index, one in enumerate(contents)]
    found.sort(key=lambda one: max(one[0].matrix.spacing_mm))
    _require_one_slide([image for image, _ in found])
    return found


def _level(content: bytes, index: int, total: int) -> tuple[SlideImage, Level]:
    # wsidicom takes half a second to import, and most pipelines never see a slide.
    from clic_edge.dicom.slide_tiles import WsidicomTiles  # noqa: PLC0415 - as said above

    where = place(index, total)
    header = read_to_pixels(content, where)
    attributes = Attributes(dataset=header.dataset, where=where)
    if flavour(attributes) != VOLUME:
        raise Refusal("label-image", f"{where} is an image of a label, or shows one.")
    image = read_slide_image(attributes)
    check_frames(image, content, header.end)
    check_places(image)
    tiles = WsidicomTiles(image, content)
    return image, Level(matrix=image.matrix, tiles=tiles, instance_index=index)


def _require_one_slide(images: list[SlideImage]) -> None:
    """Compare each level with the finest: same glass, same place, another magnification."""
    base = images[0]
    if len({one.frame_of_reference_uid for one in images}) > 1:
        raise Refusal("mixed-slides", "The series holds images of several slides.")
    if len({(one.matrix.rows, one.matrix.columns) for one in images}) < len(images):
        raise Refusal(
            "slide-ambiguous",
            "Two images of the series are of the same size: several optical paths or focal planes,"
            " or one scan made twice.",
        )
    for one in images[1:]:
        if not _same_glass(one, base):
            raise Defect(
                "levels-disagree",
                f"{one.attributes.where} does not lie where the finest level lies.",
            )


def _same_glass(one: SlideImage, base: SlideImage) -> bool:
    ours, theirs = one.matrix, base.matrix
    turned = np.abs(np.array(ours.orientation) - theirs.orientation).max()
    extents = [
        np.array([matrix.rows, matrix.columns]) * matrix.spacing_mm for matrix in (ours, theirs)
    ]
    pixels = _SAME_PLACE_PIXELS * max(ours.spacing_mm)
    slack = np.maximum(extents[1] * _SAME_SIZE, pixels)
    apart = float(np.linalg.norm(ours.centre_mm - theirs.centre_mm))
    same_size = bool((np.abs(extents[0] - extents[1]) <= slack).all())
    return bool(turned <= _SAME_DIRECTION) and same_size and apart <= float(slack.max())
