"""Nothing invalid or misplaced leaves: every result is read back from its bytes and compared.

The objects are read with pydicom and numpy alone, not with the library that wrote them;
segmentations once more by dcmqi and DCMTK, which share nothing with either. One of a single image
lies nowhere in the patient; there DCMTK shows each pixel on the image's own grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.dicom.reading import read_instance, translated
from clic_edge.domain.prediction import AREA
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import Defect
from clic_edge.results.check_fallback import check_fallback
from clic_edge.results.check_geometry import check_geometry, tolerance_mm
from clic_edge.results.check_pixel_grid import check_pixel_grid
from clic_edge.results.check_seg import check_segmentation
from clic_edge.results.check_slide import check_slide_grid, check_slide_result
from clic_edge.results.check_sr import check_report
from clic_edge.results.identity import IDENTITY
from clic_edge.results.source import read_source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis, Told

SEGMENTATIONS = (ResultKind.SEG, ResultKind.SEG_FRACTIONAL, ResultKind.SEG_LABELMAP)
ON_SLIDE = (ResultKind.PM, ResultKind.ANN)

VOLUME_TOLERANCE = 1e-6
"""Relative; a volume is a count times a constant."""


def check(results: tuple[ResultObject, ...], analysis: Analysis) -> None:
    """Return when every result is of the right patient, and says what the model found, where.

    The segmentation's frames equal the mask pixel for pixel, and each lies on its original's
    plane: so count, centroid, bounding box and overlap (Dice 1) are those of the mask.

    Raises
    ------
    Defect
        ``wrong-patient``, ``seg-misplaced``, ``seg-differs``, ``geometry-unproved``,
        ``sr-differs``, ``findings-differ``, ``slide-misplaced``, ``slide-differs`` or
        ``result-invalid``.
    Transient, ConfigError
        ``geometry-reader-stopped``, ``geometry-reader-missing``: nothing is proved, so nothing
        leaves.

    """
    source = read_source(analysis)
    on_slide = analysis.prediction.geometry.on_slide
    (check_slide_grid if on_slide else _check_grid)(analysis, source)
    _check_findings(analysis)
    for result in results:
        ds = read_instance(result.content, "a result")
        with translated("result-invalid", f"The {result.kind} lacks what it must hold."):
            check_envelope(ds, analysis, source, result=result)
            if result.kind in SEGMENTATIONS:
                check_segmentation(ds, analysis, source)
                if analysis.image:
                    check_pixel_grid(ds, result, analysis)
                else:
                    check_geometry(ds, result, analysis)
            elif on_slide and result.kind in ON_SLIDE:
                check_slide_result(ds, analysis, source, kind=result.kind)
            elif result.kind is ResultKind.SR:
                check_report(ds, analysis, source, results=results)
            else:
                check_fallback(ds, analysis, source, kind=result.kind)


def _check_grid(analysis: Analysis, source: Source) -> None:
    """Compare the model's grid with the originals: neither is made from the other here."""
    geometry = analysis.prediction.geometry
    slices, rows, columns = geometry.shape
    ends = [(0, 0), (0, columns - 1), (rows - 1, 0)]
    indices = np.array([[k, row, column, 1] for k in range(slices) for row, column in ends])
    expected = (indices @ geometry.affine.T)[:, :3].reshape(-1, 3, 3)
    found = np.array([plane.corners(rows, columns) for plane in source.planes])
    if expected.shape != found.shape or (
        np.linalg.norm(expected - found, axis=2).max() > tolerance_mm(geometry)
    ):
        raise Defect("seg-misplaced", "The model's grid doesn't lie where the images lie.")


def _check_findings(analysis: Analysis) -> None:
    """Count the mask again: a voxel that no finding tells of would be lost."""
    prediction = analysis.prediction
    counts, told = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for plane in prediction.label_map:
        counts += np.bincount(plane.ravel(), minlength=256)
    rows, columns = prediction.geometry.spacing_mm[1:]
    for finding in prediction.segments:
        area = finding.voxel_count * rows * columns
        if any(
            one.name == AREA and abs(one.value - area) > VOLUME_TOLERANCE * area
            for one in finding.measurements
        ):
            raise Defect("findings-differ", "An area isn't that of the mask.")
        told[finding.definition.number] = finding.voxel_count
        volume = finding.voxel_count * prediction.geometry.voxel_volume_mm3
        if abs(volume - finding.volume_mm3) > VOLUME_TOLERANCE * volume:
            raise Defect("findings-differ", "A volume isn't that of the mask.")
    if not np.array_equal(counts[1:], told[1:]):
        raise Defect("findings-differ", "A number of voxels isn't that of the mask.")


def check_envelope(ds: Dataset, told: Told, source: Source, *, result: ResultObject) -> None:
    """Compare with the original what an archive files by.

    Raises
    ------
    Defect
        ``wrong-patient`` or ``result-invalid``.

    """
    named = told.series
    same_as_header = all(ds.get(one) == source.identity.get(one) for one in IDENTITY)
    same_as_archive = (str(ds.PatientID).strip(), str(ds.StudyInstanceUID)) == (
        named.patient_id.strip(),
        named.study_instance_uid,
    )
    if not (same_as_header and same_as_archive):
        raise Defect("wrong-patient", f"The {result.kind} isn't of the original's study.")
    meta = ds.file_meta
    uids = (result.sop_class_uid, result.sop_instance_uid)
    if (ds.SOPClassUID, ds.SOPInstanceUID) != uids or uids != (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    ):
        raise Defect("result-invalid", f"The {result.kind} isn't the object it is said to be.")
