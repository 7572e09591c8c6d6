from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import pytest
from factories import Stack, file_bytes, make_datasets, ramp
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEGLSLossless, RLELossless

from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.errors import ClicEdgeError, Defect

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SHAPE = (3, 12, 14)
SYNTAXES = {"native": None, "RLE": RLELossless, "JPEG-LS": JPEGLSLossless}


def contents(syntax: str) -> tuple[bytes, ...]:
    return tuple(_encoded(ds, syntax) for ds in make_datasets(Stack(modality="CT"), ramp(SHAPE)))


def _encoded(ds: Dataset, syntax: str) -> bytes:
    uid = SYNTAXES[syntax]
    if uid is None:
        return file_bytes(ds)
    ds.compress(uid, generate_instance_uid=False)
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


FILES = {syntax: contents(syntax) for syntax in SYNTAXES}


def build(files: tuple[bytes, ...]) -> None:
    instances = tuple(CleanInstance(content=content) for content in files)
    clean = CleanSeries(subject_id="subject", series_uid="2.25.1", instances=instances)
    build_volume(clean, VolumePolicy())


@pytest.mark.slow
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_anywhere_is_refused_or_a_defect(syntax: str) -> None:
    first, second, third = FILES[syntax]
    # Every byte of the pixels and around them, every seventh of the header.
    ends = [*range(0, len(second) - 420, 7), *range(max(0, len(second) - 420), len(second))]
    for end in ends:
        with pytest.raises(ClicEdgeError):
            build((first, second[:end], third))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_within_its_pixels_is_a_defect_named_by_position(syntax: str) -> None:
    first, second, third = FILES[syntax]
    for end in (len(second) - 1, len(second) - 9, len(second) - 60):
        with pytest.raises(Defect, match="instance 2 of 3"):
            build((first, second[:end], third))


@pytest.mark.slow
@settings(deadline=None, max_examples=250)
@given(
    syntax=st.sampled_from(sorted(SYNTAXES)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_flipped_bytes_never_raise_anything_of_another_library(
    syntax: str, changes: list[tuple[float, int]]
) -> None:
    first, second, third = FILES[syntax]
    broken = bytearray(second)
    for place, byte in changes:
        broken[min(int(place * len(broken)), len(broken) - 1)] = byte
    with contextlib.suppress(ClicEdgeError):
        build((first, bytes(broken), third))


def test_a_frame_that_claims_another_size_is_not_decoded() -> None:
    first, second, third = FILES["JPEG-LS"]
    # Start of frame: marker, length, precision, then the number of lines (ISO 14495-1 C.2.2).
    at = second.index(b"\xff\xf7") + 5
    claims_more = second[:at] + b"\xff\xff" + second[at + 2 :]
    with pytest.raises(Defect) as caught:
        build((first, claims_more, third))
    assert caught.value.code == "undecodable-pixels"
