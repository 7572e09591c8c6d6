"""A package and a data set that a tiny network learns in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from model_packages import LEVELS, known_labels, write_package

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RECIPE = """
epochs = 4
seed = 7

[network]
name = "small-unet"
arguments = { filters = [4, 4, 8] }

[optimiser]
kind = "adamw"
rate = 2e-2

[patch]
batch = 3

[split]
held_out = 0.2
stopping = 0.25

[stopping]
every = 2

[retraining]
epochs = 2
least_cases = 2

[data]
name = "Boxes"
licence = "CC0-1.0"

[[augmentation]]
kind = "mirror"
axes = ["x"]

[[augmentation]]
kind = "noise"
deviation = 0.1
"""


class Quiet:
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.batches = 0

    def begins(self, epochs: int, done: int) -> None:
        """Remember where it began."""
        self.said.append(f"{done} of {epochs}")

    def batch(self, _epoch: int, _batch: int, _batches: int, /) -> None:
        """Count."""
        self.batches += 1

    def epoch(self, _row: object) -> None:
        """Nothing to remember."""

    def says(self, sentence: str) -> None:
        """Remember a sentence."""
        self.said.append(sentence)


def write_lesson(folder: Path, *, recipe: str = RECIPE) -> Path:
    """Return a package that can be trained."""
    package = write_package(folder)
    (package / "training.toml").write_text(recipe)
    return package


def write_boxes(folder: Path, names: str = "abcdefghij") -> Path:
    """Return a folder of labelled volumes, a case for each letter: boxes at places of their own."""
    rng = np.random.default_rng(list(map(ord, names)))
    for name in names:
        labels = np.roll(known_labels(), rng.integers(-1, 2, 3), axis=(0, 1, 2))
        noise = rng.normal(0, 10, labels.shape)
        write_labelled(folder, name, np.array(LEVELS)[labels] + noise, labels)
    return folder


def write_labelled(
    folder: Path,
    name: str,
    image: NDArray[np.generic],
    labels: NDArray[np.uint8],
    *,
    affine: NDArray[np.float64] | None = None,
) -> None:
    """Write one case."""
    for part, values in (("images", image.astype(np.float32)), ("labels", labels)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        file = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
        nib.save(file, folder / part / f"{name}.nii.gz")
