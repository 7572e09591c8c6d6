"""One instance becomes one image, however its pixels are stored; what is none is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import Shots, file_bytes, make_series, make_shot, skin
from pydicom.dataset import Dataset
from pydicom.pixels import convert_color_space
from pydicom.uid import JPEG2000Lossless, RLELossless

from clic_edge.deid import DeidKey, Profile, deidentify
from clic_edge.dicom.images import build_image, read_shot
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.errors import ClicEdgeError, ConfigError, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(3)


def noise(*shape: int) -> NDArray[np.uint8]:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def code_of(content: bytes) -> str:
    with pytest.raises(ClicEdgeError) as error:
        read_shot(content, "the instance")
    return error.value.code


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("shape", [(71, 93), (71, 93, 3)])
def test_pixels_are_what_they_were_stored_from(shape: tuple[int, ...], syntax: str | None) -> None:
    pixels = noise(*shape)
    ds = make_shot(Shots(), pixels)
    if syntax:
        # GDCM's encoder ends the process over small images.
        ds.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    shot = read_shot(file_bytes(ds), "the instance")
    np.testing.assert_array_equal(shot.pixels, pixels)
    assert not shot.pixels.flags.writeable
    assert (shot.shown, shot.pixel_spacing_mm) == ((0.0, 255.0), None)


@pytest.mark.parametrize("planar", [0, 1])
def test_luminance_and_chrominance_become_colours(planar: int) -> None:
    pixels = noise(20, 30, 3)
    ds = make_shot(Shots(), convert_color_space(pixels, "RGB", "YBR_FULL"))
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "YBR_FULL", planar
    if planar:
        stored = np.frombuffer(ds.PixelData, np.uint8).reshape(20, 30, 3)
        ds.PixelData = stored.transpose(2, 0, 1).tobytes()
    found = read_shot(file_bytes(ds), "the instance").pixels
    assert np.abs(found.astype(int) - pixels).max() <= 2


def test_a_palette_becomes_colours() -> None:
    index = noise(8, 8) % 4
    ds = make_shot(Shots(modality="US"), index)
    ds.PhotometricInterpretation = "PALETTE COLOR"
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 0], [9, 9, 255]], np.uint16)
    for channel, name in enumerate(("Red", "Green", "Blue")):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", (table[:, channel] * 257).tobytes())
    np.testing.assert_array_equal(read_shot(file_bytes(ds), "x").pixels, table[index])


def radiograph(**attributes: object) -> bytes:
    ds = make_shot(Shots(modality="CR", sop_class_uid="1.2.840.10008.5.1.4.1.1.1"), noise(8, 8))
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = np.arange(64, dtype="<u2").tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return file_bytes(ds)


def voi_lut() -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor = [32, 5, 8]
    item.LUTData = bytes(range(32))
    return [item]


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ({}, (0, 63)),
        ({"WindowCenter": 20, "WindowWidth": 11}, (14.5, 24.5)),
        ({"WindowCenter": 20, "WindowWidth": 10, "VOILUTFunction": "LINEAR_EXACT"}, (15, 25)),
        ({"PhotometricInterpretation": "MONOCHROME1"}, (63, 0)),
        ({"RescaleSlope": 2, "RescaleIntercept": -10}, (-10, 116)),
        ({"VOILUTSequence": voi_lut()}, (5, 36)),
        ({"WindowCenter": 20, "WindowWidth": 0}, (0, 63)),
    ],
)
def test_what_a_screen_shows_black_and_white_is_told(
    attributes: dict[str, object], shown: tuple[float, float]
) -> None:
    shot = read_shot(radiograph(**attributes), "the instance")
    assert shot.shown == pytest.approx(shown)
    assert shot.pixels.shape == (8, 8)


def test_a_radiograph_tells_the_size_of_its_pixels_only_where_it_was_calibrated() -> None:
    spaced = {"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.3, 0.3]}
    assert read_shot(radiograph(**spaced), "x").pixel_spacing_mm is None
    sure = read_shot(radiograph(**spaced, PixelSpacingCalibrationType="FIDUCIAL"), "x")
    assert sure.pixel_spacing_mm == (0.2, 0.1)


def region(delta: float, units: int = 3) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 1, 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta, 2 * delta
    return item


@pytest.mark.parametrize(
    ("regions", "spacing"),
    [
        ([region(0.01)], (0.2, 0.1)),
        ([region(0.01), region(-0.01)], (0.2, 0.1)),
        ([region(0.01), region(0.02)], None),
        ([region(0.01, units=4)], None),
    ],
)
def test_ultrasound_tells_the_size_of_its_pixels_by_regions_that_agree(
    regions: list[Dataset], spacing: tuple[float, float] | None
) -> None:
    ds = make_shot(Shots(modality="US"), noise(8, 8))
    ds.SequenceOfUltrasoundRegions = regions
    assert read_shot(file_bytes(ds), "x").pixel_spacing_mm == (spacing and pytest.approx(spacing))


def test_what_is_no_single_image_is_refused_by_name() -> None:
    ds = make_shot(Shots(), noise(4, 6))
    content = file_bytes(ds)
    ds.NumberOfFrames, ds.PixelData = 2, ds.PixelData * 2
    assert code_of(file_bytes(ds)) == "several-frames"
    del ds.Rows
    assert code_of(file_bytes(ds)) == "not-an-image"
    assert code_of(content[:-1]) in {"truncated-instance", "undecodable-pixels"}
    bits = make_shot(Shots(), noise(4, 6))
    bits.BitsAllocated = bits.BitsStored = 1
    assert code_of(file_bytes(bits)) == "unsupported-object"


def test_a_clean_image_knows_its_place_in_the_series_and_its_side() -> None:
    contents = [
        file_bytes(make_shot(Shots(laterality="R"), skin(red=share), index))
        for index, share in enumerate((0.2, 0.7))
    ]
    clean = CleanSeries(
        subject_id="s",
        series_uid="2.25.9",
        instances=tuple(CleanInstance(content=content) for content in contents),
    )
    image = build_image(clean, 1)
    assert (image.source.instance_index, image.acquisition.laterality) == (1, "R")
    np.testing.assert_array_equal(image.pixels, skin(red=0.7))


def test_a_profile_that_keeps_pixels_lets_photographs_through_and_nothing_out(
    tmp_path: Path,
) -> None:
    series = make_series()
    content = file_bytes(make_shot(Shots(), skin()))
    photographs = type(series)(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.4",
        patient_id="1",
        issuer_of_patient_id="",
        instances=(type(series.instances[0])(content=content),),
    )
    pseudonym = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")
    keeping = Profile(name="x", pixels="keep")
    with pytest.raises(Refusal):
        deidentify(photographs, Profile(name="x", pixels="redact"), pseudonym)
    clean = deidentify(photographs, keeping, pseudonym)
    np.testing.assert_array_equal(build_image(clean, 0).pixels, skin())
    assert b"Testesen" not in clean.instances[0].content
    with pytest.raises(ConfigError) as error:
        keeping.require_for_release()
    assert error.value.code == "profile-keeps-pixels"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "shape", "spacing"),
    [
        ("nema_wg04_VL4_J2KI.dcm", (1868, 2226, 3), None),
        ("op_heidelberg_schematic.dcm", (1536, 1536), (0.005768, 0.005768)),
        ("us_mindray_rle_burned_in_test_name.dcm", (910, 1260, 3), (0.145117, 0.145117)),
        ("xc_photo_jpeg_with_icon.dcm", (600, 600, 3), None),
        ("cr_konica_chest_monochrome1_jpeg.dcm", (2446, 2010), None),
        ("sc_milvue_ai_result_rle.dcm", (1475, 1475, 3), None),
    ],
)
def test_real_images_are_read(
    test_data: Path, name: str, shape: tuple[int, ...], spacing: tuple[float, float] | None
) -> None:
    shot = read_shot((test_data / "dicom" / "modalities" / name).read_bytes(), "the instance")
    assert shot.pixels.shape == shape
    assert shot.pixel_spacing_mm == (spacing and pytest.approx(spacing, rel=1e-5))


def test_the_photograph_has_the_colours_that_a_screen_shows(test_data: Path) -> None:
    path = test_data / "dicom" / "modalities" / "xc_photo_jpeg_with_icon.dcm"
    corner = read_shot(path.read_bytes(), "the instance").pixels[5, 5].astype(int)
    assert corner.min() > 200  # a white wall, not the pink or green of colours mistaken
    assert np.ptp(corner) < 20
