"""Pictures for the pages: the outline lies over the pixels that the mask is of."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from analyses import analysis_of, asymmetric
from factories import CANARY, Stack, make_series
from PIL import Image
from scipy.ndimage import distance_transform_edt

from clic_edge.dicom.reading import read_instance
from clic_edge.errors import Defect
from clic_edge.results.key_pictures import (
    MOST,
    KeySlices,
    key_slices_of,
    outlines_picture,
    plain_picture,
)
from clic_edge.results.seg import SegWriter
from clic_edge.results.seg_labelmap import SegLabelmapWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.results.writer import Analysis, Writer

SHAPE = (6, 24, 20)
SPACING = (1.0, 2.0)
"""Between rows, between columns: a picture is wider than the matrix."""


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Return a phantom that is bright exactly where its mask is."""
    mask = asymmetric(SHAPE)
    stack = Stack(patient=CANARY, pixel_spacing=SPACING)
    voxels = np.where(mask > 0, 1000, 100).astype(np.int16)
    return analysis_of(make_series(stack, voxels), mask=mask)


def key_of(analysis: Analysis, writer: Writer | None = None) -> KeySlices:
    (seg,) = (writer or SegWriter()).write(analysis, ())
    key = key_slices_of(seg.content)
    assert key
    return key


def originals(analysis: Analysis, key: KeySlices) -> list[bytes]:
    known = {
        str(read_instance(one.content).SOPInstanceUID): one.content
        for one in analysis.series.instances
    }
    return [known[one.sop_instance_uid] for one in key.slices]


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert not image.info, "no word stands in the file"
    return image


def enlarged(mask: NDArray[np.bool_], key: KeySlices) -> NDArray[np.bool_]:
    width, height = key.width - 8, key.size[1]
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


@pytest.mark.parametrize("writer", [SegWriter(), SegLabelmapWriter()], ids=["bits", "labels"])
def test_outlines_run_along_the_border_of_the_mask_and_the_mask_is_where_the_phantom_is(
    analysis: Analysis, writer: Writer
) -> None:
    key = key_of(analysis, writer)
    plain = np.asarray(opened(plain_picture(key, originals(analysis, key))).convert("L"))
    lines = np.asarray(opened(outlines_picture(key)))[..., 3] > 0
    assert plain.shape == lines.shape == key.size[::-1]
    for index, one in enumerate(key.slices):
        part = slice(index * key.width, index * key.width + key.width - 8)
        inside = np.zeros(key.size[::-1], bool)[:, part]
        border = np.zeros_like(inside)
        for mask in one.masks.values():
            large = enlarged(mask, key)
            inside |= large
            border |= large & (distance_transform_edt(np.pad(large, 1))[1:-1, 1:-1] <= 1)
        assert distance_transform_edt(~border)[lines[:, part]].max() <= 4
        assert distance_transform_edt(~lines[:, part])[border].max() <= 4
        deep = distance_transform_edt(inside) > 8
        far = distance_transform_edt(~inside) > 8
        assert plain[:, part][deep].min() > 200
        assert plain[:, part][far].max() < 55


def test_a_picture_is_as_wide_as_the_patient_is(analysis: Analysis) -> None:
    key = key_of(analysis)
    rows, columns = SHAPE[1:]
    assert key.scale[0] / key.scale[1] == SPACING[1] / SPACING[0]
    assert (key.width - 8) / key.size[1] == pytest.approx(columns * 2 / rows, rel=0.01)


def test_the_slices_are_those_where_a_segment_is_largest_and_at_most_three(
    analysis: Analysis,
) -> None:
    label_map = analysis.prediction.label_map
    key = key_of(analysis)
    uids = [str(read_instance(one.content).SOPInstanceUID) for one in analysis.series.instances]
    shown = {uids.index(one.sop_instance_uid) for one in key.slices}
    largest = {
        int((label_map == number).sum(axis=(1, 2)).argmax())
        for number in np.unique(label_map[label_map > 0])
    }
    assert shown == largest
    assert len(shown) <= MOST


@pytest.mark.parametrize("writer", [SegWriter(), SegLabelmapWriter()], ids=["bits", "labels"])
def test_where_nothing_was_found_there_is_no_picture(writer: Writer) -> None:
    empty = analysis_of(mask=np.zeros((5, 10, 8), np.uint8), series=make_series())
    assert [key_slices_of(one.content) for one in writer.write(empty, ())] in ([], [None])


@pytest.mark.parametrize("content", [b"", b"no DICOM", b"\0" * 500])
def test_what_is_no_segmentation_is_said_and_not_shown(content: bytes) -> None:
    with pytest.raises(Defect):
        key_slices_of(content)


def test_an_original_that_is_no_image_is_said(analysis: Analysis) -> None:
    key = key_of(analysis)
    (seg,) = SegWriter().write(analysis, ())
    with pytest.raises(Defect):
        plain_picture(key, [b"no DICOM"] * len(key.slices))
    with pytest.raises(Defect):
        plain_picture(key, [seg.content[:600]] * len(key.slices))
