"""The picture of results: segments are where the files say, whatever the slices' order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import highdicom as hd
import numpy as np
import pytest
from factories import AXIAL, Stack, make_datasets
from matplotlib.image import imread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, generate_uid

from clic_edge.demo.grid import overlay
from clic_edge.demo.overlay import draw_overlays
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
UPSIDE_DOWN = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.96, 0.28, 0.0, -0.28, 0.96, 0.0)
SHAPE = (14, 20, 16)


def lesion(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint8]:
    """Return a mask of two segments, not symmetric along any axis."""
    mask = np.zeros(shape, dtype=np.uint8)
    mask[2:6, 3:8, 4:7] = 1
    mask[6:8, 3:8, 4:9] = 2
    return mask


def segmentation(source: list[Dataset], mask: NDArray[np.uint8]) -> Dataset:
    def described(number: int) -> hd.seg.SegmentDescription:
        return hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"Part {number}",
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Hippocampus,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )

    return hd.seg.Segmentation(
        source_images=source,
        pixel_array=mask,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[described(1), described(2)],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
    )


def case(stack: Stack) -> tuple[list[Dataset], Dataset]:
    """Return a series that is bright exactly where its segmentation is."""
    mask = lesion()
    source = make_datasets(stack, mask.astype(np.int16) * 500)
    return source, segmentation(source, mask)


@pytest.mark.parametrize("step", [1.5, -1.5])
@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, UPSIDE_DOWN, OBLIQUE])
def test_segments_lie_on_what_they_segment(orientation: tuple[float, ...], step: float) -> None:
    source, seg = case(Stack(orientation=orientation, slice_step=step))
    image = overlay(source[::-1], seg)
    assert np.array_equal(image.labels * 500.0, image.grey)
    assert image.labels.any()


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, UPSIDE_DOWN])
def test_the_axes_run_to_the_right_to_the_front_and_upward(orientation: tuple[float, ...]) -> None:
    stack = Stack(orientation=orientation)
    source = make_datasets(stack, np.zeros(SHAPE, dtype=np.int16))
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[0, 0, 0], mask[-1, -1, -1] = 1, 2
    image = overlay(source, segmentation(source, mask))
    (first,), (second,) = np.argwhere(image.labels == 1), np.argwhere(image.labels == 2)
    rows, columns = (np.array(part) for part in (orientation[3:], orientation[:3]))
    normal = np.cross(columns, rows)
    lps = normal * (SHAPE[0] - 1) + rows * (SHAPE[1] - 1) + columns * (SHAPE[2] - 1)
    assert (second - first).tolist() == (lps * (-1, -1, 1)).tolist()


def test_a_segmentation_in_the_wrong_place_is_drawn_in_the_wrong_place() -> None:
    source, seg = case(Stack())
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[0] -= 3  # towards the right
    image = overlay(source, seg)
    assert np.array_equal(image.labels[3:] * 500.0, image.grey[:-3])


def test_another_direction_and_a_second_volume_in_the_series_are_left_out() -> None:
    source, seg = case(Stack())
    again = make_datasets(Stack(), np.zeros(SHAPE, dtype=np.int16))
    across = make_datasets(Stack(orientation=CORONAL), np.ones(SHAPE, dtype=np.int16))
    image = overlay([*source, *again, *across], seg)
    assert np.array_equal(image.labels * 500.0, image.grey)


def test_the_spacing_follows_the_axes() -> None:
    source, seg = case(Stack(orientation=CORONAL, slice_step=3, pixel_spacing=(0.5, 2.0)))
    image = overlay(source, seg)
    assert image.spacing_mm == pytest.approx((2.0, 3.0, 0.5))
    assert image.grey.shape == (16, 14, 20)
    assert image.size_mm == pytest.approx((32, 42, 10))


def report(seg: Dataset) -> Dataset:
    """Return the little of a TID 1500 report that the picture reads."""

    def item(kind: str, *content: Dataset) -> Dataset:
        ds = Dataset()
        ds.ValueType = kind
        if content:
            ds.ContentSequence = list(content)
        return ds

    region = item("IMAGE")
    region.ReferencedSOPSequence = [Dataset()]
    region.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = seg.SOPInstanceUID
    region.ReferencedSOPSequence[0].ReferencedSegmentNumber = 1
    number = item("NUM")
    number.ConceptNameCodeSequence = [Dataset()]
    number.ConceptNameCodeSequence[0].CodeValue = "118565006"
    number.MeasuredValueSequence = [Dataset()]
    number.MeasuredValueSequence[0].NumericValue = 2498
    sr = item("CONTAINER", item("CONTAINER", region, number))
    sr.Modality = "SR"
    sr.SOPClassUID = Comprehensive3DSRStorage
    sr.SOPInstanceUID = generate_uid()
    sr.file_meta = FileMetaDataset()
    sr.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return sr


def saved(folder: Path, name: str, ds: Dataset) -> Path:
    path = folder / f"{name}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def test_the_picture_shows_every_segment_in_its_colour(tmp_path: Path) -> None:
    source, seg = case(Stack())
    files = [saved(tmp_path, str(number), ds) for number, ds in enumerate(source)]
    files.append(tmp_path / "README")
    files[-1].write_text("This is no DICOM file.")
    results = [saved(tmp_path, "seg", seg), saved(tmp_path, "sr", report(seg))]
    out = tmp_path / "made" / "overlay.png"
    draw_overlays(files, results, out)
    picture = imread(out)[..., :3]
    for colour in ("#E69F00", "#56B4E9"):
        rgb = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        assert np.isclose(picture, rgb, atol=0.02).all(axis=-1).sum() > 200


def test_the_volume_is_the_report_s() -> None:
    _, seg = case(Stack())
    from clic_edge.demo.overlay import _segments, _volumes  # noqa: PLC0415 - what the legend says

    volumes = [segment.volume_mm3 for segment in _segments(seg, dict(_volumes([report(seg)])))]
    assert volumes == [2498.0, None]


def test_without_a_segmentation_there_is_no_picture(tmp_path: Path) -> None:
    source, seg = case(Stack())
    files = [saved(tmp_path, str(number), ds) for number, ds in enumerate(source)]
    with pytest.raises(Refusal, match="no segmentation"):
        draw_overlays(files, [saved(tmp_path, "sr", report(seg))], tmp_path / "overlay.png")
    assert not (tmp_path / "overlay.png").exists()
