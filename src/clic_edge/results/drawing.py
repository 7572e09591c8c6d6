"""Pictures of slices: the original as its window shows it, outlines and words drawn over it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.pixels.processing import apply_modality_lut

from clic_edge.dicom.reading import place, read_instance
from clic_edge.errors import Defect
from clic_edge.results.colours import colour_of
from clic_edge.results.outlines import areas_of, outlines
from clic_edge.results.photographs import displayed, heat_maps, heated, legend
from clic_edge.results.slide_picture import pictured_slide
from clic_edge.results.wording import finding_lines, say

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.results.writer import Analysis

LEAST_SIDE = 512
"""Smaller images are enlarged by a whole number, so that an outline stays on its pixels."""
MOST_SIDE = 1600
"""A photograph with more pixels than a screen is made smaller, so that its picture can be sent."""
LINES = 14
"""More findings on one slice than this would push the picture off a screen."""
_PERCENTILES = (0.5, 99.5)
_LINE_HEIGHT = 22
_MARGIN = 8


def picture(analysis: Analysis, k: int) -> Image.Image:
    """Return slice `k` with outlines, between two strips of words on black.

    The words stand beside the image, never on it: nothing of the anatomy is hidden, and they are
    readable whatever the image looks like.
    """
    if analysis.prediction.geometry.on_slide:
        drawn = pictured_slide(analysis)
    else:
        drawn = photographed(analysis) if analysis.image else outlined(analysis, k)
    words = _words(analysis, k)
    width = drawn.width
    height = drawn.height + (len(words) + 1) * _LINE_HEIGHT + 2 * _MARGIN
    canvas = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(canvas)
    slices = analysis.prediction.geometry.shape[0]
    which = "" if not analysis.in_patient else f" · {k + 1}/{slices}"
    banner = f"{say('not verified', analysis.language)}{which}"
    pen.text((_MARGIN, 2), banner, fill=(255, 255, 255), font=font(bold=True))
    canvas.paste(drawn, (0, _LINE_HEIGHT + _MARGIN))
    top = _LINE_HEIGHT + _MARGIN + drawn.height + _MARGIN // 2
    for index, (text, number) in enumerate(words):
        y = top + index * _LINE_HEIGHT
        if number is not None:
            pen.rectangle((_MARGIN, y + 4, _MARGIN + 12, y + 16), fill=colour_of(number))
        pen.text((_MARGIN + 20, y), text, fill=(255, 255, 255), font=font(bold=False))
    return canvas


def outlined(analysis: Analysis, k: int) -> Image.Image:
    """Return slice `k` enlarged, with the outline of every segment on it."""
    pixels = grey(analysis, k)
    scale = _scale(analysis, pixels.shape)
    width, height = (round(size * by) for size, by in zip(pixels.shape[::-1], scale, strict=True))
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    image = image.convert("RGB")
    _draw_outlines(image, analysis, k, scale=scale)
    return image


def photographed(analysis: Analysis) -> Image.Image:
    """Return a single image with its outlines, and to its right once more below each heat map.

    It has its own colours, or those that its window gives it.
    """
    pixels = displayed(analysis)
    side = max(1.0, LEAST_SIDE / min(pixels.shape[:2]))
    scale = min(side, MOST_SIDE / max(pixels.shape[:2]))
    height, width = (round(size * scale) for size in pixels.shape[:2])
    plain = Image.fromarray(pixels).convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    maps = heat_maps(analysis)
    canvas = Image.new("RGB", (width * (1 + len(maps)), height))
    for beside, one in enumerate(maps, start=1):
        canvas.paste(heated(plain, one), (beside * width, 0))
    _draw_outlines(plain, analysis, 0, scale=(width / pixels.shape[1], height / pixels.shape[0]))
    canvas.paste(plain, (0, 0))
    return canvas


def _draw_outlines(
    image: Image.Image, analysis: Analysis, k: int, *, scale: tuple[float, float]
) -> None:
    pen = ImageDraw.Draw(image)
    labels = analysis.prediction.label_map[k]
    for finding in analysis.prediction.segments:
        number = finding.definition.number
        for loop in outlines(labels == number):
            points = [(float(x), float(y)) for x, y in loop * np.array(scale)]
            pen.line(points, fill=(0, 0, 0), width=4)  # a dark rim shows on bright images
            pen.line(points, fill=colour_of(number), width=2)


def grey(analysis: Analysis, k: int) -> NDArray[np.uint8]:
    """Return slice `k` of the original in 256 levels, as `window_of` shows it."""
    return shades_of(_original(analysis, k), analysis.slices[k].frame_number)


def shades_of(ds: Dataset, frame_number: int) -> NDArray[np.uint8]:
    """Return a frame in 256 levels: of a CT in its own window, else between percentiles."""
    values = _rescaled(ds, frame_number)
    low, high = _ends(ds, values)
    levels = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        levels = 1 - levels
    shades: NDArray[np.uint8] = np.rint(levels * 255).astype(np.uint8)
    return shades


def window_of(analysis: Analysis, k: int) -> tuple[float, float]:
    """Return what is shown black and white on slice `k`: of a CT its own window, else percentiles.

    Only in CT the numbers mean the same everywhere; windows of other modalities are often those
    of another image, or of none.
    """
    return _ends(*_values(analysis, k))


def _values(analysis: Analysis, k: int) -> tuple[Dataset, NDArray[np.float64]]:
    """Return the original of a slice, and its pixels after the rescale of a single-frame image."""
    ds = _original(analysis, k)
    return ds, _rescaled(ds, analysis.slices[k].frame_number)


def _original(analysis: Analysis, k: int) -> Dataset:
    instances, index = analysis.series.instances, analysis.slices[k].instance_index
    return read_instance(instances[index].content, place(index, len(instances)))


def _rescaled(ds: Dataset, frame_number: int) -> NDArray[np.float64]:
    pixels = ds.pixel_array
    if pixels.ndim > 2:  # noqa: PLR2004 - frames, rows, columns
        pixels = pixels[frame_number - 1]
    return apply_modality_lut(pixels, ds).astype(np.float64)


def _ends(ds: Dataset, values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, _PERCENTILES).tolist()
    return _window(ds) or (low, high)


def _window(ds: Dataset) -> tuple[float, float] | None:
    """Return the ends of the first linear window (PS3.3 C.11.2.1.2.1), where there is one."""
    if ds.get("Modality") != "CT" or not ds.get("WindowWidth") or "WindowCenter" not in ds:
        return None
    centre, width = (np.atleast_1d(ds[key].value)[0] for key in ("WindowCenter", "WindowWidth"))
    low = float(centre) - 0.5 - (float(width) - 1) / 2
    return low, low + float(width) - 1


def _scale(analysis: Analysis, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return by what columns and rows are enlarged, so that a millimetre is as long either way."""
    _, between_rows, between_columns = analysis.prediction.geometry.spacing_mm
    whole = max(1, -(-LEAST_SIDE // min(shape)))
    if between_rows >= between_columns:
        return whole, whole * between_rows / between_columns
    return whole * between_columns / between_rows, whole


def _words(analysis: Analysis, k: int) -> list[tuple[str, int | None]]:
    """Return the lines below the picture, with the segment whose colour stands before each."""
    areas = areas_of(analysis.prediction)[k]
    segments = zip(analysis.prediction.segments, areas, strict=True)
    here = {one.definition.number for one, area in segments if area}
    lines: list[tuple[str, int | None]] = [
        (line.text, line.segment)
        for line in finding_lines(analysis.prediction, analysis.language)
        if line.segment in here or line.segment is None
    ]
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], (f"+ {len(lines) - LINES + 1}", None)]
    lines += [(legend(one, analysis.language), None) for one in heat_maps(analysis)]
    return [*lines, (f"{analysis.model.title} {analysis.model.version}", None)]


@cache
def font(*, bold: bool) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which has the letters of every European language."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(_fonts() / name, 15)


def _fonts() -> Path:
    """Return the folder of fonts within matplotlib, which is not loaded: it writes a cache."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise Defect("no-font", "matplotlib, which brings the font, is not installed.")
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
