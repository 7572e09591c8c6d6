"""Burned-in text is blanked in every kind of pixels, and nothing else changes."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from factories import canary_stack, file_bytes, make_datasets
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from scipy import ndimage
from textsweep import drawn, fonts, sweep

from clic_edge.deid import DeidKey, Profile, deidentify
from clic_edge.deid.textareas import text_areas
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import ClicEdgeError, Defect, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

REDACT = Profile(name="redact", pixels="redact")
ALL = Profile(name="all", pixels="redact-all")
PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")
STORAGE = "1.2.840.10008.5.1.4.1.1."
CAPTURE, ULTRASOUND = STORAGE + "7", STORAGE + "6.1"
SHAPE = (160, 320)


def clean(content: bytes, profile: Profile = REDACT) -> pydicom.FileDataset:
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id="1",
        issuer_of_patient_id="",
        instances=(Instance(content=content),),
    )
    (instance,) = deidentify(series, profile, PSEUDONYM).instances
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(instance.content))


def text_frame(dark: int = 20, bright: int = 230) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Return a smooth frame with one line of text, and where that is."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    frame = (dark + (rows + columns) / 16).astype(np.int16)
    path = next(path for path in fonts(held_out=False) if path.endswith("DejaVuSans.ttf"))
    ink, box = drawn("KANARIEFUGL 17.09.1933", path, 20, angle=0, smooth=True)
    area = np.zeros(SHAPE, bool)
    window = (slice(40, 40 + ink.shape[0]), slice(24, 24 + ink.shape[1]))
    frame[window] = (frame[window] * (1 - ink) + bright * ink).astype(np.int16)
    area[window] = box
    return frame, area


def capture(frames: NDArray[np.integer], **changes: object) -> Dataset:
    """Return a secondary capture of (frames, rows, columns[, 3])."""
    (ds,) = make_datasets(canary_stack(), np.zeros((1, *SHAPE), np.int16))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CAPTURE
    ds.ConversionType = "WSD"
    ds.Rows, ds.Columns = frames.shape[1:3]
    ds.NumberOfFrames = len(frames)
    ds.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    ds.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    if frames.ndim == 4:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = frames.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(frames.dtype.kind == "i")
    ds.PixelData = frames.tobytes()
    ds["PixelData"].VR = "OB" if frames.dtype.itemsize == 1 else "OW"
    for name, value in changes.items():
        setattr(ds, name, value)
    return ds


def assert_only_text_is_gone(
    before: NDArray[np.integer], after: NDArray[np.integer], area: NDArray[np.bool_], black: int
) -> None:
    __tracebackhide__ = True
    changed = (before.reshape(after.shape) != after).reshape(*SHAPE, -1).any(axis=-1)
    near = np.zeros(SHAPE, bool)
    near[28:80, 8:312] = True
    assert (after[area] == black).all()
    assert not (changed & ~near).any()


def codes(ds: Dataset) -> set[str]:
    return {code.CodeValue for code in ds.DeidentificationMethodCodeSequence}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("dtype", "stored"), [("u1", 8), ("<u2", 12), ("<i2", 16), ("<i2", 12)])
def test_text_in_gray_pixels_is_blanked(photometric: str, dtype: str, stored: int) -> None:
    frame, area = text_frame()
    pixels = frame.astype(dtype) - (100 if dtype == "<i2" else 0)
    pixels = pixels.astype(dtype)
    ds = capture(pixels[None], PhotometricInterpretation=photometric, BitsStored=stored)
    ds.HighBit = stored - 1
    result = clean(file_bytes(ds))
    black = int(pixels.max() if photometric == "MONOCHROME1" else pixels.min())
    assert_only_text_is_gone(pixels, result.pixel_array, area, black)
    assert (result.PhotometricInterpretation, result.BitsStored) == (photometric, stored)
    assert result.PixelRepresentation == ds.PixelRepresentation
    assert result.BurnedInAnnotation == "NO"
    assert {"113100", "113101"} <= codes(result)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
    ],
)
def test_every_encoding_keeps_all_but_the_text(syntax: str) -> None:
    frame, area = text_frame()
    ds = capture(frame.astype("<u2")[None])
    if syntax == RLELossless:
        ds.compress(RLELossless, encoding_plugin="pydicom")
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = frame.astype(">u2").tobytes()
    result = clean(file_bytes(ds))
    expected = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    assert result.file_meta.TransferSyntaxUID == expected
    assert_only_text_is_gone(frame, result.pixel_array, area, int(frame.min()))


@pytest.mark.parametrize("planar", [0, 1])
def test_text_in_colour_is_blanked(planar: int) -> None:
    frame, area = text_frame()
    pixels = np.repeat(frame.astype("u1")[..., None], 3, axis=2)
    pixels[..., 2] //= 4
    stored = pixels if planar == 0 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    ds = capture(pixels[None], PlanarConfiguration=planar, PixelData=stored.tobytes())
    result = clean(file_bytes(ds))
    assert_only_text_is_gone(pixels, result.pixel_array, area, 0)
    assert result.PhotometricInterpretation == "RGB"


def test_coloured_text_of_the_brightness_of_its_surroundings_is_blanked() -> None:
    frame, area = text_frame(dark=0, bright=255)
    ink = np.clip((frame - 30) / 225, 0, 1)[..., None]
    pixels = np.rint(76 * (1 - ink) + np.array([255, 0, 0]) * ink).astype("u1")
    assert (clean(file_bytes(capture(pixels[None]))).pixel_array[area] == 0).all()


def test_luminance_and_chrominance_become_colour_without_text() -> None:
    frame, area = text_frame()
    pixels = np.stack([frame, np.full(SHAPE, 128), np.full(SHAPE, 128)], axis=-1).astype("u1")
    ds = capture(pixels[None], PhotometricInterpretation="YBR_FULL")
    result = clean(file_bytes(ds))
    assert result.PhotometricInterpretation == "RGB"
    gray = np.repeat(frame[..., None], 3, axis=2)
    assert_only_text_is_gone(gray, result.pixel_array, area, 0)


def test_palette_pixels_are_blanked_with_their_darkest_entry() -> None:
    frame, area = text_frame()
    table = np.linspace(65535, 0, 256).astype("<u2")  # the last entry is the darkest
    ds = capture((255 - frame).astype("u1")[None], PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", table.tobytes())
    result = clean(file_bytes(ds))
    darkest = int((255 - frame).max())
    assert_only_text_is_gone(255 - frame, result.pixel_array, area, darkest)


def test_text_of_some_frames_only_is_blanked_there() -> None:
    frame, area = text_frame()
    plain = np.full(SHAPE, 40, np.int16)
    pixels = np.stack([plain, frame, plain]).astype("u1")
    result = clean(file_bytes(capture(pixels))).pixel_array
    assert_only_text_is_gone(pixels[1], result[1], area, int(pixels.min()))
    assert result.shape == pixels.shape


def test_padding_is_what_blanks_where_the_image_has_one() -> None:
    frame, area = text_frame()
    ds = capture(frame.astype("<i2")[None], PixelPaddingValue=-50)
    assert (clean(file_bytes(ds)).pixel_array[area] == -50).all()


def test_pixels_without_text_stay_compressed_and_byte_for_byte() -> None:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ds = capture(((rows + columns) // 4).astype("u1")[None])
    ds.compress(RLELossless, encoding_plugin="pydicom")
    result = clean(file_bytes(ds))
    assert result.file_meta.TransferSyntaxUID == RLELossless
    assert result.PixelData == ds.PixelData
    assert result.BurnedInAnnotation == "NO"
    assert "113101" in codes(result)


def test_ultrasound_outside_its_regions_is_blanked() -> None:
    rng = np.random.default_rng(3)
    pixels = (rng.random((1, *SHAPE)) * 20 + 100).astype("u1")
    ds = capture(pixels)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = ULTRASOUND
    region = pydicom.Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 10, 20
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 300, 150
    ds.SequenceOfUltrasoundRegions = [region]
    result = clean(file_bytes(ds)).pixel_array
    inside = np.zeros(SHAPE, bool)
    inside[20:151, 10:301] = True
    assert (result[~inside] == pixels.min()).all()
    assert (result[inside] == pixels[0][inside]).all()


def test_an_overlay_in_unused_bits_goes_with_them() -> None:
    frame, _ = text_frame(bright=20)
    plain = np.full(SHAPE, 40, "<u2")
    _, area = text_frame()
    ds = capture((plain | (area.astype("<u2") << 12))[None], BitsStored=12, HighBit=11)
    ds.add_new(0x60000102, "US", 12)
    assert (clean(file_bytes(ds)).pixel_array == plain).all()
    assert frame.shape == SHAPE


def test_a_page_of_text_is_refused() -> None:
    frame, _ = text_frame()
    line = frame[36:68]
    ds = capture(np.vstack([line] * 5).astype("u1")[None])
    with pytest.raises(Refusal) as caught:
        clean(file_bytes(ds))
    assert caught.value.code == "unsafe-pixels"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"SOPClassUID": STORAGE + "77.1.4"}, "unsafe-pixels"),  # a photograph
        ({"BitsAllocated": 32, "BitsStored": 32}, "unsafe-pixels"),
        ({"SOPClassUID": STORAGE + "104.1"}, "not-deidentifiable"),
    ],
)
def test_what_cannot_be_judged_stays_refused(change: dict[str, object], code: str) -> None:
    frame, _ = text_frame()
    with pytest.raises(Refusal) as caught:
        clean(file_bytes(capture(frame.astype("<u2")[None], **change)))
    assert caught.value.code == code


def test_pixels_that_do_not_decode_are_a_defect() -> None:
    ds = capture(np.zeros((1, *SHAPE), "u1"))
    ds.compress(RLELossless, encoding_plugin="pydicom")
    ds.Rows = 9999
    with pytest.raises(Defect) as caught:
        clean(file_bytes(ds))
    assert caught.value.code == "undecodable-pixels"


def test_a_slice_is_looked_at_only_where_the_profile_asks_for_all() -> None:
    frame, area = text_frame()
    (ds,) = make_datasets(canary_stack(modality="CT"), frame[None])
    assert (clean(file_bytes(ds)).pixel_array == frame).all()
    result = clean(file_bytes(ds), ALL)
    assert_only_text_is_gone(frame, result.pixel_array, area, int(frame.min()))


OUTCOMES = {
    "cr_konica_chest_monochrome1_jpeg": "blanked",
    "mg_ge_senographe_jpegll": "as it was",
    "nema_wg04_RG3_J2KI": "blanked",
    "nema_wg04_US1_J2KI": "blanked",
    "nema_wg04_VL1_J2KI": "blanked",
    "nema_wg04_VL2_J2KI": "blanked",
    "nema_wg04_VL3_J2KI": "blanked",
    "nema_wg04_XA1_J2KI": "blanked",
    "nm_heart_13frames": "as it was",
    "op_heidelberg_schematic": "unsafe-pixels",
    "rf_siemens": "as it was",
    "sc_milvue_ai_result_rle": "residual-identifier",
    "us_mindray_rle_burned_in_test_name": "blanked",
    "xc_photo_jpeg_with_icon": "blanked",
    "nm_tag_burned_in_yes": "as it was",
    "pt_fusion_rgb_secondary_capture": "blanked",
}
SHOWN = {
    "nema_wg04_US1_J2KI": (15, 75, 14, 150),
    "nema_wg04_VL1_J2KI": (40, 100, 80, 165),
    "nema_wg04_VL3_J2KI": (375, 430, 60, 130),
    "us_mindray_rle_burned_in_test_name": (10, 65, 10, 620),
}
"""First and last row and column of a line that names the patient, the date or the hospital."""


def _real(test_data: Path, name: str) -> bytes:
    return next((test_data / "dicom").rglob(f"{name}.dcm")).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTCOMES)
def test_real_images_come_out_as_a_person_saw_them_come_out(test_data: Path, name: str) -> None:
    assert _outcome(_real(test_data, name)) == OUTCOMES[name]


def _outcome(content: bytes) -> str:
    try:
        result = clean(content)
    except ClicEdgeError as error:
        return error.code
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = pydicom.dcmread(io.BytesIO(content), force=True)
        same = np.array_equal(source.pixel_array, result.pixel_array)
    return "as it was" if same else "blanked"


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_what_named_the_patient_is_black(test_data: Path, name: str) -> None:
    top, bottom, left, right = SHOWN[name]
    pixels = clean(_real(test_data, name), ALL).pixel_array
    assert np.ptp(pixels[top:bottom, left:right].astype(int)) <= 12


def test_no_ink_of_a_name_on_a_slice_is_left(test_data: Path) -> None:
    content = _real(test_data, "ct_burned_in_pseudo_phi")
    source = pydicom.dcmread(io.BytesIO(content)).pixel_array
    ink = source == source.max()  # the text is the only thing of that value
    assert np.count_nonzero(ink) > 500
    assert (clean(content, ALL).pixel_array[ink] < 100).all()


@pytest.mark.slow
def test_most_text_of_a_sweep_is_found_and_little_else_marked() -> None:
    found = text = false = 0
    for swept in sweep(11, 24):
        marked = text_areas(swept.pixels)
        found += int((marked & swept.text).sum())
        text += int(swept.text.sum())
        near = ndimage.binary_dilation(swept.text, iterations=8)
        false += int((marked & ~near).sum())
    assert found / text > 0.97
    assert false / (24 * 512 * 512) < 0.02


def test_blanked_areas_are_not_taken_for_text_again() -> None:
    frame, _ = text_frame()
    marked = text_areas(frame)
    frame[marked] = 0
    assert not (text_areas(frame, marked) & ~marked).any()
