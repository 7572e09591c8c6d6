"""The demo study and the picture of its results."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from nibabel.nifti1 import Nifti1Image

from clic_edge.config import load_pipelines
from clic_edge.demo.study import make_demo_study
from clic_edge.domain.study import SeriesSummary
from clic_edge.pipeline.routing import evaluate

if TYPE_CHECKING:
    from pydicom import Dataset


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    make_demo_study(folder)
    return folder


def slices(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


def places(ds: Dataset) -> np.ndarray:
    """Return where every pixel lies, shape (rows, columns, 3), by PS3.3 C.7.6.2.1.1."""
    row, column = np.array(ds.ImageOrientationPatient).reshape(2, 3)
    down, right = np.indices((ds.Rows, ds.Columns))[..., np.newaxis]
    between_rows, between_columns = ds.PixelSpacing
    return (
        np.array(ds.ImagePositionPatient)
        + right * between_columns * row
        + down * between_rows * column
    )


@pytest.mark.parametrize("series", ["localizer", "hippocampus-left", "hippocampus-right"])
def test_every_pixel_lies_where_the_template_has_it(demo: Path, series: str) -> None:
    (folder,) = find_spec("nilearn").submodule_search_locations
    (path,) = Path(folder).glob("datasets/data/*152_t1*.nii.gz")
    template = Nifti1Image.from_filename(path)
    grey = np.asarray(template.dataobj).astype(int)
    for ds in slices(demo / series):
        ras = places(ds) * (-1, -1, 1)
        x, y, z = np.rint(np.moveaxis(ras - template.affine[:3, 3], -1, 0)).astype(int)
        assert np.array_equal(ds.pixel_array, grey[x, y, z] * 16)


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_each_crop_holds_the_hippocampus_of_its_side(demo: Path, side: str, sign: int) -> None:
    corners = np.concatenate(
        [places(ds).reshape(-1, 3) for ds in slices(demo / f"hippocampus-{side}")]
    )
    hippocampus = np.array([sign * 26, 22, -14])  # +x is the patient's left
    assert (corners.min(axis=0) < hippocampus - 5).all()
    assert (corners.max(axis=0) > hippocampus + 5).all()
    assert (np.sign(corners[:, 0]) == sign).all()


def test_every_file_is_valid_dicom(demo: Path) -> None:
    for path in (*demo.glob("localizer/*.dcm"), *demo.glob("*/020.dcm")):
        said = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert said.stderr.strip() in {"MRImage", ""}


def test_the_files_are_one_study_with_three_series(demo: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in demo.glob("*/*.dcm")]
    assert len({ds.SOPInstanceUID for ds in headers}) == len(headers) == 91
    assert len({ds.SeriesInstanceUID for ds in headers}) == 3
    assert len({ds.StudyInstanceUID for ds in headers}) == 1
    assert {str(ds.PatientName) for ds in headers} == {"Jørgensen^Åse"}


def test_the_same_bytes_are_written_every_time(demo: Path, tmp_path: Path) -> None:
    for path in make_demo_study(tmp_path):
        assert path.read_bytes() == (demo / path.relative_to(tmp_path)).read_bytes()


def test_the_shipped_pipeline_takes_the_crops_and_not_the_localizer(demo: Path, root: Path) -> None:
    shipped = {one.name: one for one in load_pipelines(root / "configs" / "pipelines")}
    hippocampus = shipped["hippocampus"]
    taken = {
        folder.name: evaluate(hippocampus.rule, summary(slices(folder)))
        for folder in sorted(demo.iterdir())
    }
    assert {name: verdict.taken for name, verdict in taken.items()} == {
        "hippocampus-left": True,
        "hippocampus-right": True,
        "localizer": False,
    }
    assert "image type has LOCALIZER" in taken["localizer"].sentence


def summary(datasets: list[Dataset]) -> SeriesSummary:
    ds = datasets[0]
    return SeriesSummary(
        series_id="s",
        instance_ids=tuple(str(d.InstanceNumber) for d in datasets),
        series_number=ds.SeriesNumber,
        modality=ds.Modality,
        body_part=ds.BodyPartExamined,
        description=ds.SeriesDescription,
        image_type=tuple(ds.ImageType),
        manufacturer=ds.Manufacturer,
        slice_thickness_mm=float(ds.SliceThickness),
        called_ae_title="",
        calling_ae_title="",
    )
