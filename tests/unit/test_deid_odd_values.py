"""Values that are none end in quarantine, or pass, but never end a run: found by mutated real files."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import Stack, canary_stack, file_bytes, make_datasets, ramp
from pydicom import Dataset, dcmread
from pydicom.uid import PositronEmissionTomographyImageStorage, SecondaryCaptureImageStorage

from clic_edge.deid import BASIC, DeidKey, Profile
from clic_edge.deid.batch import Order, clean_all, sources_below
from clic_edge.deid.file import Bench
from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.suv import suv_bw_factor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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


def _half_life_of_no_time() -> bytes:
    (ds,) = make_datasets(Stack(pixel_spacing=(4.0, 4.0)), np.zeros((1, 64, 64), np.int16))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
    ds.Modality, ds.Units, ds.PatientWeight = "PT", "BQML", 70
    ds.CorrectedImage, ds.DecayCorrection = ["DECY", "ATTN"], "START"
    ds.SeriesDate = ds.AcquisitionDate = "20260101"
    ds.SeriesTime = ds.AcquisitionTime = "120000"
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 1e8, 1e-3
    drug.RadiopharmaceuticalStartDateTime = "20260101110000"
    ds.RadiopharmaceuticalInformationSequence = [drug]
    return file_bytes(ds)


def test_a_dose_that_has_decayed_to_nothing_gives_no_uptake() -> None:
    ds = dcmread(BytesIO(_half_life_of_no_time()))
    assert suv_bw_factor(Attributes(dataset=ds, where="the instance")) is None
    ds.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife = 6586
    assert suv_bw_factor(Attributes(dataset=ds, where="the instance")) is not None


LOOKED_AT = Profile(name="looked at", pixels="redact-all")
HOLD = Profile(name="hold", faces="hold")
MADE: dict[str, tuple[Callable[[], bytes], Profile, list[str]]] = {
    "frames in superscript": (_superscript_frames, BASIC, []),
    "frames of many digits": (_frames_of_many_digits, BASIC, []),
    "so many that no face is found": (_frames_of_many_digits, HOLD, ["invalid-attribute"]),
    "two thicknesses": (_thickness_of_two_numbers, HOLD, ["face-visible"]),
    "bits of a palette": (_palette_of_58203_bits, LOOKED_AT, ["undecodable-pixels"]),
}


@pytest.mark.parametrize("which", MADE)
def test_a_value_that_is_none_holds_its_file_at_most_and_ends_no_run(
    tmp_path: Path, which: str
) -> None:
    make, profile, codes = MADE[which]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "odd").write_bytes(make())
    bench = Bench(profile=profile, key=DeidKey(bytes(32)), out=tmp_path / "out")
    summary = clean_all(sources_below(tmp_path / "in"), Order(bench=bench), lambda _: None)
    assert [held.code for _, held in summary.held] == codes
    assert summary.written == 1 - len(codes)
