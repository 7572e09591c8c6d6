"""DCMTK shows a report and a presentation state; what it drew lies in `build/shots` for people."""

from __future__ import annotations

import html
import re
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from analyses import analysis_of
from browsers import SHOTS
from factories import Stack, make_series
from matplotlib.path import Path as Outline
from PIL import Image, ImageDraw
from servers import require
from written import write_all

from clic_edge.domain.result import ResultKind

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.results.writer import Analysis

SHAPE = (6, 60, 48)
Polygon = list[tuple[float, float]]
"""Corners as (column, row) from the corner of the first pixel."""


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Return a study with two segments, of which one lies in two parts."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:5, 10:30, 5:20] = 1
    mask[1:5, 10:16, 5:26] = 1
    mask[2:4, 40:50, 30:34] = 1
    mask[3:, 35:55, 6:25] = 2
    at = np.indices(SHAPE)
    voxels = (300 + 150 * np.sin(at[1] / 6) * np.cos(at[2] / 8) + 10 * at[0]).astype(np.int16)
    return analysis_of(make_series(Stack(), voxels), mask=mask)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, analysis: Analysis) -> Path:
    """Return a folder with the images, the presentation state and the report."""
    folder = tmp_path_factory.mktemp("dcmtk")
    for index, source in enumerate(analysis.slices):
        content = analysis.series.instances[source.instance_index].content
        (folder / f"{index}.dcm").write_bytes(content)
    for one in write_all(analysis):
        if one.kind in {ResultKind.PR, ResultKind.SR}:
            (folder / f"{one.kind}.dcm").write_bytes(one.content)
    return folder


def rendered(folder: Path, index: int) -> tuple[Image.Image, dict[str, list[Polygon]]]:
    """Return an image as DCMTK renders it by the presentation state, and the outlines of each layer."""
    picture = folder / f"{index}.pgm"
    said = subprocess.run(
        [require("dcmp2pgm"), "-v", "-p", folder / "PR.dcm", folder / f"{index}.dcm", picture],
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    layers: dict[str, list[Polygon]] = {}
    layer = ""
    for line in said.splitlines():
        if found := re.search(r"Description: (.+)", line):
            layer = found[1].strip()
        elif found := re.search(r"coordinates: (.+)", line):
            pairs = re.findall(r"([\d.]+)\\([\d.]+)", found[1])
            layers.setdefault(layer, []).append([(float(x), float(y)) for x, y in pairs])
    return Image.open(picture), layers


def filled(polygons: list[Polygon]) -> NDArray[np.bool_]:
    """Return the pixels whose centre an odd number of outlines encloses."""
    rows, columns = np.indices(SHAPE[1:]) + 0.5
    centres = np.column_stack([columns.ravel(), rows.ravel()])
    inside = sum(Outline(polygon).contains_points(centres) for polygon in polygons)
    return np.asarray(np.broadcast_to(inside, rows.size) % 2 == 1).reshape(rows.shape)


def test_the_outlines_that_dcmtk_shows_on_each_image_enclose_the_mask(
    analysis: Analysis, folder: Path
) -> None:
    prediction = analysis.prediction
    for index, expected in enumerate(prediction.label_map):
        picture, layers = rendered(folder, index)
        assert picture.size == SHAPE[:0:-1]
        for one in prediction.segments:
            found = filled(layers.get(one.definition.label, []))
            assert np.array_equal(found, expected == one.definition.number), (index, one)
        shoot(picture, layers, f"dcmtk-pr-{index}")


def shoot(picture: Image.Image, layers: dict[str, list[Polygon]], name: str) -> None:
    """Write what DCMTK rendered with the outlines that it told of, for people."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    scale = 8
    large = picture.convert("RGB").resize((picture.width * scale, picture.height * scale))
    drawing = ImageDraw.Draw(large)
    for colour, polygons in zip(("orange", "cyan", "magenta"), layers.values(), strict=False):
        for polygon in polygons:
            drawing.line([(x * scale, y * scale) for x, y in polygon], fill=colour, width=2)
    large.save(SHOTS / f"{name}.png")


def test_the_report_that_dcmtk_shows_holds_every_number(analysis: Analysis, folder: Path) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page = SHOTS / "dcmtk-sr.html"
    subprocess.run([require("dsr2html"), folder / "SR.dcm", page], check=True)
    text = html.unescape(re.sub(r"<[^>]+>", " ", page.read_text()))
    for one in analysis.prediction.segments:
        assert f"{one.volume_mm3:.1f} mm3" in text, one
