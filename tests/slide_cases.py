"""Analyses of slides: what the package that ships finds on a slide made in code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from factories import NOW, series_of
from slides import EOSIN, HAEMATOXYLIN, Scan, clean_slide, pyramid, stained

from clic_edge.dicom.slides import build_slide, pictures_only
from clic_edge.inference.loading import load_runtime
from clic_edge.results.writer import Analysis

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset
    from slides import Picture


def dense(rows: int = 512, columns: int = 640) -> Picture:
    """Return pink tissue, of which one tile of 128 pixels is full of nuclei."""
    pixels = np.full((rows, columns, 3), 245, np.uint8)
    pixels[128:384, 128:512] = stained((1, 1), [(EOSIN, 0.4)])[0, 0]
    pixels[260:380, 390:510] = stained((1, 1), [(HAEMATOXYLIN, 0.8)])[0, 0]
    return pixels


def slide_analysis(root: Path, scan: Scan | None = None, pixels: Picture | None = None) -> Analysis:
    """Return what `models/tissue-tiles` finds on a slide (default `dense`)."""
    images = pyramid(scan or Scan(codec="jpeg"), dense() if pixels is None else pixels)
    return analysed(images, root / "models" / "tissue-tiles")


def analysed(images: list[Dataset], package: Path) -> Analysis:
    """Return what a package finds on a slide."""
    slide = build_slide(clean_slide(images))
    return Analysis(
        case_id="case-1",
        started_at=NOW,
        series=pictures_only(series_of(images)),
        slices=slide.slices,
        prediction=load_runtime(package).predict(slide),
    )
