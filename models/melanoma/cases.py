"""Dermoscopic images with their labels, and which of them may be seen when."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from network import SIDE, without_light
from PIL import Image

HERE = Path(__file__).parent
SEED = 20261121
TEST_SHARE = 4
"""One of so many images of each kind is held out."""
FOLDS = 5
SAME_LESION = 0.97
"""Correlation of two images, 16 x 16 and grey, in any of the eight ways that they can lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Images in white light (n, 3, SIDE, SIDE), and 1 for melanoma (n,)."""

    names: tuple[str, ...]
    images: torch.Tensor
    labels: torch.Tensor

    def of(self, places: np.ndarray) -> Labelled:
        """Return some of them."""
        return Labelled(
            names=tuple(self.names[place] for place in places),
            images=self.images[places],
            labels=self.labels[places],
        )


def split_cases(folder: Path) -> dict[str, list[str]]:
    """Return the committed split; write it when there is none.

    Images that look like one lesion come on one side, in one fold: `groups_of`.
    """
    path = HERE / "split.json"
    if not path.exists():
        rows = _rows(folder)
        groups = groups_of(folder, [row["image"] for row in rows])
        rng, parts = np.random.default_rng(SEED), {"train": [], "test": []}
        for kind in ("0", "1"):
            own = sorted({groups[row["image"]] for row in rows if row["melanoma"] == kind})
            for place, lesion in enumerate(rng.permutation(own)):
                part = "test" if place % TEST_SHARE == 0 else "train"
                parts[part] += [name for name, one in groups.items() if one == lesion]
        path.write_text(
            json.dumps({part: sorted(set(n)) for part, n in parts.items()}, indent=1) + "\n"
        )
    return json.loads(path.read_text())


def fold_of(labels: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places to learn from and places held out by the part `number` (from 0)."""
    rng, held_out = np.random.default_rng(SEED + 1), np.zeros(len(labels), bool)
    for kind in (0, 1):
        order = rng.permutation(np.flatnonzero(labels == kind))
        held_out[order[number::FOLDS]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def groups_of(folder: Path, names: list[str]) -> dict[str, str]:
    """Return for each image the first one that shows the same lesion: itself, for nearly all."""
    small = np.stack([_small(folder / "images" / name) for name in names])
    same = np.zeros((len(names), len(names)))
    for turns in range(4):
        for turned in (np.rot90(small, turns, (1, 2)), np.rot90(small, turns, (1, 2))[:, :, ::-1]):
            flat = turned.reshape(len(names), -1)
            same = np.maximum(same, small.reshape(len(names), -1) @ flat.T / flat.shape[1])
    return {
        name: names[int(np.argmax(row > SAME_LESION))]
        for name, row in zip(names, same, strict=True)
    }


def load(folder: Path, names: list[str]) -> Labelled:
    """Return the images `names` of `folder` with their labels."""
    labels = {row["image"]: int(row["melanoma"]) for row in _rows(folder)}
    pixels = np.stack([_pixels(folder / "images" / name) for name in names])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return Labelled(
        names=tuple(names),
        images=without_light(images),
        labels=torch.tensor([labels[name] for name in names]),
    )


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        image = file.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return np.asarray(image, np.float32)


def _small(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        grey = np.asarray(file.convert("L").resize((16, 16), Image.Resampling.BOX), float)
    return (grey - grey.mean()) / (grey.std() + 1e-6)
