"""dcmjs, by which browsers read DICOM, finds in what we write what the model found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pytest
from analyses import analysis_of
from factories import Stack, make_series
from written import with_everything, write_all, write_told

from clic_edge.domain.result import ResultKind
from clic_edge.results import provenance

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis

VERSION = "0.52.2"
VOLUME = "118565006"
STACK = Stack(
    orientation=(0.8, 0.6, 0.0, -0.36, 0.48, 0.8), slice_step=2.5, pixel_spacing=(0.5, 0.75)
)


class Frame(TypedDict):
    """What `read_by_dcmjs.cjs` tells of a frame."""

    position: list[float]
    segment: int
    set: list[int]


class Answer(TypedDict):
    """What it tells of a file."""

    modality: str
    patient: list[str]
    segments: list[tuple[int, str]]
    frames: list[Frame]
    measurements: list[tuple[str, str, float]]


@pytest.fixture(scope="module")
def modules(root: Path) -> Path:
    """Return the folder that holds dcmjs, or skip and say how it comes there."""
    folder: Path = root / "build" / "node" / "node_modules"
    if shutil.which("node") is None:
        pytest.skip("node isn't installed: apt-get install nodejs")
    if not (folder / "dcmjs").is_dir():
        pytest.skip(f"no dcmjs: npm install --prefix build/node dcmjs@{VERSION}")
    return folder


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return with_everything(analysis_of(make_series(STACK)))


@pytest.fixture(scope="module")
def results(analysis: Analysis) -> tuple[ResultObject, ...]:
    results = write_all(analysis)
    return (*results, *write_told(analysis, results))


def read(result: ResultObject, modules: Path, folder: Path, root: Path) -> Answer:
    path = folder / "result.dcm"
    path.write_bytes(result.content)
    done = subprocess.run(
        ["node", root / "tests" / "read_by_dcmjs.cjs", path],
        capture_output=True,
        check=False,
        env={**os.environ, "NODE_PATH": str(modules)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer: Answer = json.loads(done.stdout)
    return answer


@pytest.mark.slow
def test_it_opens_every_object_and_reads_the_name(
    results: tuple[ResultObject, ...], modules: Path, tmp_path: Path, root: Path
) -> None:
    for result in results:
        answer = read(result, modules, tmp_path, root)
        assert answer["modality"]
        assert answer["patient"] == ["Testesen^Åse^Ærlig"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [ResultKind.SEG, ResultKind.SEG_FRACTIONAL, ResultKind.SEG_LABELMAP]
)
def test_it_finds_each_voxel_of_a_segmentation_on_its_plane(
    kind: ResultKind,
    analysis: Analysis,
    results: tuple[ResultObject, ...],
    *,
    modules: Path,
    tmp_path: Path,
    root: Path,
) -> None:
    (result,) = (one for one in results if one.kind is kind)
    answer = read(result, modules, tmp_path, root)
    findings = {
        provenance.tracking_uid(analysis, one.definition): one.definition.number
        for one in analysis.prediction.segments
    }
    numbers = {number: findings[uid] for number, uid in answer["segments"] if number}
    assert sorted(numbers.values()) == sorted(findings.values())
    geometry, seen = analysis.prediction.geometry, np.zeros(analysis.prediction.geometry.shape)
    for frame in answer["frames"]:
        away = np.array(frame["position"]) - geometry.affine[:3, 3]
        k, row, column = np.linalg.solve(geometry.affine[:3, :3], away)
        assert (row, column) == pytest.approx((0, 0), abs=1e-5)
        assert k == pytest.approx(round(k), abs=1e-5)
        label = numbers.get(frame["segment"], 1)
        seen[round(k)].ravel()[frame["set"]] = label
    mask = analysis.prediction.label_map
    assert np.array_equal(seen, mask.astype(bool) if kind is ResultKind.SEG_LABELMAP else mask)


def test_it_reads_each_volume_of_a_report(
    analysis: Analysis,
    results: tuple[ResultObject, ...],
    modules: Path,
    *,
    tmp_path: Path,
    root: Path,
) -> None:
    (report,) = (one for one in results if one.kind is ResultKind.SR)
    told = read(report, modules, tmp_path, root)["measurements"]
    volumes = {tracking: value for tracking, code, value in told if code == VOLUME}
    assert volumes == pytest.approx(
        {
            provenance.tracking_uid(analysis, one.definition): one.volume_mm3
            for one in analysis.prediction.segments
        }
    )
