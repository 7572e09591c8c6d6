"""Labelled images, laid out as the data sets that our packages were trained on.

```
DIR/…mnist.npz                           MedMNIST: PART_images (n, y, x[, 3]), PART_labels (n, 1)
DIR/labels.csv, DIR/images/…             a column `image`, and one of 0 and 1 for an answer
DIR/images/X.jpg, DIR/masks/X_1stHO.png  what one or more observers drew: 1stHO, 2ndHO
DIR/images/X.jpg, DIR/boxes.csv          columns image, name, x0, y0, x1, y1: what is where
```
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from clic_edge.domain.image import Image
from clic_edge.domain.volume import Acquisition, SliceSource
from clic_edge.errors import ConfigError
from clic_edge.validation.froc import Box

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LABELS = "labels.csv"
BOXES = "boxes.csv"
IMAGE = "image"
OBSERVERS = ("1stHO", "2ndHO")
_PHOTOGRAPHS = (".jpg", ".jpeg", ".png")
_PARTS = ("train", "val", "test")
_BAND_YEARS = 20
_UNREADABLE = (OSError, ValueError, UnidentifiedImageError, Pillow.DecompressionBombError)
_SEXES = {"male": "M", "female": "F", "m": "M", "f": "F"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """One image and what is known of it: the place of the right answer, or what was drawn."""

    name: str
    image: Image
    answer: int | None = None
    """Place among the package's categories."""
    drawn: tuple[NDArray[np.bool_], ...] = field(default=(), repr=False)
    """One mask for each observer; the first is the reference."""
    boxes: tuple[Box, ...] = ()
    """What is where."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Of whom it is: `sex`, `age_band`."""


def labelled_answers(
    folder: Path, *, categories: Sequence[str], modality: str
) -> Iterator[LabelledImage]:
    """Yield every image of `folder` with its right answer.

    A label in an ``.npz`` is the place of its answer among `categories`. In ``labels.csv`` each
    column that is called as a category says 0 or 1; where none is 1, the answer is the one
    category without a column.

    Raises ConfigError: ``validation-empty``, ``validation-label``, ``validation-unreadable``.
    """
    if (folder / LABELS).exists():
        yield from _of_table(folder, categories, modality)
    else:
        yield from _of_archive(_archive(folder, len(categories)), categories, modality)


def drawn_eyes(folder: Path, *, modality: str) -> Iterator[LabelledImage]:
    """Yield every image of `folder` with what its observers drew; the first one's must be there.

    Raises ConfigError as `labelled_answers`, and ``validation-label-missing``.
    """
    paths = _photographs(folder / "images")
    if not paths:
        raise ConfigError("validation-empty", f"{folder / 'images'} holds no .jpg or .png file.")
    for path in paths:
        pixels = _pixels(path)
        masks = [folder / "masks" / f"{path.stem}_{who}.png" for who in OBSERVERS]
        if not masks[0].exists():
            raise ConfigError("validation-label-missing", f"{masks[0]} is missing.")
        drawn = tuple(_mask(mask, pixels.shape[:2]) for mask in masks if mask.exists())
        yield LabelledImage(
            name=path.stem,
            image=_image(path.stem, pixels, Acquisition(modality=modality)),
            drawn=drawn,
        )


def boxed_images(folder: Path, *, kinds: Collection[str], modality: str) -> Iterator[LabelledImage]:
    """Yield every image of `folder` with the boxes that ``boxes.csv`` gives it, if any.

    Places count in pixels from the outer edge of the first one, columns (x), then rows (y).

    Raises ConfigError as `labelled_answers`; ``validation-case``: a box is of no image there.
    """
    paths = _photographs(folder / "images")
    if not paths:
        raise ConfigError("validation-empty", f"{folder / 'images'} holds no .jpg or .png file.")
    boxes = _boxes(folder / BOXES, kinds)
    if unknown := sorted(boxes.keys() - {path.name for path in paths}):
        raise ConfigError("validation-case", f"{folder / 'images'} holds no {unknown[0]}.")
    for path in paths:
        yield LabelledImage(
            name=path.name,
            image=_image(path.stem, _pixels(path), Acquisition(modality=modality)),
            boxes=tuple(boxes.get(path.name, ())),
        )


def _boxes(path: Path, kinds: Collection[str]) -> dict[str, list[Box]]:
    found: dict[str, list[Box]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.DictReader(file, strict=True), 2):
                x0, y0, x1, y1 = (float(row[name]) for name in ("x0", "y0", "x1", "y1"))
                if row["name"] not in kinds or not (0 <= x0 <= x1 and 0 <= y0 <= y1):
                    raise ConfigError(
                        "validation-label",
                        f"{path}: line {line} gives no box, or of something that the package does "
                        "not look for.",
                    )
                box = Box(kind=row["name"], x0=x0, y0=y0, x1=x1, y1=y1)
                found.setdefault(row[IMAGE], []).append(box)
    except (OSError, UnicodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            "validation-unreadable",
            f"{path} is no CSV file with columns image, name, x0, y0, x1 and y1.",
        ) from error
    return found


