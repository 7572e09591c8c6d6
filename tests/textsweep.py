"""Frames with burned-in text whose place is known: fonts, sizes, contrasts, angles, backgrounds.

The same generator feeds the sweep that is measured, the tests and the training of the detector;
they differ by seed and by fonts. Real anatomy is used where a folder of test data is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

Gray = "NDArray[np.float32]"
DEJAVU = Path(ImageFont.__file__).parent.parent / "matplotlib" / "mpl-data" / "fonts" / "ttf"
DEBIAN = Path("/usr/share/fonts")
SIZES = (8, 10, 12, 14, 16, 20, 24, 32, 40)
ANGLES = (0, 0, 0, 90, 180, 270, 3, -3, 7, -7)
HELD_OUT = ("C059", "NimbusSansNarrow", "NotoMono", "DejaVuSerifCondensed", "Bookman-Light")
"""Families that the detector never saw; a part of a file's name."""
UNREADABLE = ("D050000L", "StandardSymbols", "STIX", "cmsy", "cmex", "cmmi", "cmr", "cmss", "cmtt")
NAMES = ("MUELLER", "Garcia", "OKONKWO", "Nguyen", "O'Brien", "VAN DEN BERG", "Smith", "Jäger")
FIRST = ("Anna", "JOHN", "Maria", "WEI", "Fatima", "Lars", "IVAN", "Zoë")
OTHER = ("Иванова Мария", "Παπαδόπουλος", "山田 太郎", "김철수", "王小明")
PLACES = ("St. Mary Hospital", "UNIVERSITY CLINIC", "Dept. of Radiology", "Room 4", "Dr. Weber")
FEWEST = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of text as it was drawn."""

    font: str
    size: int
    angle: int
    style: str
    """``saturated``, ``half``, ``faint``, ``boxed``, ``outlined`` or ``coloured``."""
    box: NDArray[np.bool_]
    """The line's own rectangle, turned with it, on the whole frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame, its text and what it lies on."""

    pixels: NDArray[np.uint8]
    """Shape (rows, columns), or (rows, columns, 3) in colour."""
    background: str
    lines: tuple[Line, ...]

    @property
    def text(self) -> NDArray[np.bool_]:
        """Where text is."""
        nothing = np.zeros(self.pixels.shape[:2], bool)
        return np.logical_or.reduce([nothing, *(line.box for line in self.lines)])


@cache
def fonts(*, held_out: bool) -> tuple[str, ...]:
    """Return the font files of this machine, those held out or those for training."""
    files = [*DEJAVU.glob("*.ttf")]
    for folder in ("opentype", "truetype"):
        files += [file for end in ("*.otf", "*.ttf") for file in (DEBIAN / folder).rglob(end)]
    known = {file.name: str(file) for file in files if not file.name.startswith(UNREADABLE)}
    return tuple(
        path
        for name, path in sorted(known.items())
        if any(part in name for part in HELD_OUT) == held_out
    )


