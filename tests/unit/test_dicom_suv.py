"""SUV factors, against the rule written out by hand and against real headers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.suv import suv_bw_factor

if TYPE_CHECKING:
    from pathlib import Path


def pet(**changes: object) -> Dataset:
    """Return a header of 70 kg, 370 MBq at 10:00, scanned at 11:00; F-18."""
    drug = Dataset()
    drug.RadiopharmaceuticalStartTime = "100000"
    drug.RadionuclideTotalDose = 370e6
    drug.RadionuclideHalfLife = 6586.2
    ds = Dataset()
    ds.Units, ds.DecayCorrection, ds.CorrectedImage = "BQML", "START", ["DECY", "ATTN"]
    ds.PatientWeight = 70
    ds.SeriesDate = ds.AcquisitionDate = "20261103"
    ds.SeriesTime, ds.AcquisitionTime = "110000", "110130.5"
    for name, value in changes.items():
        holder = drug if name.startswith("Radio") else ds
        if value is None:
            delattr(holder, name)
        else:
            setattr(holder, name, value)
    ds.RadiopharmaceuticalInformationSequence = [drug]
    return ds


def factor(ds: Dataset) -> float | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return suv_bw_factor(Attributes(dataset=ds, where="the instance"))


AN_HOUR_AFTER = 70_000 / (370e6 * 0.5 ** (3600 / 6586.2))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, AN_HOUR_AFTER),
        ({"DecayCorrection": "ADMIN"}, 70_000 / 370e6),
        ({"RadiopharmaceuticalStartDateTime": "20261103100000.00"}, AN_HOUR_AFTER),
        ({"RadiopharmaceuticalStartDateTime": "20261103100000+0100"}, AN_HOUR_AFTER),
        (
            {"RadiopharmaceuticalStartTime": "233000", "SeriesTime": "003000"},
            AN_HOUR_AFTER,
        ),
        ({"Units": "GML"}, 1.0),
        ({"Units": "GML", "SUVType": "BW"}, 1.0),
    ],
)
def test_a_factor_is_that_of_the_rule(changes: dict[str, object], expected: float) -> None:
    assert factor(pet(**changes)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"Units": "PROPCPS"},
        {"Units": None},
        {"Units": "GML", "SUVType": "LBM"},
        {"Units": "CNTS"},
        {"CorrectedImage": ["ATTN"]},
        {"DecayCorrection": "NONE"},
        {"DecayCorrection": None},
        {"PatientWeight": None},
        {"PatientWeight": 0},
        {"RadionuclideTotalDose": None},
        {"RadionuclideHalfLife": None},
        {"RadiopharmaceuticalStartTime": None},
        {"RadiopharmaceuticalStartTime": "10 o'clock"},
        {"RadiopharmaceuticalStartDateTime": "20261101100000"},
        {"RadiopharmaceuticalStartDateTime": "20261103120000"},
        {
            "RadiopharmaceuticalStartDateTime": "20261103100000+0000",
            "TimezoneOffsetFromUTC": "+0100",
        },
        {"SeriesTime": "150000"},
        {"SeriesDate": None},
        {"SeriesDate": "20261399"},
        {"AcquisitionTime": None},
    ],
)
def test_what_allows_of_no_answer_or_of_two_has_none(changes: dict[str, object]) -> None:
    assert factor(pet(**changes)) is None


def test_philips_says_the_factor_of_its_counts_in_private() -> None:
    ds = pet(Units="CNTS")
    block = ds.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.000551")
    assert factor(ds) == pytest.approx(0.000551)
    block[0x00].value = "0"
    assert factor(ds) is None


@given(st.floats(3, 200), st.floats(1e6, 1e9), st.integers(0, 6 * 3600), st.floats(4000, 7000))
@settings(deadline=None, max_examples=100)
def test_twice_the_dose_is_half_the_uptake(
    weight: float, dose: float, waited: int, half_life: float
) -> None:
    hours, rest = divmod(8 * 3600 + waited, 3600)
    start = f"{hours:02}{rest // 60:02}{rest % 60:02}"
    told = {
        "PatientWeight": round(weight, 3),
        "RadionuclideHalfLife": round(half_life, 3),
        "RadiopharmaceuticalStartTime": "080000",
        "SeriesTime": start,
        "AcquisitionTime": start,
    }
    once = factor(pet(**told, RadionuclideTotalDose=round(dose)))
    twice = factor(pet(**told, RadionuclideTotalDose=2 * round(dose)))
    assert once is not None
    assert twice == pytest.approx(once / 2)
    left = round(dose) * 0.5 ** (waited / round(half_life, 3))
    assert once == pytest.approx(round(weight, 3) * 1000 / left)


def test_a_real_whole_body_scan_has_one_factor(test_data: Path) -> None:
    files = sorted((test_data / "dicom" / "pt-wholebody-ge" / "image").iterdir())[::20]
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    factors = {factor(ds) for ds in headers}
    waited = (11 * 3600 + 20 * 60 + 11) - (10 * 3600 + 35 * 60)
    left = 3.88777472e8 * 0.5 ** (waited / 6588)
    (found,) = factors
    assert found == pytest.approx(71_000 / left)
