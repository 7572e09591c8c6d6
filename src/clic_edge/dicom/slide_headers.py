"""The header of one image of a slide as a typed value; what can't be read for sure is refused.

PS3.3 A.32.8 and C.8.12.4 to C.8.12.6: VL Whole Slide Microscopy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydicom import uid

from clic_edge.domain.slide import Matrix
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.dicom.attributes import Attributes

VOLUME = "VOLUME"
READ = {
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.JPEGBaseline8Bit,
    uid.JPEG2000,
    uid.JPEG2000Lossless,
}
"""Transfer syntaxes whose decoders survive broken tiles."""
_UNIT = 1e-3
"""By how much a direction cosine may be off: headers round them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """How one image is cut into tiles."""

    rows: int
    columns: int
    """Of a tile."""
    down: int
    across: int
    """Tiles that cover the total pixel matrix."""
    frames: int
    full: bool
    """TILED_FULL: every tile is there, row by row. Else each frame says which tile it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideImage:
    """One image of the pyramid, as its header tells of it."""

    matrix: Matrix
    tiling: Tiling
    frame_of_reference_uid: str
    objective_power: float | None
    syntax: str
    attributes: Attributes = field(repr=False)


def flavour(attributes: Attributes) -> str:
    """Return the third value of Image Type (0008,0008): VOLUME, LABEL, OVERVIEW or THUMBNAIL."""
    values = attributes.texts("ImageType")
    return values[2] if len(values) > 2 else ""  # noqa: PLR2004 - the third


def read_slide_image(attributes: Attributes) -> SlideImage:
    """Return what the header says.

    Raises
    ------
    Refusal
        ``not-a-slide``, ``slide-syntax``, ``slide-not-in-colour``, ``slide-in-parts``,
        ``several-focal-planes``, ``several-optical-paths``, ``slide-without-spacing`` or
        ``slide-unplaced``.
    Defect
        ``invalid-attribute`` or ``tiles-missing``.

    """
    where = attributes.where
    if attributes.text("SOPClassUID") != uid.VLWholeSlideMicroscopyImageStorage:
        raise Refusal("not-a-slide", f"{where} is no whole-slide microscopy image.")
    rows, columns = (attributes.integer(f"TotalPixelMatrix{one}") for one in ("Rows", "Columns"))
    if not rows or not columns or min(rows, columns) < 1:
        raise Refusal("not-a-slide", f"{where} does not say how large its total pixel matrix is.")
    syntax = attributes.meta.text("TransferSyntaxUID")
    if syntax not in READ:
        raise Refusal("slide-syntax", f"{where} is compressed in a way that is not read.")
    _require_colour(attributes)
    _require_one_plane(attributes)
    return SlideImage(
        matrix=_matrix(attributes, rows=rows, columns=columns),
        tiling=_tiling(attributes, rows=rows, columns=columns),
        frame_of_reference_uid=attributes.text("FrameOfReferenceUID"),
        objective_power=_objective_power(attributes),
        syntax=syntax,
        attributes=attributes,
    )


def _require_colour(attributes: Attributes) -> None:
    samples, bits = attributes.required("SamplesPerPixel"), attributes.required("BitsAllocated")
    if (samples, bits) != (3, 8) or attributes.integer("PlanarConfiguration"):
        raise Refusal(
            "slide-not-in-colour",
            f"{attributes.where} is not in colour of 8 bits, pixel by pixel: fluorescence, or"
            " another kind of image.",
        )


def _require_one_plane(attributes: Attributes) -> None:
    where = attributes.where
    if attributes.text("ConcatenationUID"):
        raise Refusal("slide-in-parts", f"{where} is a part of an image (a concatenation).")
    if (attributes.integer("TotalPixelMatrixFocalPlanes") or 1) > 1:
        raise Refusal("several-focal-planes", f"{where} has several focal planes.")
    paths = attributes.items("OpticalPathSequence")
    if (attributes.integer("NumberOfOpticalPaths") or 1) > 1 or len(paths) > 1:
        raise Refusal("several-optical-paths", f"{where} has several optical paths.")


def _matrix(attributes: Attributes, *, rows: int, columns: int) -> Matrix:
    where = attributes.where
    groups = attributes.first_item("SharedFunctionalGroupsSequence")
    measures = groups.first_item("PixelMeasuresSequence") if groups else None
    spacing = measures.numbers("PixelSpacing", 2) if measures else ()
    if not spacing or min(spacing) <= 0:
        raise Refusal(
            "slide-without-spacing",
            f"{where} does not say how far apart its pixels lie, Pixel Spacing (0028,0030).",
        )
    cosines = attributes.numbers("ImageOrientationSlide", 6)
    origin = attributes.first_item("TotalPixelMatrixOriginSequence")
    x, y, z = (
        origin.number(f"{axis}OffsetInSlideCoordinateSystem") if origin else None for axis in "XYZ"
    )
    if not cosines or x is None or y is None:
        raise Refusal(
            "slide-unplaced",
            f"{where} does not say where it lies on the slide: Total Pixel Matrix Origin"
            " (0048,0008) or Image Orientation (Slide) (0048,0102) is absent.",
        )
    _require_unit_vectors(cosines, where)
    return Matrix(
        rows=rows,
        columns=columns,
        origin_mm=(x, y, z or 0.0),
        orientation=(cosines[0], cosines[1], cosines[2], cosines[3], cosines[4], cosines[5]),
        spacing_mm=(spacing[0], spacing[1]),
    )


def _require_unit_vectors(cosines: Sequence[float], where: str) -> None:
    vectors = np.array(cosines).reshape(2, 3)
    if not np.allclose(vectors @ vectors.T, np.eye(2), atol=_UNIT):
        raise Defect(
            "invalid-attribute", f"{where}: ImageOrientationSlide (0048,0102) cannot be used"
        )


def _tiling(attributes: Attributes, *, rows: int, columns: int) -> Tiling:
    tile_rows, tile_columns = attributes.required("Rows"), attributes.required("Columns")
    if min(tile_rows, tile_columns) < 1:
        raise Defect("invalid-attribute", f"{attributes.where}: Rows (0028,0010) cannot be used")
    tiling = Tiling(
        rows=tile_rows,
        columns=tile_columns,
        down=math.ceil(rows / tile_rows),
        across=math.ceil(columns / tile_columns),
        frames=attributes.integer("NumberOfFrames") or 1,
        full=attributes.text("DimensionOrganizationType") == "TILED_FULL",
    )
    if tiling.full and tiling.frames != tiling.down * tiling.across:
        raise Defect(
            "tiles-missing",
            f"{attributes.where} has {tiling.frames} tiles, and {tiling.down * tiling.across}"
            " cover it.",
        )
    return tiling


def _objective_power(attributes: Attributes) -> float | None:
    path = attributes.first_item("OpticalPathSequence")
    return path.number("ObjectiveLensPower") if path else None