@cache
def _font(path: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.truetype(path, size) if path else ImageFont.load_default_imagefont()


def words(rng: np.random.Generator, path: str) -> str:
    """Return what a scanner burns in: a name, a date, a number, a place."""
    pick = int(rng.integers(9))
    day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(1920, 2026)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/.: "
    choices = (
        f"{rng.choice(NAMES)}, {rng.choice(FIRST)}",
        f"{rng.choice(NAMES)}^{rng.choice(FIRST)}",
        f"{day:02d}.{month:02d}.{year}",
        f"{year}-{month:02d}-{day:02d} {rng.integers(24):02d}:{rng.integers(60):02d}",
        f"ID: {rng.integers(10**7):07d}",
        f"{rng.choice(PLACES)}",
        f"DOB {day}/{month}/{year}  {rng.choice(['M', 'F'])} {rng.integers(99)}Y",
        f"Acc {rng.integers(10**9)}",
        "".join(rng.choice(list(letters), rng.integers(3, 22))).strip() or "A1b",
    )
    if "Droid" in path or ("DejaVuSans" in path and pick == 0):
        return str(rng.choice(OTHER[:2] if "DejaVu" in path else OTHER))
    text = choices[pick]
    return text if path else text.encode("ascii", "ignore").decode()


def drawn(
    text: str, path: str, size: int, *, angle: int, smooth: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return ink from 0 to 1 and the line's rectangle, both turned by `angle` degrees."""
    font = _font(path, size)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    ink = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    pen = ImageDraw.Draw(ink)
    pen.fontmode = "L" if smooth else "1"
    pen.text((-left, -top), text, fill=255, font=font)
    if not path and size >= 20:
        ink = ink.resize((ink.width * (size // 10), ink.height * (size // 10)), Image.NEAREST)
    box = Image.new("L", ink.size, 255)
    if angle:
        way = Image.BICUBIC if smooth else Image.NEAREST
        ink, box = ink.rotate(angle, way, expand=True), box.rotate(angle, expand=True)
    return np.asarray(ink, np.float32) / 255, np.asarray(box) > 127


STYLES = ("saturated", "saturated", "half", "faint", "boxed", "outlined")


def burn(
    rng: np.random.Generator, pixels: NDArray[np.uint8], path: str, *, size: int
) -> Line | None:
    """Draw one line into `pixels`; None where it doesn't fit."""
    angle = int(rng.choice(ANGLES))
    style = (
        str(rng.choice(STYLES))
        if pixels.ndim == 2
        else str(rng.choice([*STYLES, "coloured", "coloured"]))
    )
    ink, box = drawn(words(rng, path), path, size, angle=angle, smooth=rng.random() < 0.7)
    room = np.array(pixels.shape[:2]) - ink.shape
    if min(room) < 0:
        return None
    at_edge = rng.random(2) < 0.3
    place = np.where(
        at_edge, rng.integers(2, size=2) * room, (rng.random(2) * (room + 1)).astype(int)
    )
    window = tuple(slice(int(a), int(a) + n) for a, n in zip(place, ink.shape, strict=True))
    spot = pixels[window].astype(np.float32)
    pixels[window] = np.clip(_inked(rng, spot, ink, box, style), 0, 255).astype(np.uint8)
    whole = np.zeros(pixels.shape[:2], bool)
    whole[window] = box
    name = Path(path).stem if path else "bitmap"
    return Line(font=name, size=size, angle=angle, style=style, box=whole)


def _inked(rng: np.random.Generator, spot: Gray, ink: Gray, box: Gray, style: str) -> Gray:
    if spot.ndim == 3:
        ink, box = ink[..., None], box[..., None]
    mean, spread = float(spot.mean()), float(spot.std())
    high = 255.0 if mean < 128 or rng.random() < 0.1 else 0.0
    if style == "coloured":
        high = rng.integers(0, 256, 3).astype(np.float32)
        if np.abs(high - spot.mean((0, 1))).max() < 110 + spread:
            high = np.where(spot.mean((0, 1)) < 128, 255.0, 0.0) * (1, rng.random() < 0.5, 0)
    elif style == "boxed":
        dark = float(rng.choice([0, 0, 40]))
        spot = np.where(ndimage.binary_dilation(box, iterations=2) | box, dark, spot)
        high = 255.0 - float(rng.choice([0, 60]))
    elif style == "outlined":
        rim = ndimage.grey_dilation(ink, (3, 3, 1)[: ink.ndim])
        spot = spot * (1 - rim) + (255.0 - high) * rim
    elif style in {"half", "faint"}:
        step = max({"half": 110, "faint": 45}[style], 2.5 * spread)
        high = (
            mean + step
            if mean + step < 255 and (mean - step < 0 or rng.random() < 0.5)
            else mean - step
        )
    if abs(np.max(np.abs(high - mean))) < 2.5 * spread + 20 and style == "saturated":
        high = 255.0 if mean < 128 else 0.0
    return spot * (1 - ink) + high * ink


# Backgrounds: what anatomy, graphics and noise look like, so that a detector can fail on them.


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Gray:
    small = rng.standard_normal([max(int(n / sigma) + 3, 4) for n in shape]).astype(np.float32)
    field = ndimage.zoom(small, [n / s for n, s in zip(shape, small.shape, strict=True)], order=1)
    return field[: shape[0], : shape[1]]


def _stretched(field: Gray, low: float = 0.0, high: float = 255.0) -> Gray:
    least, most = float(field.min()), float(field.max())
    return (field - least) / max(most - least, 1e-6) * (high - low) + low


def _flat(rng: np.random.Generator, shape: tuple[int, ...]) -> Gray:
    return np.full(shape, rng.choice([0, 0, 0, 255, rng.integers(256)]), np.float32)


def _gradient(rng: np.random.Generator, shape: tuple[int, ...]) -> Gray:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return _stretched(x * rng.standard_normal() + y * rng.standard_normal())


def _cloud(rng: np.random.Generator, shape: tuple[int, ...]) -> Gray:
    field = sum(_smooth(rng, shape, s) * s ** rng.uniform(0.3, 1.2) for s in (64, 32, 16, 8, 4, 2))
    return _stretched(field)


def _ellipses(rng: np.random.Generator, shape: tuple[int, ...]) -> Gray:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    field = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(2, 25))):
        cy, cx = rng.random(2) * shape
        ry, rx = rng.uniform(3, max(shape) / 2, 2) * rng.choice([0.1, 0.3, 1])
        turn = rng.uniform(0, math.pi)
        u = (x - cx) * math.cos(turn) + (y - cy) * math.sin(turn)
        v = (y - cy) * math.cos(turn) - (x - cx) * math.sin(turn)
        radius = (u / (rx + 1)) ** 2 + (v / (ry + 1)) ** 2
        rim = rng.random() < 0.3
        field[(radius < 1) & (radius > 0.8 if rim else radius > -1)] = rng.uniform(0, 255)
    return ndimage.gaussian_filter(field, rng.choice([0, 0.7, 1.2, 2.5]))


def _ultrasound(rng: np.random.Generator, shape: tuple[int, ...]) -> Gray:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    grain = np.abs(
        ndimage.gaussian_filter(
            rng.standard_normal(shape).astype(np.float32), rng.uniform(0.6, 3, 2)
        )
    )
    field = _stretched(grain) * (0.3 + 0.7 * _stretched(_smooth(rng, shape, 40), 0, 1))
    cx = shape[1] / 2 + rng.uniform(-30, 30)
    angle, radius = np.arctan2(x - cx, y + 20), np.hypot(x - cx, y + 20)
    return np.where(
        (np.abs(angle) < rng.uniform(0.4, 0.9)) & (radius < shape[0] * rng.uniform(0.8, 1.1)),
        field,
        0,
    )


def _vessels(rng: np.random.Generator, shape: tuple[int, ...]) -> Gray:
    canvas = Image.fromarray(_stretched(_smooth(rng, shape, 60), 60, 220).astype(np.uint8))
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(3, 30))):
        at, way = rng.random(2) * shape[::-1], rng.uniform(0, 6.28)
        points = [tuple(at)]
        for _ in range(int(rng.integers(5, 60))):
            way += rng.normal(0, 0.4)
            at = at + rng.uniform(2, 9) * np.array([math.cos(way), math.sin(way)])
            points.append(tuple(at))
        pen.line(points, fill=int(rng.integers(256)), width=int(rng.integers(1, 9)))
    return ndimage.gaussian_filter(np.asarray(canvas, np.float32), rng.choice([0, 0.6, 1, 2]))


def _graphics(rng: np.random.Generator, shape: tuple[int, ...]) -> Gray:
    """Rulers, crosses, arrows, frames, grids and curves: sharp, bright, and no text."""
    canvas = Image.fromarray(
        _gradient(rng, shape).astype(np.uint8) if rng.random() < 0.3 else np.zeros(shape, np.uint8)
    )
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 8))):
        tone, (x, y) = int(rng.integers(90, 256)), (int(n) for n in rng.random(2) * shape[::-1])
        kind, step, long = rng.integers(7), int(rng.integers(8, 50)), int(rng.integers(20, 400))
        if kind == 0:  # a ruler
            wide = rng.random() < 0.5
            for at in range(0, long, step):
                tick = int(rng.integers(4, 12))
                pen.line(
                    (x, y + at, x + tick, y + at) if wide else (x + at, y, x + at, y + tick),
                    fill=tone,
                )
        elif kind == 1:
            pen.line((x - 6, y, x + 6, y), fill=tone)
            pen.line((x, y - 6, x, y + 6), fill=tone)
        elif kind == 2:
            pen.rectangle(
                (x, y, x + long, y + step * 4), outline=tone, width=int(rng.integers(1, 4))
            )
        elif kind == 3:
            pen.line(
                (x, y, x + long, y + int(rng.integers(-200, 200))),
                fill=tone,
                width=int(rng.integers(1, 5)),
            )
        elif kind == 4:
            pen.ellipse((x, y, x + long, y + long), outline=tone, width=int(rng.integers(1, 4)))
        elif kind == 5:
            heights = np.cumsum(rng.normal(0, 4, long))
            pen.line([(x + i, y + float(h)) for i, h in enumerate(heights)], fill=tone)
        else:
            for at in range(0, long, step):
                pen.line((x, y + at, x + long, y + at), fill=tone)
                pen.line((x + at, y, x + at, y + long), fill=tone)
    return np.asarray(canvas, np.float32)


