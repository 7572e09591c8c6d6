"""Nothing invalid or misplaced leaves: every result is read back from its bytes and compared.

The objects are read with pydicom and numpy alone, not with the library that wrote them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.dicom.reading import read_instance, translated
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.source import ImageReference, read_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.prediction import SegmentFinding
    from clic_edge.domain.volume import Geometry
    from clic_edge.results.source import Plane, Source
    from clic_edge.results.writer import Analysis

TOLERANCE_MM = 0.01
"""How far a written plane may lie from the original's, at its corners."""

GRID_TOLERANCE = 0.5
"""How far the model's grid may lie from the originals, in voxels. Scanners round positions, so
it is never exact; a flip or a shift is a voxel at least."""

VOLUME_TOLERANCE = 1e-6
"""Relative: decimal strings have 16 characters."""


def check(results: tuple[ResultObject, ...], analysis: Analysis) -> None:
    """Return when every result is of the right patient, and says what the model found, where.

    The segmentation's frames equal the mask pixel for pixel, and each lies on its original's
    plane: so count, centroid, bounding box and overlap (Dice 1) are those of the mask.

    Raises
    ------
    Defect
        ``wrong-patient``, ``seg-misplaced``, ``seg-differs``, ``sr-differs`` or
        ``result-invalid``.

    """
    source = read_source(analysis)
    _check_grid(analysis, source)
    for result in results:
        ds = read_instance(result.content, "a result")
        with translated("result-invalid", f"The {result.kind} lacks what it must hold."):
            _check_envelope(ds, result, analysis, source)
            if result.kind is ResultKind.SEG:
                _check_segmentation(ds, analysis, source)
            else:
                _check_report(ds, results, analysis, source)


def _check_envelope(ds: Dataset, result: ResultObject, analysis: Analysis, source: Source) -> None:
    """Compare with the original what an archive files by."""
    expected = provenance.identity_of(source.header)
    named = analysis.series
    same = [ds.get(keyword) == expected.get(keyword) for keyword in provenance.IDENTITY]
    same += [
        str(ds.PatientID) == named.patient_id,
        str(ds.StudyInstanceUID) == named.study_instance_uid,
    ]
    if not all(same):
        raise Defect("wrong-patient", f"The {result.kind} isn't of the original's study.")
    meta = ds.file_meta
    uids = (result.sop_class_uid, result.sop_instance_uid)
    if (ds.SOPClassUID, ds.SOPInstanceUID) != uids or uids != (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    ):
        raise Defect("result-invalid", f"The {result.kind} isn't the object it is said to be.")


def _check_grid(analysis: Analysis, source: Source) -> None:
    """Compare the model's grid with the originals: neither is made from the other here."""
    geometry = analysis.prediction.geometry
    rows, columns = geometry.shape[1:]
    corners = np.array([[0, 0], [0, columns - 1], [rows - 1, 0]])
    indices = np.array([[k, r, c, 1] for k in range(len(source.planes)) for r, c in corners])
    expected = (indices @ geometry.affine.T)[:, :3].reshape(-1, 3, 3)
    found = np.array([_corners(plane, geometry) for plane in source.planes])
    if expected.shape != found.shape or (
        _distance(expected, found).max() > GRID_TOLERANCE * min(geometry.spacing_mm)
    ):
        raise Defect("seg-misplaced", "The model's grid doesn't lie where the images lie.")


def _check_segmentation(ds: Dataset, analysis: Analysis, source: Source) -> None:
    geometry, label_map = analysis.prediction.geometry, analysis.prediction.label_map
    if ds.FrameOfReferenceUID != source.header.FrameOfReferenceUID:
        raise Defect("seg-misplaced", "The segmentation has another Frame of Reference.")
    findings = _segments(ds, analysis)
    planes = np.array([_corners(plane, geometry) for plane in source.planes])
    frames: dict[tuple[int, int], int] = {}
    for index, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        k = _nearest(frame, ds.SharedFunctionalGroupsSequence[0], planes, geometry)
        _check_reference(frame, source.planes[k])
        number = int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        if (number, k) in frames:
            raise Defect("seg-differs", "Two frames of the segmentation lie on one plane.")
        frames[number, k] = index
    if ds.NumberOfFrames != len(frames) or (ds.Rows, ds.Columns) != geometry.shape[1:]:
        raise Defect("seg-differs", "The segmentation has frames of another number or size.")
    for number, finding in findings.items():
        count = 0
        for k, labels in enumerate(label_map):
            mask = labels == finding.definition.number
            present = int(np.count_nonzero(mask))
            count += present
            index = frames.pop((number, k), -1)
            if (index >= 0) != bool(present) or (
                present and not np.array_equal(_frame_pixels(ds, index), mask)
            ):
                raise Defect("seg-differs", f"Segment {number} differs on slice {k + 1}.")
        if count != finding.voxel_count:
            raise Defect("seg-differs", f"Segment {number} has {count} voxels, not as found.")
    if frames:
        raise Defect("seg-differs", "The segmentation has frames of an unknown segment.")


