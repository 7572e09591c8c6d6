from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import known_labels, volume_of, write_package
from pydicom.dataset import Dataset

from clic_edge.dicom.acquisition import acquisition_of
from clic_edge.dicom.attributes import Attributes
from clic_edge.domain.volume import Acquisition
from clic_edge.errors import Refusal
from clic_edge.inference.card import Population, Protocol
from clic_edge.inference.gate import admit, admit_acquisition
from clic_edge.inference.package import load_package
from clic_edge.inference.transforms import network_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.volume import Volume
    from clic_edge.inference.declaration import Declaration

AXIAL = np.eye(4)[[2, 1, 0, 3]]


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Declaration:
    return load_package(write_package(tmp_path_factory.mktemp("package"))).declaration


def ask(volume: Volume, declared: Declaration) -> None:
    wanted = declared.input
    grid = network_grid(
        volume.geometry, orientation=wanted.orientation, spacing_mm=wanted.spacing_mm
    )
    admit(volume, grid, declared)


def refusal(volume: Volume, declared: Declaration) -> Refusal:
    with pytest.raises(Refusal) as error:
        ask(volume, declared)
    return error.value


def with_steps(slices: float, rows: float, columns: float) -> NDArray[np.float64]:
    return AXIAL @ np.diag([slices, rows, columns, 1.0])


def test_a_volume_like_those_it_was_made_for_is_admitted(declared: Declaration) -> None:
    ask(volume_of(known_labels()), declared)


def test_another_modality_is_refused(declared: Declaration) -> None:
    error = refusal(volume_of(known_labels(), modality="CT"), declared)
    assert error.code == "modality-unsupported"
    assert error.sentence == "The series is not MR, which this model needs."


def test_thick_slices_are_refused_in_millimetres(declared: Declaration) -> None:
    error = refusal(volume_of(known_labels(), affine=with_steps(5.0, 1, 1)), declared)
    assert error.code == "spacing-unsupported"
    assert error.sentence == "The slices lie 5 mm apart, this model needs at most 2.0 mm."


def test_pixels_that_are_too_fine_are_refused(declared: Declaration) -> None:
    error = refusal(volume_of(known_labels(), affine=with_steps(1, 1, 0.25)), declared)
    assert error.sentence == "The columns lie 0.25 mm apart, this model needs at least 0.5 mm."


def test_a_steep_tilt_is_refused(declared: Declaration) -> None:
    angle = np.radians(30)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    error = refusal(volume_of(known_labels(), affine=turn @ AXIAL), declared)
    assert error.code == "tilt-unsupported"
    assert "30 degrees" in error.sentence


@pytest.mark.parametrize("shape", [(41, 12, 14), (10, 3, 14)])
def test_a_volume_that_is_too_large_or_too_small_is_refused(
    declared: Declaration, shape: tuple[int, int, int]
) -> None:
    labels = np.resize(known_labels(), shape)
    error = refusal(volume_of(labels), declared)
    assert error.code == "extent-unsupported"
    slices, rows, columns = shape
    assert f"{columns} x {rows} x {slices} mm (RAS)" in error.sentence


def test_a_volume_without_contrast_is_refused(declared: Declaration) -> None:
    assert refusal(volume_of(np.zeros((8, 8, 8), np.uint8)), declared).code == "voxels-constant"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(declared: Declaration, value: float) -> None:
    volume = volume_of(known_labels())
    voxels = volume.voxels.astype(np.float32)
    voxels[3, 3, 3] = value
    assert refusal(replace(volume, voxels=voxels), declared).code == "voxels-not-finite"


GOOD = Acquisition(
    modality="MR",
    manufacturer="SIEMENS Healthineers",
    body_part="BRAIN",
    contrast="without",
    slice_thickness_mm=1.0,
    age_years=40,
    sex="F",
)
WANTED = {
    "population": Population(age_years=(18, 90), sexes=("F", "M")),
    "protocol": Protocol(
        body_parts=("HEAD", "BRAIN"),
        contrast="without",
        manufacturers=("Siemens", "Philips"),
        slice_thickness_mm=(0.5, 2.0),
    ),
}


def test_images_of_whom_and_how_the_package_says_are_admitted(declared: Declaration) -> None:
    asks = declared.model_copy(update=WANTED)
    admit_acquisition(GOOD, asks)
    admit_acquisition(replace(GOOD, body_part=""), asks)
    assert asks.needs == {
        *("modality", "age_years", "sex", "body_part"),
        *("contrast", "manufacturer", "slice_thickness_mm"),
    }
    assert declared.needs == {"modality"}
    admit_acquisition(Acquisition(modality="MR"), declared)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"age_years": 17.9}, "age-unsupported", "from 18 to 90 years old"),
        ({"age_years": None}, "age-unsupported", "not known"),
        ({"sex": "O"}, "sex-unsupported", "F or M"),
        ({"sex": ""}, "sex-unsupported", "not known"),
        ({"body_part": "Knee"}, "body-part-unsupported", "HEAD or BRAIN"),
        ({"contrast": "with"}, "contrast-unsupported", "without contrast"),
        ({"contrast": ""}, "contrast-unsupported", "not known"),
        ({"manufacturer": "GE MEDICAL SYSTEMS"}, "manufacturer-unsupported", "Siemens or Philips"),
        ({"manufacturer": ""}, "manufacturer-unsupported", "Siemens or Philips"),
        ({"slice_thickness_mm": 5.0}, "thickness-unsupported", "from 0.5 to 2 mm"),
        ({"slice_thickness_mm": None}, "thickness-unsupported", "not known"),
    ],
)
def test_other_images_are_refused_by_name(
    declared: Declaration, changes: dict[str, object], code: str, said: str
) -> None:
    asks = declared.model_copy(update=WANTED)
    with pytest.raises(Refusal) as error:
        admit_acquisition(replace(GOOD, **changes), asks)  # type: ignore[arg-type] # by the table
    assert error.value.code == code
    assert said in error.value.sentence


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({}, ("without", None, "")),
        ({"ContrastBolusAgent": ""}, ("", None, "")),
        ({"ContrastBolusAgent": "Visipaque"}, ("with", None, "")),
        ({"PatientAge": "043Y", "PatientSex": "M"}, ("without", 43.0, "M")),
        ({"PatientAge": "018M"}, ("without", 1.5, "")),
        ({"PatientAge": "young"}, ("without", None, "")),
    ],
)
def test_an_image_tells_contrast_age_and_sex(
    keywords: dict[str, str], expected: tuple[str, float | None, str]
) -> None:
    ds = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in keywords.items():
            setattr(ds, name, value)
    told = acquisition_of(Attributes(dataset=ds, where="the instance"))
    assert (told.contrast, told.age_years, told.sex) == expected