def read_image(path: Path, *, modality: str) -> Image:
    """Return the image in a JPEG or PNG file; the caller vouches for the modality.

    Raises ConfigError ``validation-unreadable``.
    """
    return _image(path.stem, _pixels(path), Acquisition(modality=modality))


def _of_archive(path: Path, categories: Sequence[str], modality: str) -> Iterator[LabelledImage]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            parts = {
                part: (stored[f"{part}_images"], stored[f"{part}_labels"].ravel())
                for part in _PARTS
                if f"{part}_images" in stored
            }
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError("validation-unreadable", f"{path} is no MedMNIST file.") from error
    for part, (images, labels) in parts.items():
        if len(images) != len(labels) or not np.isin(labels, range(len(categories))).all():
            raise ConfigError("validation-label", f"{path} has other labels than the package.")
        for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            name = f"{part}/{number}"
            image = _image(name, pixels, Acquisition(modality=modality))
            yield LabelledImage(name=name, image=image, answer=int(label))


def _archive(folder: Path, categories: int) -> Path:
    """Return the one archive whose labels are as many as the package's answers."""
    paths = sorted(folder.glob("*.npz")) if folder.is_dir() else [folder]
    if not paths or not paths[0].exists():
        raise ConfigError(
            "validation-empty", f"{folder} holds no {LABELS}, and no .npz file of MedMNIST."
        )
    fitting = [path for path in paths if _answers_in(path) == categories]
    if len(fitting) != 1:
        raise ConfigError(
            "validation-label",
            f"{folder} holds {len(fitting)} files with labels of {categories} kinds; give the path "
            "of one .npz file.",
        )
    return fitting[0]


def _answers_in(path: Path) -> int:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return 1 + max(int(stored[n].max()) for n in stored.files if n.endswith("_labels"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError("validation-unreadable", f"{path} is no MedMNIST file.") from error


def _of_table(folder: Path, categories: Sequence[str], modality: str) -> Iterator[LabelledImage]:
    path = folder / LABELS
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeError, csv.Error) as error:
        raise ConfigError("validation-unreadable", f"{path} is no CSV file.") from error
    columns = [name for name in categories if rows and name in rows[0]]
    others = [place for place, name in enumerate(categories) if name not in columns]
    if not rows or IMAGE not in rows[0] or not columns or len(others) > 1:
        raise ConfigError(
            "validation-label",
            f"{path} needs a column '{IMAGE}' and one for each answer of the package but one.",
        )
    for line, row in enumerate(rows, 2):
        told = [categories.index(name) for name in columns if row[name] == "1"] or others
        if len(told) != 1 or not all(row[name] in {"0", "1"} for name in columns):
            raise ConfigError("validation-label", f"{path}: line {line} gives no one answer.")
        yield _of_row(folder, row, answer=told[0], modality=modality)


def _of_row(folder: Path, row: Mapping[str, str], *, answer: int, modality: str) -> LabelledImage:
    name = row[IMAGE]
    if "/" in name or not (folder / "images" / name).is_file():
        raise ConfigError("validation-case", f"{folder / 'images'} holds no {name}.")
    sex = _SEXES.get(row.get("sex", "").strip().lower(), "")
    age = row.get("age_approximate", row.get("age", "")).strip()
    years = float(age) if age.replace(".", "", 1).isdigit() else None
    acquisition = Acquisition(modality=modality, age_years=years, sex=sex)
    groups = {"sex": sex} if sex else {}
    if years is not None:
        first = int(years) // _BAND_YEARS * _BAND_YEARS
        groups["age_band"] = f"{first}-{first + _BAND_YEARS - 1}"
    image = _image(name, _pixels(folder / "images" / name), acquisition)
    return LabelledImage(name=name, image=image, answer=answer, groups=groups)


def _image(name: str, pixels: NDArray[np.uint8], acquisition: Acquisition) -> Image:
    pixels.flags.writeable = False
    return Image(
        pixels=pixels,
        pixel_spacing_mm=None,
        source=SliceSource(instance_index=0, frame_number=1),
        acquisition=acquisition,
        subject_id=name,
        series_uid="",
    )


def _photographs(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix.lower() in _PHOTOGRAPHS and not path.name.startswith(".")
    )


def _pixels(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of a photograph, grey or RGB, as they are stored."""
    try:
        with Pillow.open(path) as file:
            return np.array(file if file.mode == "L" else file.convert("RGB"), np.uint8)
    except _UNREADABLE as error:
        raise ConfigError("validation-unreadable", f"{path} is no photograph.") from error


def _mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    try:
        with Pillow.open(path) as file:
            mask = np.array(file.convert("L")) > 0
    except _UNREADABLE as error:
        raise ConfigError("validation-unreadable", f"{path} is no mask.") from error
    if mask.shape != shape:
        raise ConfigError("validation-grid", f"{path} has another size than its photograph.")
    mask.flags.writeable = False
    return mask