def _segments(ds: Dataset, analysis: Analysis) -> Mapping[int, SegmentFinding]:
    """Return the finding of each Segment Number; exactly those with voxels must be there."""
    found = {
        provenance.tracking_uid(analysis, one.definition): one
        for one in analysis.prediction.segments
        if one.voxel_count
    }
    written = {str(item.TrackingUID): int(item.SegmentNumber) for item in ds.SegmentSequence}
    if written.keys() != found.keys():
        raise Defect("seg-differs", "The segmentation has other segments than the model found.")
    return {number: found[uid] for uid, number in written.items()}


def _nearest(
    frame: Dataset, shared: Dataset, planes: NDArray[np.float64], geometry: Geometry
) -> int:
    """Return the index of the plane on which the frame lies."""

    def group(keyword: str) -> Dataset:
        item: Dataset = (frame if keyword in frame else shared)[keyword].value[0]
        return item

    position = group("PlanePositionSequence").ImagePositionPatient
    orientation = group("PlaneOrientationSequence").ImageOrientationPatient
    spacing = group("PixelMeasuresSequence").PixelSpacing
    distances = _distance(planes, _corner_points(position, orientation, spacing, geometry)).max(
        axis=1
    )
    k = int(distances.argmin())
    if distances[k] > TOLERANCE_MM:
        raise Defect(
            "seg-misplaced",
            f"A frame of the segmentation lies {distances[k]:.3g} mm from the nearest image.",
        )
    return k


def _check_reference(frame: Dataset, plane: Plane) -> None:
    item = frame.DerivationImageSequence[0].SourceImageSequence[0]
    if _referenced(item) != plane.image or item.get("ReferencedFrameNumber") != plane.frame_number:
        raise Defect("seg-misplaced", "A frame of the segmentation refers to another image.")


def _frame_pixels(ds: Dataset, index: int) -> NDArray[np.bool_]:
    """Return one frame of packed bits; frames don't begin on whole bytes (PS3.5 8.1.1)."""
    size = ds.Rows * ds.Columns
    first, last = index * size, (index + 1) * size
    packed = np.frombuffer(ds.PixelData, np.uint8)[first // 8 : -(-last // 8)]
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][:size]
    return bits.reshape(ds.Rows, ds.Columns).astype(np.bool_)


def _check_report(
    ds: Dataset, results: tuple[ResultObject, ...], analysis: Analysis, source: Source
) -> None:
    if (ds.CompletionFlag, ds.VerificationFlag) != ("COMPLETE", "UNVERIFIED"):
        raise Defect("sr-differs", "The report's flags aren't COMPLETE and UNVERIFIED.")
    seg = [one for one in results if one.kind is ResultKind.SEG]
    known = {*source.images} | {
        ImageReference(sop_class_uid=one.sop_class_uid, sop_instance_uid=one.sop_instance_uid)
        for one in seg
    }
    evidence = {
        _referenced(item)
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    items = list(_content_items(ds))
    mentioned = {_referenced(one.ReferencedSOPSequence[0]) for one in items if _is_image(one)}
    if evidence != known or not mentioned <= evidence:
        raise Defect("sr-differs", "The report's evidence isn't the images and the segmentation.")
    volumes = dict(_volumes(items))
    for finding in analysis.prediction.segments:
        volume = volumes.pop(provenance.tracking_uid(analysis, finding.definition), None)
        if volume is None or abs(volume - finding.volume_mm3) > VOLUME_TOLERANCE * volume:
            raise Defect(
                "sr-differs", f"The volume of segment {finding.definition.number} differs."
            )
    if volumes:
        raise Defect("sr-differs", "The report measures an unknown segment.")


def _content_items(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", []):
        yield item
        yield from _content_items(item)


def _is_image(item: Dataset) -> bool:
    return item.ValueType in {"IMAGE", "COMPOSITE"}


def _volumes(items: list[Dataset]) -> Iterator[tuple[str, float]]:
    """Yield Tracking Unique Identifier and Volume (118565006, SCT) of each measurement group."""
    for group in items:
        inner = {
            item.ConceptNameCodeSequence[0].CodeValue: item
            for item in group.get("ContentSequence", [])
        }
        if "112040" in inner and "118565006" in inner:
            value = inner["118565006"].MeasuredValueSequence[0]
            yield str(inner["112040"].UID), float(value.NumericValue)


def _referenced(item: Dataset) -> ImageReference:
    return ImageReference(
        sop_class_uid=str(item.ReferencedSOPClassUID),
        sop_instance_uid=str(item.ReferencedSOPInstanceUID),
    )


def _corners(plane: Plane, geometry: Geometry) -> NDArray[np.float64]:
    return _corner_points(plane.position, plane.orientation, plane.pixel_spacing, geometry)


def _corner_points(
    position: tuple[float, ...],
    orientation: tuple[float, ...],
    spacing: tuple[float, ...],
    geometry: Geometry,
) -> NDArray[np.float64]:
    """Return first pixel, end of the first row, end of the first column (PS3.3 C.7.6.2.1.1)."""
    origin, cosines = np.array(position, float), np.array(orientation, float)
    _, rows, columns = geometry.shape
    return np.array(
        [
            origin,
            origin + cosines[:3] * float(spacing[1]) * (columns - 1),
            origin + cosines[3:] * float(spacing[0]) * (rows - 1),
        ]
    )


def _distance(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.linalg.norm(left - right, axis=-1)
    return distance
