"""A box or a point comes back from the report where it was, in any geometry."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import analysis_of
from factories import Stack, make_series
from highdicom.sr import srread
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes
from written import LESION, in_patient

from clic_edge.domain.prediction import Detection
from clic_edge.results.check import check
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis

SLICES, ROWS, COLUMNS = 5, 9, 7
TOLERANCE_MM = 0.002

angles = st.floats(-np.pi, np.pi)
spacings = st.floats(0.3, 6.0)
indices = st.tuples(
    st.integers(-1, SLICES) | st.floats(-1, SLICES),
    st.integers(0, ROWS - 1) | st.floats(-2, ROWS + 1),
    st.integers(0, COLUMNS - 1) | st.floats(-2, COLUMNS + 1),
)


def turned(one: float, two: float, three: float) -> tuple[float, ...]:
    """Return direction cosines of any orientation, as many digits as a header holds."""
    spin = np.eye(3)
    for axis, angle in zip(((0, 1), (1, 2), (0, 2)), (one, two, three), strict=True):
        turn, (c, s) = np.eye(3), (np.cos(angle), np.sin(angle))
        turn[np.ix_(axis, axis)] = [[c, -s], [s, c]]
        spin = spin @ turn
    return tuple(float(f"{cosine:.12g}") for cosine in spin[:2].ravel())


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    orientation=st.builds(turned, angles, angles, angles),
    pixel=st.tuples(spacings, spacings),
    step=spacings,
    descending=st.booleans(),
    corners=st.lists(indices, min_size=1, max_size=2),
)
def test_a_detection_comes_back_where_it_was(
    orientation: tuple[float, ...],
    pixel: tuple[float, float],
    step: float,
    *,
    descending: bool,
    corners: list[tuple[float, float, float]],
) -> None:
    stack = Stack(
        orientation=orientation,
        pixel_spacing=tuple(round(one, 4) for one in pixel),
        slice_step=round(step, 4),
    )
    series = make_series(stack, np.zeros((SLICES, ROWS, COLUMNS), np.int16))
    plain = analysis_of(
        series, mask=np.zeros((SLICES, ROWS, COLUMNS), np.uint8), descending=descending
    )
    analysis = found_at(plain, corners)
    results = SrWriter().write(analysis, ())
    check(results, analysis)
    (detection,) = analysis.prediction.detections
    given_mm, found_mm = np.array(detection.corners_mm), points_of(results[0], analysis)
    affine = analysis.prediction.geometry.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    for ends in (np.min, np.max):
        apart = ends(to_index(given_mm, affine), 0) - ends(to_index(found_mm, affine), 0)
        assert np.abs(apart * spacing).max() < TOLERANCE_MM


def found_at(analysis: Analysis, corners: Sequence[tuple[float, float, float]]) -> Analysis:
    geometry = analysis.prediction.geometry
    detection = Detection(
        name="lesion",
        label="Lesion",
        finding=LESION,
        site=None,
        probability=0.5,
        corners_mm=tuple(in_patient(geometry, one) for one in corners),
    )
    return replace(analysis, prediction=replace(analysis.prediction, detections=(detection,)))


def to_index(points_mm: NDArray[np.float64], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    homogeneous = np.column_stack([points_mm, np.ones(len(points_mm))])
    index: NDArray[np.float64] = (np.linalg.inv(affine) @ homogeneous.T)[:3].T
    return index


def points_of(result: ResultObject, analysis: Analysis) -> NDArray[np.float64]:
    """Return all that highdicom reads of the detection, in patient mm by the images' headers."""
    content = srread(io.BytesIO(result.content)).content
    volumes = [
        one
        for one in content.get_volumetric_roi_measurement_groups()
        if one.reference_type == codes.DCM.VolumeSurface
    ]
    if volumes:
        (group,) = volumes
        return np.concatenate(group.roi.graphic_data)
    (planar,) = content.get_planar_roi_measurement_groups()
    roi = planar.roi
    if roi.ValueType == "SCOORD3D":
        return np.asarray(roi.value, np.float64)
    uid = roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    images = [
        pydicom.dcmread(io.BytesIO(one.content), stop_before_pixels=True)
        for one in analysis.series.instances
    ]
    (image,) = (one for one in images if uid == one.SOPInstanceUID)
    return np.array([on_image(image, *point) for point in roi.value])


def on_image(image: Dataset, column: float, row: float) -> NDArray[np.float64]:
    """Return where a point of an image lies; 0.5, 0.5 is the middle of the first pixel."""
    cosines = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, image.PixelSpacing)
    place: NDArray[np.float64] = (
        np.array(image.ImagePositionPatient, float)
        + cosines[0] * between_columns * (column - 0.5)
        + cosines[1] * between_rows * (row - 0.5)
    )
    return place
