from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import SEGMENTS, analysis_of, asymmetric, series_in
from factories import Stack, make_datasets, make_series, ramp, series_of

from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.prediction import Code
from clic_edge.domain.volume import Geometry, SliceSource
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.check import check
from clic_edge.results.seg import SegWriter
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

    from clic_edge.results.writer import Analysis


def segmentation(analysis: Analysis) -> Dataset:
    (result,) = SegWriter().write(analysis, ())
    check((result,), analysis)
    return pydicom.dcmread(io.BytesIO(result.content))


def test_each_segment_says_what_it_is_and_who_drew_it() -> None:
    analysis = analysis_of()
    ds = segmentation(analysis)
    assert ds.SegmentationType == "BINARY"
    for item, segment in zip(ds.SegmentSequence, SEGMENTS, strict=True):
        assert item.SegmentNumber == segment.number
        assert item.SegmentLabel == segment.label
        assert item.SegmentedPropertyCategoryCodeSequence[0].CodeValue == segment.category.value
        assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == segment.property_type.value
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        assert item.TrackingID == f"organs {segment.name}"
        assert item.TrackingUID == provenance.tracking_uid(analysis, segment)
        (algorithm,) = item.SegmentationAlgorithmIdentificationSequence
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (
            "Organ volumetry",
            "1.2.0",
        )


def test_a_part_of_an_organ_is_told_by_its_modifier_in_seg_and_sr() -> None:
    anterior = Code(value="255549009", scheme="SCT", meaning="Anterior")
    analysis = analysis_of()
    (first, *others) = analysis.prediction.segments
    changed = replace(first, definition=replace(first.definition, modifier=anterior))
    prediction = replace(analysis.prediction, segments=(changed, *others))
    analysis = replace(analysis, prediction=prediction)

    (seg,) = SegWriter().write(analysis, ())
    (sr,) = SrWriter().write(analysis, (seg,))
    check((seg, sr), analysis)

    segment = pydicom.dcmread(io.BytesIO(seg.content)).SegmentSequence[0]
    (kind,) = segment.SegmentedPropertyTypeCodeSequence
    (modifier,) = kind.SegmentedPropertyTypeModifierCodeSequence
    assert (modifier.CodeValue, modifier.CodeMeaning) == ("255549009", "Anterior")
    assert "255549009" in str(pydicom.dcmread(io.BytesIO(sr.content)))


def test_empty_frames_are_left_out() -> None:
    mask = asymmetric((8, 10, 12))
    expected = sum(int((plane == n).any()) for plane in mask for n in (1, 2, 3))
    assert segmentation(analysis_of(mask=mask)).NumberOfFrames == expected


def test_a_segment_without_voxels_is_left_out_and_the_others_are_numbered_from_one() -> None:
    mask = asymmetric((8, 10, 12))
    mask[mask == 1] = 0
    ds = segmentation(analysis_of(mask=mask))
    assert [(item.SegmentNumber, item.SegmentLabel) for item in ds.SegmentSequence] == [
        (1, "Spleen"),
        (2, "Lesion"),
    ]


