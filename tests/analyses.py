"""Analyses made by hand: a series, a painted mask, and where both lie."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from factories import NOW, make_series

from clic_edge.domain.prediction import (
    Code,
    ModelIdentity,
    Prediction,
    SegmentDefinition,
    SegmentFinding,
)
from clic_edge.domain.study import Instance, Series
from clic_edge.domain.volume import Geometry, SliceSource
from clic_edge.results.writer import Analysis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.volume import Volume

ORGAN = Code(value="91723000", scheme="SCT", meaning="Anatomical Structure")
SEGMENTS = (
    SegmentDefinition(
        number=1,
        name="liver",
        label="Liver",
        category=ORGAN,
        property_type=Code(value="10200004", scheme="SCT", meaning="Liver"),
    ),
    SegmentDefinition(
        number=2,
        name="spleen",
        label="Spleen",
        category=ORGAN,
        property_type=Code(value="78961009", scheme="SCT", meaning="Spleen"),
    ),
    SegmentDefinition(
        number=3,
        name="lesion",
        label="Lesion",
        category=Code(value="49755003", scheme="SCT", meaning="Morphologically Altered Structure"),
        property_type=Code(value="52988006", scheme="SCT", meaning="Lesion"),
    ),
)
MODEL = ModelIdentity(
    model_id="organs",
    version="1.2.0",
    title="Organ volumetry",
    manufacturer="CLIC",
    digest="ab" * 32,
)


def asymmetric(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a mask of three classes that no flip, shift or swap of axes maps onto itself."""
    slices, rows, columns = shape
    mask = np.zeros(shape, np.uint8)
    mask[: slices // 2 + 1, 1 : rows // 2, 1 : columns // 3] = 1
    mask[0, 1 : rows // 2, 1 : columns - 2] = 1
    mask[slices // 2 :, rows - 3 : rows - 1, 2 : columns // 2] = 2
    mask[slices // 2, rows // 2, columns - 1] = 3
    return mask


def analysis_of(
    series: Series | None = None,
    *,
    mask: NDArray[np.uint8] | None = None,
    descending: bool = False,
    volume: Volume | None = None,
) -> Analysis:
    """Return an analysis of a series (default a small MR) with a mask (default `asymmetric`).

    The grid is that of `volume` where one was built, and else made from the headers here.
    """
    series = series or make_series()
    headers = [
        pydicom.dcmread(io.BytesIO(one.content), stop_before_pixels=True, force=True)
        for one in series.instances
    ]
    slices, affine = (
        (volume.slices, volume.geometry.affine)
        if volume
        else stacked(headers, descending=descending)
    )
    shape = (len(slices), headers[0].Rows, headers[0].Columns)
    label_map = asymmetric(shape) if mask is None else mask
    label_map.flags.writeable = False
    geometry = Geometry(affine=affine, shape=shape)
    return Analysis(
        case_id="case-1",
        started_at=NOW,
        series=series,
        slices=slices,
        prediction=Prediction(
            model=MODEL,
            geometry=geometry,
            label_map=label_map,
            segments=tuple(
                SegmentFinding(
                    definition=segment,
                    voxel_count=(count := int((label_map == segment.number).sum())),
                    volume_mm3=count * geometry.voxel_volume_mm3,
                    mean_probability=0.9 if count else 0.0,
                )
                for segment in SEGMENTS
            ),
            device="cpu",
            forward_seconds=0.1,
        ),
    )


def stacked(
    headers: Sequence[Dataset], *, descending: bool = False
) -> tuple[tuple[SliceSource, ...], NDArray[np.float64]]:
    """Return slices and affine, sorted along the normal; duplicated positions once."""
    planes = []
    for index, ds in enumerate(headers):
        for number in range(1, int(ds.get("NumberOfFrames", 1)) + 1):
            frame = [ds] * 3
            if "PerFrameFunctionalGroupsSequence" in ds:
                own = ds.PerFrameFunctionalGroupsSequence[number - 1]
                shared = ds.SharedFunctionalGroupsSequence[0]
                names = ("PlanePosition", "PlaneOrientation", "PixelMeasures")
                frame = [
                    (own if f"{name}Sequence" in own else shared)[f"{name}Sequence"][0]
                    for name in names
                ]
            position = np.array(frame[0].ImagePositionPatient, float)
            cosines = np.array(frame[1].ImageOrientationPatient, float)
            spacing = np.array(frame[2].PixelSpacing, float)
            planes.append((SliceSource(instance_index=index, frame_number=number), position))
    row, column = cosines[:3], cosines[3:]
    normal = np.cross(row, column) * (-1 if descending else 1)
    planes = sorted({round(float(p @ normal), 3): (s, p) for s, p in planes}.items())
    first, last = planes[0][1][1], planes[-1][1][1]
    affine = np.eye(4)
    affine[:3, 0] = (last - first) / (len(planes) - 1) if len(planes) > 1 else normal
    affine[:3, 1], affine[:3, 2] = column * spacing[0], row * spacing[1]
    affine[:3, 3] = first
    affine.flags.writeable = False
    return tuple(source for _, (source, _) in planes), affine


def series_in(folder: Path, pattern: str = "*.dcm", limit: int | None = None) -> Series:
    """Return the series of the files in a folder, in the order of their names."""
    contents = [path.read_bytes() for path in sorted(folder.glob(pattern))[:limit]]
    first = pydicom.dcmread(io.BytesIO(contents[0]), stop_before_pixels=True, force=True)
    return Series(
        study_instance_uid=str(first.StudyInstanceUID),
        series_instance_uid=str(first.SeriesInstanceUID),
        patient_id=str(first.get("PatientID", "")),
        issuer_of_patient_id=str(first.get("IssuerOfPatientID", "")),
        instances=tuple(Instance(content=content) for content in contents),
    )


def retrained(analysis: Analysis) -> Analysis:
    """Return the same analysis by a model of which a byte changed."""
    prediction = analysis.prediction
    model = replace(prediction.model, digest="cd" * 32)
    return replace(analysis, prediction=replace(prediction, model=model))
