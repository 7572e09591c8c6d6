"""PET from the modality to the SR: SUV by the original header, though the model never sees it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from factories import Stack, make_datasets
from model_packages import LEVELS, TOML, known_labels, write_package
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage
from sites import ROOT, command_line

if TYPE_CHECKING:
    from pathlib import Path

SLOPE = 40.0
"""Bq/ml of a stored value."""
SUV_BW = 70_000 / (370e6 * 0.5 ** (3600 / 6586.2))
"""g/ml of a Bq/ml: 70 kg, 370 MBq of F-18, an hour before the scan."""
PACKAGE = TOML.replace('modality = "MR"', 'modality = "PT"\nquantity = "suv-bw"').replace(
    "[input]",
    'measurements = ["suv-max", "suv-mean", "suv-peak", "total-lesion-glycolysis"]\n\n[input]',
    1,
)
PIPELINE = """\
name = "pet"
title = "PET"
model = "brightness"
deid_profile = "basic"
destinations = ["pacs"]
rule = { modality = ["PT"] }
"""


def pet_study(folder: Path, weight: float | None) -> Path:
    """Write a PET series in which the network's labels are known."""
    folder.mkdir()
    stack = Stack(modality="PT", slope=SLOPE, description="PET AC")
    voxels = np.array(LEVELS, np.int16)[known_labels()]
    drug = Dataset()
    drug.RadiopharmaceuticalStartTime = "020405"
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 370e6, 6586.2
    for number, ds in enumerate(make_datasets(stack, voxels)):
        ds.SOPClassUID = PositronEmissionTomographyImageStorage
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        for name in ("KVP", "ConvolutionKernel"):
            delattr(ds, name)
        ds.Units, ds.DecayCorrection, ds.CorrectedImage = "BQML", "START", ["DECY", "ATTN"]
        ds.RescaleType = "BQML"
        ds.RadiopharmaceuticalInformationSequence = [drug]
        if weight:
            ds.PatientWeight = weight
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return a site with a model of PET in SUV."""
    write_package(tmp_path / "models" / "brightness", toml=PACKAGE)
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "pet.toml").write_text(PIPELINE)
    path = tmp_path / "clic-edge.toml"
    path.write_text(
        '[appliance]\nstate_dir = "state"\npipelines = "pipelines"\nmodels = "models"\n'
        f'unsigned_models = true\ndeid_profiles = "{ROOT}/configs/deid"\n'
        '[destinations.pacs]\nkind = "folder"\npath = "pacs"\n'
    )
    return path


def ran(settings: Path, study: Path) -> Path:
    out = settings.parent / "out"
    done = command_line(
        "-c", str(settings), "run", str(study), "--pipeline", "pet", "--out", str(out)
    )
    assert done.returncode in {0, 3}, done.stderr
    return out


def measured(sr: Dataset) -> list[tuple[str, float, str, str]]:
    """Return name, value, unit and derivation of each number, as they stand in the SR."""
    found = []
    for item in sr.get("ContentSequence", []):
        if item.ValueType == "NUM":
            (value,) = item.MeasuredValueSequence
            derived = [
                one.ConceptCodeSequence[0].CodeMeaning
                for one in item.get("ContentSequence", [])
                if one.ConceptNameCodeSequence[0].CodeValue == "121401"
            ]
            found.append(
                (
                    item.ConceptNameCodeSequence[0].CodeMeaning,
                    float(value.NumericValue),
                    value.MeasurementUnitsCodeSequence[0].CodeValue,
                    "".join(derived),
                )
            )
        found += measured(item)
    return found


@pytest.mark.slow
def test_a_pet_series_gets_its_uptake_in_the_report(settings: Path, tmp_path: Path) -> None:
    out = ran(settings, pet_study(tmp_path / "study", weight=70))
    (path,) = (path for path in out.iterdir() if path.name.startswith("SR"))
    numbers = measured(pydicom.dcmread(io.BytesIO(path.read_bytes())))
    suv_max = sorted({value for name, value, unit, how in numbers if how == "Maximum"})
    assert suv_max == pytest.approx([level * SLOPE * SUV_BW for level in LEVELS[1:]], rel=1e-5)
    glycolysis = sorted({value for name, value, _, _ in numbers if "Glycolysis" in name})
    count = np.bincount(known_labels().ravel())[1:]
    expected = [
        n * level * SLOPE * SUV_BW / 1000 for n, level in zip(count, LEVELS[1:], strict=True)
    ]
    assert glycolysis == pytest.approx(sorted(expected), rel=1e-5)
    units = {unit for name, _, unit, _ in numbers if name == "SUVbw"}
    assert units == {"g/ml{SUVbw}"}
    (case,) = json.loads((out / "report.json").read_text())
    (row,) = case["predictions"]
    assert "input.suv_bw_factor" not in row


@pytest.mark.slow
def test_a_pet_series_without_a_weight_is_refused_by_name(settings: Path, tmp_path: Path) -> None:
    out = ran(settings, pet_study(tmp_path / "study", weight=None))
    (case,) = json.loads((out / "report.json").read_text())
    assert (case["case"]["state"], case["case"]["code"]) == ("refused", "suv-unknown")