def test_frames_of_an_enhanced_original_are_referred_to_by_number(test_data: Path) -> None:
    series = series_in(test_data / "dicom/mr-enhanced", "BRTUM009.dcm")
    analysis = analysis_of(series)
    ds = segmentation(analysis)
    original = pydicom.dcmread(io.BytesIO(series.instances[0].content), stop_before_pixels=True)
    for frame in ds.PerFrameFunctionalGroupsSequence:
        (reference,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == original.SOPInstanceUID
        assert reference.ReferencedSOPClassUID == original.SOPClassUID
        source = original.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        assert (
            source.PlanePositionSequence[0].ImagePositionPatient
            == frame.PlanePositionSequence[0].ImagePositionPatient
        )
    (series_item,) = ds.ReferencedSeriesSequence
    assert len(series_item.ReferencedInstanceSequence) == 1


def test_one_volume_of_several_in_a_series_refers_to_its_own_images(test_data: Path) -> None:
    series = series_in(test_data / "dicom/mr-4d-epi-ge", "*")
    analysis = analysis_of(series)
    assert len(analysis.slices) < len(series.instances)
    ds = segmentation(analysis)
    assert len(ds.SourceImageSequence) == len(analysis.slices)


def test_a_mask_on_another_grid_is_no_result() -> None:
    analysis = analysis_of()
    prediction = analysis.prediction
    smaller = replace(
        prediction,
        label_map=prediction.label_map[:, :-1],
        geometry=Geometry(affine=prediction.geometry.affine, shape=(8, 9, 12)),
    )
    with pytest.raises(Defect, match="mask-off-grid"):
        SegWriter().write(replace(analysis, prediction=smaller), ())


def test_an_original_without_frame_of_reference_gets_no_segmentation() -> None:
    datasets = make_datasets(Stack(), ramp())
    for ds in datasets:
        del ds.FrameOfReferenceUID
    with pytest.raises(Defect, match="no-frame-of-reference"):
        SegWriter().write(analysis_of(series_of(datasets)), ())


def test_slices_of_two_orientations_get_no_segmentation() -> None:
    datasets = make_datasets(Stack(), ramp())
    datasets[3].ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
    good = analysis_of()
    with pytest.raises(Defect, match="mixed-planes"):
        SegWriter().write(replace(good, series=series_of(datasets)), ())


def test_slices_of_two_patients_get_no_segmentation() -> None:
    datasets = make_datasets(Stack(), ramp())
    datasets[3].PatientID = "ANOTHER"
    with pytest.raises(Defect, match="mixed-series") as caught:
        SegWriter().write(analysis_of(series_of(datasets)), ())
    assert "ANOTHER" not in str(caught.value)


def test_a_slice_without_position_gets_no_segmentation() -> None:
    datasets = make_datasets(Stack(), ramp())
    del datasets[3].ImagePositionPatient
    with pytest.raises(Defect, match="source-without-plane"):
        SegWriter().write(replace(analysis_of(), series=series_of(datasets)), ())


def test_one_slice_is_enough() -> None:
    mask = np.zeros((1, 10, 12), np.uint8)
    mask[0, 2:4, 3:8] = 1
    ds = segmentation(analysis_of(make_series(voxels=ramp()[:1]), mask=mask))
    assert ds.NumberOfFrames == 1


def test_spacing_between_slices_is_measured_along_the_normal_of_a_tilted_stack() -> None:
    datasets = make_datasets(Stack(slice_step=2.0), ramp())
    for k, ds in enumerate(datasets):
        ds.ImagePositionPatient = [-10, -20 + 0.7 * k, 30 + 2 * k]
    ds = segmentation(analysis_of(series_of(datasets)))
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SpacingBetweenSlices == pytest.approx(2.0)


def test_slices_out_of_the_archives_order_are_followed() -> None:
    analysis = analysis_of(descending=True)
    assert analysis.slices[0] == SliceSource(instance_index=7, frame_number=1)
    segmentation(analysis)


def test_a_segmentation_of_lossy_images_says_so() -> None:
    datasets = make_datasets(Stack(), ramp())
    for ds in datasets:
        ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", 12.5
        ds.LossyImageCompressionMethod = "ISO_15444_1"
    ds = segmentation(analysis_of(series_of(datasets)))
    assert (ds.LossyImageCompression, ds.LossyImageCompressionRatio) == ("01", 12.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("mr-brain-study3/11_HCropVolume", "*"),
        ("mr-brain-study3/11-T1post-18670", "*"),
        ("mr-brain-oblique-ge", "*.dcm"),
        ("mr-philips-classic-3dpcasl", "*.dcm"),
        ("mr-enhanced", "philips_1901_3DpCASL_enhanced.dcm"),
    ],
)
def test_a_mask_on_a_built_volume_lies_on_the_originals(
    test_data: Path, folder: str, pattern: str
) -> None:
    series = series_in(test_data / "dicom" / folder, pattern)
    clean = CleanSeries(
        subject_id="a",
        series_uid="2.25.1",
        instances=tuple(CleanInstance(content=one.content) for one in series.instances),
    )
    segmentation(analysis_of(series, volume=build_volume(clean, VolumePolicy())))
