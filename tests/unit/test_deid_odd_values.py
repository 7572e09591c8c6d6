"""Values that are none end in quarantine, or pass, but never end a run: found by mutated real files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import Stack, canary_stack, file_bytes, make_datasets, ramp
from pydicom.uid import SecondaryCaptureImageStorage

from clic_edge.deid import DeidKey, Profile
from clic_edge.deid.batch import Order, clean_all, sources_below
from clic_edge.deid.file import Bench

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPTIONS = frozenset({"clean_graphics", "clean_descriptors"})
PROFILE = Profile(name="all", pixels="redact-all", faces="deface", options=OPTIONS)


def _superscript_frames() -> bytes:
    (ds,) = make_datasets(canary_stack(), ramp((1, 8, 8)))
    ds.NumberOfFrames = "7"
    return file_bytes(ds).replace(b"\x28\0\x08\0IS\x02\x007 ", b"\x28\0\x08\0IS\x02\0\xb2 ")


def _frames_of_many_digits() -> bytes:
    (ds,) = make_datasets(canary_stack(), ramp((1, 8, 8)))
    marker = "1234567890"
    ds.NumberOfFrames = marker
    many = b"9" * 5000
    return file_bytes(ds).replace(
        b"IS\x0a\0" + marker.encode(), b"IS" + len(many).to_bytes(2, "little") + many
    )


def _thickness_of_two_numbers() -> bytes:
    stack = Stack(pixel_spacing=(1.0, 1.0), slice_step=1.0)
    (ds,) = make_datasets(stack, np.zeros((1, 128, 128), np.int16))
    ds.SliceThickness = [3, 4]
    return file_bytes(ds)


def _palette_of_58203_bits() -> bytes:
    (ds,) = make_datasets(canary_stack(), ramp((1, 64, 64)))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.PhotometricInterpretation = "PALETTE COLOR"
    ds.PixelRepresentation = 0
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 58203])
        setattr(ds, f"{colour}PaletteColorLookupTableData", bytes(512))
    return file_bytes(ds)


MADE: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "frames in superscript": (_superscript_frames, {"invalid-attribute", "undecodable-pixels"}),
    "frames of many digits": (_frames_of_many_digits, {"invalid-attribute", "undecodable-pixels"}),
    "two thicknesses": (_thickness_of_two_numbers, {"face-visible"}),
    "bits of a palette": (_palette_of_58203_bits, {"undecodable-pixels"}),
}


@pytest.mark.parametrize("which", MADE)
def test_a_value_that_is_none_holds_its_file_and_ends_no_run(tmp_path: Path, which: str) -> None:
    make, codes = MADE[which]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "odd").write_bytes(make())
    bench = Bench(profile=PROFILE, key=DeidKey(bytes(32)), out=tmp_path / "out")
    summary = clean_all(sources_below(tmp_path / "in"), Order(bench=bench), lambda _: None)
    ((_, held),) = summary.held
    assert held.code in codes
