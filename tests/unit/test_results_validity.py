from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import analysis_of, series_in
from factories import Stack, make_series, series_of

from clic_edge.errors import Defect
from clic_edge.results.check import check
from clic_edge.results.seg import SegWriter
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


def written(analysis: Analysis) -> tuple[ResultObject, ...]:
    earlier = SegWriter().write(analysis, ())
    return (*earlier, *SrWriter().write(analysis, earlier))


def stored(results: tuple[ResultObject, ...], folder: Path) -> list[Path]:
    paths = []
    for result in results:
        path = folder / f"{result.kind}.dcm"
        path.write_bytes(result.content)
        paths.append(path)
    return paths


def said(program: str, *arguments: object) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"{program} isn't installed")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, check=False, timeout=60
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def errors_in(path: Path, analysis: Analysis) -> list[str]:
    """Return what dciodvfy finds wrong, but for the originals' own identifiers."""
    originals = b"".join(one.content for one in analysis.series.instances)
    errors = [line for line in said("dciodvfy", path).splitlines() if "Error" in line]
    return [
        line
        for line in errors
        if "Illegal root for UID" not in line or line.split('"')[1].encode() not in originals
    ]


def assert_valid(analysis: Analysis, folder: Path) -> None:
    results = written(analysis)
    check(results, analysis)
    for path in stored(results, folder):
        assert errors_in(path, analysis) == []
        assert "Patient" in said("dcmdump", path)
    sr = folder / "SR.dcm"
    assert "Imaging Measurement Report" in said("dsrdump", sr)
    assert "W:" not in said("dsrdump", "-Ec", sr).replace("W: The VR checker", "")


@pytest.mark.parametrize(
    "stack",
    [
        Stack(),
        Stack(modality="CT", slope=1.0, intercept=-1024.0),
        Stack(orientation=OBLIQUE, slice_step=2.5, pixel_spacing=(0.5, 0.75)),
        Stack(slice_step=-3.0),
    ],
    ids=["mr", "ct", "oblique", "reversed"],
)
@pytest.mark.parametrize("descending", [False, True])
def test_results_of_made_series_are_valid(stack: Stack, descending: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter of the test
    assert_valid(analysis_of(make_series(stack), descending=descending), tmp_path)


@pytest.mark.parametrize(
    ("folder", "pattern", "limit"),
    [
        ("mr-brain-study3/11_HCropVolume", "*", None),
        ("mr-brain-study3/11-T1post-18670", "*", None),
        ("mr-brain-oblique-ge", "*.dcm", None),
        ("mr-enhanced", "BRTUM009.dcm", None),
        ("mr-enhanced", "philips_1901_3DpCASL_enhanced.dcm", None),
        ("mr-enhanced", "philips_IM_0027_fMAP.dcm", None),
        ("mr-enhanced", "siemens_XA10_6_*.dcm", None),
        ("pt-wholebody-ge/image", "*.dcm", 12),
        ("mr-philips-classic-3dpcasl", "*.dcm", None),
        ("mr-abdomen-pseudo-phi", "*.dcm", None),
    ],
)
def test_results_of_real_series_are_valid(
    test_data: Path, tmp_path: Path, folder: str, pattern: str, limit: int | None
) -> None:
    series = series_in(test_data / "dicom" / folder, pattern, limit)
    assert_valid(analysis_of(series), tmp_path)


def test_an_original_without_uids_gets_no_result_and_with_them_valid_ones(
    test_data: Path, tmp_path: Path
) -> None:
    datasets = [
        pydicom.dcmread(path)
        for path in sorted((test_data / "dicom/ct-torso-siemens-j2k/image").glob("*"))
    ]
    with pytest.raises(Defect, match="source-unidentified"):
        SegWriter().write(analysis_of(series_of(datasets)), ())
    for ds in datasets:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    assert_valid(analysis_of(series_of(datasets)), tmp_path)


def test_a_result_without_any_voxel_is_a_valid_report(tmp_path: Path) -> None:
    analysis = analysis_of(mask=np.zeros((8, 10, 12), np.uint8))
    assert SegWriter().write(analysis, ()) == ()
    assert_valid(analysis, tmp_path)


@pytest.mark.parametrize("folder", ["mr-brain-study3/11_HCropVolume", "mr-brain-oblique-ge"])
def test_results_and_originals_agree_as_entities(
    test_data: Path, tmp_path: Path, folder: str
) -> None:
    analysis = analysis_of(series_in(test_data / "dicom" / folder, "*"))
    paths = stored(written(analysis), tmp_path)
    for index, instance in enumerate(analysis.series.instances):
        paths.append(tmp_path / f"{index}.dcm")
        paths[-1].write_bytes(instance.content)
    errors = [line for line in said("dcentvfy", *paths).splitlines() if "Error" in line]
    assert [line for line in errors if "SEG.dcm" in line or "SR.dcm" in line] == []
