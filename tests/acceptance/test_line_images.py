"""Photographs from the camera to the PACS: each image answered or refused by itself."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from factories import Shots, make_shot, skin
from model_packages import write_image_package
from sites import (
    NEVER,
    ROOT,
    SiteOptions,
    command_line,
    patient,
    results_in,
    roots_in,
    running_site,
    texts_of,
)

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

PIPELINE = """\
name = "skin"
title = "Redness of the skin"
model = "redness"
deid_profile = "photographs"
writers = ["seg", "sr"]
destinations = ["pacs"]
rule = { modality = ["XC"] }
[completeness]
quiet_seconds = 0
"""


def study(number: int = 1) -> list[Dataset]:
    """Return two photographs and, between them, one that is too small."""
    shots = Shots(patient=patient(number), laterality="L")
    pixels = (skin(red=1.0), skin(rows=6, columns=6), skin(red=0.2))
    return [make_shot(shots, one, index) for index, one in enumerate(pixels)]


@pytest.mark.servers
def test_photographs_sent_to_orthanc_get_their_results_in_the_pacs(tmp_path: Path) -> None:
    write_image_package(tmp_path / "models" / "redness")
    options = SiteOptions(
        pipelines={"skin": PIPELINE},
        models=tmp_path / "models",
        unsigned=True,
        reconcile_seconds=NEVER,
    )
    with running_site(tmp_path / "site", options) as site, site.worker():
        study_id = site.send(study())
        site.await_case(study_id, CaseState.DELIVERED)
        found = [
            pydicom.dcmread(io.BytesIO(one)) for one in results_in(site.pacs, study_id).values()
        ]
        (root,) = roots_in(site.pacs, study_id)
    assert sorted((one.Modality, one.InstanceNumber) for one in found) == [
        ("SEG", 1),
        ("SEG", 3),
        ("SR", 1),
        ("SR", 3),
    ]
    assert len({one.SeriesInstanceUID for one in found}) == 2
    sentences = texts_of(root)
    assert any(
        one.startswith("Series 1, image 1 (left), Malignant: ") and "(chosen)" in one
        for one in sentences
    )
    assert any(
        one.startswith("Series 1, image 3 (left), Benign: ") and "(chosen)" in one
        for one in sentences
    )
    (why,) = (one for one in sentences if one.startswith("Series 1, image 2 (left): "))
    assert "6 x 6 pixels" in why


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return a site whose destination is a folder."""
    write_image_package(tmp_path / "models" / "redness")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "skin.toml").write_text(PIPELINE)
    path = tmp_path / "clic-edge.toml"
    path.write_text(
        '[appliance]\nstate_dir = "state"\npipelines = "pipelines"\nmodels = "models"\n'
        f'unsigned_models = true\ndeid_profiles = "{ROOT}/configs/deid"\n'
        '[destinations.pacs]\nkind = "folder"\npath = "pacs"\n'
    )
    return path


def ran(settings: Path, datasets: list[Dataset]) -> dict[str, dict[str, object]]:
    folder, out = settings.parent / "study", settings.parent / "out"
    folder.mkdir()
    for number, ds in enumerate(datasets):
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    arguments = ("run", str(folder), "--pipeline", "skin", "--out", str(out))
    done = command_line("-c", str(settings), *arguments)
    assert done.returncode in {0, 3, 5}, done.stderr
    (case,) = json.loads((out / "report.json").read_text())
    return case  # type: ignore[no-any-return] # what json holds


@pytest.mark.slow
def test_photographs_of_which_none_is_taken_are_refused_and_the_reader_told(settings: Path) -> None:
    grey = [replace_pixels(ds) for ds in study()[::2]]
    case = ran(settings, grey)
    assert (case["case"]["state"], case["case"]["code"]) == ("refused", "colour-unsupported")
    (root,) = (settings.parent / "out").glob("S*.dcm")
    sentences = texts_of(pydicom.dcmread(root))
    assert len([one for one in sentences if "not analysed" in one and "image" in one]) == 2


def replace_pixels(ds: Dataset) -> Dataset:
    """Return the same photograph without its colours."""
    grey = np.repeat(ds.pixel_array.mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)
    ds.PixelData = grey.tobytes()
    return ds
