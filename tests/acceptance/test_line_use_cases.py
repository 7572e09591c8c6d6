"""The shipped classifiers, on their shipped pipelines: from the camera to the PACS."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from sites import NEVER, ROOT, SiteOptions, patient, results_in, running_site

from clic_edge.dicom.orders import Order
from clic_edge.dicom.photograph_objects import (
    REGIONS,
    PhotographKind,
    Sitting,
    View,
    photograph_object,
)
from clic_edge.dicom.photographs import read_photograph
from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset
    from sites import Site

pytestmark = [pytest.mark.servers, pytest.mark.slow]
NOW = datetime(2026, 11, 21, 9, 30)  # noqa: DTZ001 - cameras know no time zone


@dataclass(frozen=True, kw_only=True)
class UseCase:
    """A photograph of a clinic, and the pipeline that takes it."""

    pipeline: str
    kind: PhotographKind
    region: str
    description: str
    photo: str
    """In the test data; of an archive, the first test image."""


USE_CASES = (
    UseCase(
        pipeline="retina-grade",
        kind=PhotographKind.OP,
        region="eye",
        description="diabetes",
        photo="2d/medmnist/retinamnist.npz",
    ),
    UseCase(
        pipeline="melanoma",
        kind=PhotographKind.DERMOSCOPY,
        region="skin",
        description="melanoma?",
        photo="2d/dermoscopy-isic2017/images",
    ),
    UseCase(
        pipeline="breast-ultrasound",
        kind=PhotographKind.US,
        region="breast",
        description="breast lesion",
        photo="2d/medmnist/breastmnist.npz",
    ),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Site]:
    del test_data  # skips before servers start
    pipelines = {
        one.pipeline: (ROOT / "configs" / "pipelines" / f"{one.pipeline}.toml")
        .read_text()
        .replace("quiet_seconds = 60", "quiet_seconds = 0")
        for one in USE_CASES
    }
    options = SiteOptions(pipelines=pipelines, reconcile_seconds=NEVER)
    with running_site(tmp_path_factory.mktemp("clinic"), options) as site, site.worker():
        yield site


def _photograph(data: Path, folder: Path, photo: str) -> Path:
    """Return the file of a photograph, as a camera or a data set has it."""
    path = data / photo
    if path.suffix == ".npz":
        image = folder / "image.png"
        Image.fromarray(np.load(path)["test_images"][0]).save(image)
        return image
    return path if path.is_file() else min(path.glob("*.jpg"))


def _study(number: int, use_case: UseCase, photo: Path) -> Dataset:
    whose = patient(number)
    order = Order(
        patient_id=whose.patient_id, patient_name=whose.name, accession_number=f"A{number}"
    )
    view = View(
        kind=use_case.kind,
        region=REGIONS[use_case.region],
        laterality="R",
        description=use_case.description,
        is_clean=True,
    )
    photograph = read_photograph(photo)
    sitting = Sitting.of([photograph], began_at=NOW)
    file = photograph_object(photograph, order, view, number=1, taken_at=NOW, sitting=sitting)
    return dcmread(io.BytesIO(file))


@pytest.mark.parametrize("use_case", USE_CASES, ids=lambda one: one.pipeline)
def test_a_photograph_comes_back_from_the_shipped_model_to_the_same_study(
    site: Site, test_data: Path, tmp_path: Path, use_case: UseCase
) -> None:
    photo = _photograph(test_data, tmp_path, use_case.photo)
    number = 300 + USE_CASES.index(use_case)
    study_id = site.send([_study(number, use_case, photo)])
    site.await_case(study_id, CaseState.DELIVERED, CaseState.REFUSED, CaseState.QUARANTINED)
    case = site.await_case(study_id, CaseState.DELIVERED)
    assert case.pipeline == use_case.pipeline
    found = [dcmread(io.BytesIO(file)) for file in results_in(site.pacs, study_id).values()]
    assert [one.Modality for one in found] == ["SR"]