def _doppler(rng: np.random.Generator, shape: tuple[int, ...]) -> Gray:
    """Coloured flow over gray speckle."""
    gray = _ultrasound(rng, shape)[..., None] * np.ones(3, np.float32)
    sigma = float(rng.choice([5, 10, 20]))
    flow = _smooth(rng, shape, sigma) + 0.3 * _smooth(rng, shape, 3)
    tone = _stretched(np.abs(flow), 0, 1)[..., None]
    warm = np.array([255.0, 220.0, 60.0]) * tone ** np.array([0.3, 1.5, 3.0])
    cold = warm[..., ::-1]
    inside = np.abs(flow)[..., None] > rng.uniform(0.6, 1.4)
    return np.where(inside, np.where(flow[..., None] > 0, warm, cold), gray)


def _spots(rng: np.random.Generator, shape: tuple[int, ...]) -> Gray:
    """Specular highlights, cells, grains."""
    field = _smooth(rng, shape, float(rng.choice([2, 3, 5, 8])))
    spots = np.clip((field - rng.uniform(1, 2.2)) * rng.uniform(1, 6), 0, 1)
    base = _stretched(_smooth(rng, shape, 50), 40, 180)
    return base + spots * (rng.choice([255.0, 0.0]) - base)


def _through_aperture(rng: np.random.Generator, field: Gray) -> Gray:
    """Return a field as a round, an octagonal or a collimated detector sees it."""
    rows, columns = field.shape[:2]
    y, x = np.mgrid[:rows, :columns]
    y, x = np.abs(y - rows * rng.uniform(0.3, 0.7)), np.abs(x - columns * rng.uniform(0.3, 0.7))
    kind, radius = rng.integers(3), rng.uniform(0.3, 0.6) * min(rows, columns)
    reach = (np.hypot(x, y), np.maximum(np.maximum(x, y), (x + y) / 1.4), np.maximum(x, y))[kind]
    inside = ndimage.gaussian_filter((reach < radius).astype(np.float32), rng.choice([0, 0.7, 2]))
    outside = float(rng.choice([0, 0, 255]))
    return outside + (field - outside) * (inside if field.ndim == 2 else inside[..., None])


