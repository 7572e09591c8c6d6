"""Whatever a broken file claims, reading an image of it ends in an image or in an error of ours."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import pytest
from factories import Shots, file_bytes, make_shot
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEGLSLossless, RLELossless

from clic_edge.dicom.images import read_shot
from clic_edge.errors import ClicEdgeError

RNG = np.random.default_rng(5)


def noise(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def palette() -> bytes:
    ds = make_shot(Shots(modality="US"), noise(12, 14))
    ds.PhotometricInterpretation = "PALETTE COLOR"
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", noise(512).tobytes())
    return file_bytes(ds)


def compressed(syntax: str, *shape: int) -> bytes:
    ds = make_shot(Shots(), noise(*shape))
    plugin = "pyjpegls" if syntax == JPEGLSLossless else "pydicom"
    ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    return file_bytes(ds)


FILES = {
    "colour": file_bytes(make_shot(Shots(), noise(12, 14, 3))),
    "palette": palette(),
    "RLE": compressed(RLELossless, 12, 14, 3),
    "JPEG-LS": compressed(JPEGLSLossless, 12, 14),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_within_its_pixels_is_an_error_of_ours(kind: str) -> None:
    for end in range(len(FILES[kind]) - 420, len(FILES[kind])):
        with pytest.raises(ClicEdgeError):
            read_shot(FILES[kind][:end], "the instance")


@pytest.mark.slow
@settings(deadline=None, max_examples=250)
@given(
    kind=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_flipped_bytes_never_raise_anything_of_another_library_nor_warn(
    kind: str, changes: list[tuple[float, int]]
) -> None:
    broken = bytearray(FILES[kind])
    for place, byte in changes:
        broken[min(int(place * len(broken)), len(broken) - 1)] = byte
    with warnings.catch_warnings(), contextlib.suppress(ClicEdgeError):
        warnings.simplefilter("error")  # a warning of pydicom's quotes values
        shot = read_shot(bytes(broken), "the instance")
        assert np.isfinite(shot.shown).all()
        assert shot.shown[0] != shot.shown[1]
