"""Read results of a slide back, with pydicom and numpy alone, and compare where they lie.

What is compared with is worked out anew from the original's own header: the corners of tiles, in
pixels of its total pixel matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.slide_source import (
    corners_mm,
    in_pixels,
    marked_tiles,
    matrix_of,
    padding,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.slide import Matrix
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis

TOLERANCE = 0.02
"""Share of a tile by which levels of one slide may lie beside one another: two of their pixels."""
TOLERANCE_PIXELS = 1.0
"""Pixels of the original by which a small tile may: its middle may lie between two of them."""
TOLERANCE_MM = 1e-6
"""Numbers are written as decimals of 16 letters."""


def check_slide_grid(analysis: Analysis, source: Source) -> None:
    """Return when the grid of tiles begins at the original's corner, lies along it and covers it.

    Raises Defect ``slide-misplaced``.
    """
    matrix, geometry = matrix_of(source), analysis.prediction.geometry
    _, rows, columns = geometry.shape
    ends = np.array([[0, 0], [0, columns - 1], [rows - 1, 0], [rows - 1, columns - 1]])
    corners = in_pixels(matrix, corners_mm(geometry, ends))
    across, down = corners[1, 1] - corners[0, 0], corners[2, 3] - corners[0, 0]
    step = np.array([across[0] / columns, down[1] / rows])
    slack = np.maximum(TOLERANCE * step, TOLERANCE_PIXELS)
    begins = np.abs(corners[0, 0] + 0.5) <= slack
    straight = abs(across[1]) <= slack[1] and abs(down[0]) <= slack[0]
    last = np.array([matrix.columns, matrix.rows]) - 0.5
    covers = (corners[3, 2] >= last - slack) & (corners[3, 2] < last + 2 * step)
    if not (begins.all() and straight and covers.all() and (step > 0).all()):
        raise Defect("slide-misplaced", "The tiles don't lie where the slide lies.")


def check_slide_result(
    ds: Dataset, analysis: Analysis, source: Source, *, kind: ResultKind
) -> None:
    """Return when a map or annotations lie on the tiles, and hold their scores.

    Raises Defect ``slide-misplaced`` or ``slide-differs``.
    """
    if ds.FrameOfReferenceUID != source.header.FrameOfReferenceUID:
        raise Defect("slide-misplaced", f"The {kind} is in other coordinates than the slide.")
    matrix = matrix_of(source)
    if kind is ResultKind.PM:
        _check_map(ds, analysis, matrix)
    else:
        _check_annotations(ds, analysis, matrix)


def _check_map(ds: Dataset, analysis: Analysis, matrix: Matrix) -> None:
    maps = {provenance.map_uid(analysis, one): one for one in analysis.prediction.maps}
    given = maps.get(str(ds.SOPInstanceUID))
    if given is None:
        raise _differs(ResultKind.PM)
    looked_at = analysis.prediction.label_map > 0
    values = np.frombuffer(ds.FloatPixelData, "<f4").reshape(-1, ds.Rows, ds.Columns)
    expected = np.where(looked_at, given.values, padding(given))
    if not np.array_equal(values, expected) or ds.FloatPixelPaddingValue != padding(given):
        raise _differs(ResultKind.PM)
    tiles = np.argwhere(looked_at[0])
    _require_places(
        _centres(ds, tiles), corners_mm(analysis.prediction.geometry, tiles).mean(axis=1), matrix
    )


def _centres(ds: Dataset, tiles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return where pixels of a map lie by its own attributes (PS3.3 C.7.6.2.1.1, C.8.12.4)."""
    place = ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
    shared = ds.SharedFunctionalGroupsSequence[0]
    first = np.array(
        [float(getattr(place, f"{axis}OffsetInSlideCoordinateSystem")) for axis in "XYZ"]
    )
    cosines = np.array(ds.ImageOrientationSlide, float).reshape(2, 3)
    between_rows, between_columns = (
        float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing
    )
    steps = np.stack([cosines[1] * between_rows, cosines[0] * between_columns])
    centres: NDArray[np.float64] = first + tiles @ steps
    return centres


def _check_annotations(ds: Dataset, analysis: Analysis, matrix: Matrix) -> None:
    prediction, tiles = analysis.prediction, marked_tiles(analysis.prediction)
    (group,) = ds.AnnotationGroupSequence
    flat = np.frombuffer(group.DoublePointCoordinatesData, "<f8")
    starts = np.frombuffer(group.LongPrimitivePointIndexList, "<u4")
    drawn = _points(group, flat)
    counts = np.diff(np.append((starts - 1) // (len(flat) // len(drawn)), len(drawn)))
    if group.NumberOfAnnotations != len(tiles) or (counts != 4).any():  # noqa: PLR2004 - corners
        raise _differs(ResultKind.ANN)
    _require_places(drawn, corners_mm(prediction.geometry, tiles).reshape(-1, 3), matrix)
    for told, one in zip(group.MeasurementsSequence, prediction.maps, strict=True):
        values = np.frombuffer(told.MeasurementValuesSequence[0].FloatingPointValues, "<f4")
        if not np.array_equal(values, one.values[0][tiles[:, 0], tiles[:, 1]]):
            raise _differs(ResultKind.ANN)


def _points(group: Dataset, flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points as (n, 3); where all lie at one depth, it stands apart (PS3.3 C.37.1.2)."""
    if "CommonZCoordinateValue" not in group:
        return flat.reshape(-1, 3)
    points = flat.reshape(-1, 2)
    return np.column_stack([points, np.full(len(points), float(group.CommonZCoordinateValue))])


def _require_places(
    found: NDArray[np.float64], expected: NDArray[np.float64], matrix: Matrix
) -> None:
    """Compare in millimetres, and on the slide: what lies beside it lies nowhere."""
    if found.shape != expected.shape or np.abs(found - expected).max(initial=0) > TOLERANCE_MM:
        raise Defect("slide-misplaced", "A result doesn't lie on the tiles that it is about.")
    middle = in_pixels(matrix, found.mean(axis=0, keepdims=True))[0]
    if not ((middle > -1) & (middle < (matrix.columns + 1, matrix.rows + 1))).all():
        raise Defect("slide-misplaced", "A result lies beside the slide.")


def _differs(kind: ResultKind) -> Defect:
    return Defect("slide-differs", f"The {kind} read back is not what the model found.")