PHANTOMS = {
    "doppler": _doppler,
    "spots": _spots,
    "flat": _flat,
    "gradient": _gradient,
    "cloud": _cloud,
    "ellipses": _ellipses,
    "ultrasound": _ultrasound,
    "vessels": _vessels,
    "graphics": _graphics,
}


@cache
def anatomy(folder: Path, *, held_out: bool) -> tuple[NDArray[np.uint8], ...]:
    """Return text-free slices and photographs of a folder of test data, windowed to 8 bits."""
    import pydicom  # noqa: PLC0415 - the sweep on phantoms alone needs none of it

    found = []
    names = (
        ("mr-brain-oblique-ge", "pt-wholebody-ge", "mr-uih-dwi")
        if held_out
        else (
            "ct-head-ge-tilt18.5",
            "ct-torso-siemens-j2k",
            "mr-abdomen-pseudo-phi",
            "mr-brain-study3",
            "mr-prostate-siemens-skyra",
            "mr-localizer-3planes-siemens",
        )
    )
    for name in names:
        files = sorted((folder / "dicom" / name).rglob("*.dcm"))
        for file in files[:: max(len(files) // 25, 1)]:
            ds = pydicom.dcmread(file)
            if "PixelData" not in ds or ds.get("NumberOfFrames", 1) != 1:
                continue
            found.append(np.asarray(ds.pixel_array, np.float32))
    photos = sorted((folder / "2d").rglob("*.jpg"))
    found += [np.asarray(Image.open(p).resize((600, 450)), np.float32) for p in photos[held_out::9]]
    return tuple(_windowed(field) for field in found)


def _windowed(field: Gray) -> Gray:
    low, high = np.percentile(field, (0.5, 99.8))
    return np.clip((field - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)


def background(
    rng: np.random.Generator, shape: tuple[int, int], real: Sequence[NDArray[np.uint8]]
) -> tuple[str, NDArray[np.float32]]:
    """Return a name and a background from 0 to 255."""
    if real and rng.random() < 0.5:
        field = real[int(rng.integers(len(real)))].astype(np.float32)
        least = max(n / s for n, s in zip(shape, field.shape, strict=False))
        scale = max(least, float(rng.choice([0.5, 1, 1, 2])))
        if scale != 1:
            field = ndimage.zoom(field, (scale, scale, 1)[: field.ndim], order=1)
        at = [
            int(rng.integers(max(s - n, 0) + 1)) for n, s in zip(shape, field.shape, strict=False)
        ]
        field = field[at[0] : at[0] + shape[0], at[1] : at[1] + shape[1]]
        short = [(0, n - s) for n, s in zip(shape, field.shape, strict=False)] + [(0, 0)]
        field = np.pad(field, short[: field.ndim], mode="edge")
        return "anatomy", np.rot90(field, rng.integers(4)) if shape[0] == shape[1] else field
    name = str(rng.choice(list(PHANTOMS)))
    return name, PHANTOMS[name](rng, shape)


def frame(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int] = (512, 512),
    lines: int = 4,
    held_out: bool = True,
    real: Sequence[NDArray[np.uint8]] = (),
    colour: float = 0.2,
) -> Frame:
    """Return one random frame with about `lines` lines of text."""
    name, field = background(rng, shape, real)
    if rng.random() < 0.25:
        field = _through_aperture(rng, field)
    if rng.random() < 0.6:
        noise = rng.standard_normal(shape).astype(np.float32) * rng.choice([2, 6, 12])
        field = field + (noise if field.ndim == 2 else noise[..., None])
    if rng.random() < 0.15:
        field = 255 - field
    if rng.random() < colour:
        tint = rng.uniform(0.3, 1.0, 3) if rng.random() < 0.5 else np.ones(3)
        field = field[..., None] * tint if field.ndim == 2 else field
    elif field.ndim == 3:
        field = field.mean(axis=2)
    pixels = np.clip(field, 0, 255).astype(np.uint8)
    paths = [*fonts(held_out=held_out), ""]
    drawn_lines = []
    for _ in range(lines):
        path = paths[int(rng.integers(len(paths)))] if rng.random() < 0.93 else ""
        size = int(rng.choice(SIZES))
        line = burn(rng, pixels, path, size=max(size, 10) if not path else size)
        drawn_lines += [line] if line else []
    if rng.random() < 0.2:
        noise = rng.standard_normal(shape).astype(np.float32) * 5
        noisy = pixels + (noise if pixels.ndim == 2 else noise[..., None])
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return Frame(pixels=pixels, background=name, lines=tuple(drawn_lines))


def sweep(seed: int, count: int, real: Sequence[NDArray[np.uint8]] = ()) -> Iterator[Frame]:
    """Yield `count` frames of 512 x 512, none to six lines each, in fonts that are held out."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield frame(rng, lines=int(rng.choice([0, 1, 2, 3, 4, 6])), real=real)
