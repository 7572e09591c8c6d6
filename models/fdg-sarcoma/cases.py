"""The cases as the product would see them: its code lays them out, and brings the answer back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from network import CLASSES

from clic_edge.inference.declaration import read_declaration
from clic_edge.inference.intensity import prepare
from clic_edge.inference.labelling import label_map
from clic_edge.inference.transforms import NetworkGrid, network_grid
from clic_edge.inference.windows import sliding_window
from clic_edge.validation.folder import read_volume

if TYPE_CHECKING:
    from clic_edge.domain.volume import Geometry

DECLARED = read_declaration(Path(__file__).parent / "model.toml")
LARGEST_CUT_MM = 45
"""Of a margin of about 52 mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One case, on the grid of the network and on its own."""

    name: str
    image: torch.Tensor
    """What the network sees: 0 to 1, on its grid."""
    label: torch.Tensor
    """Tumour or not, on its grid."""
    suv: np.ndarray
    reference: np.ndarray
    """Tumour or not, on the grid of the file."""
    grid: NetworkGrid
    geometry: Geometry


def load_example(folder: Path, name: str) -> Example:
    """Return the case in ``folder/name``."""
    _, pet = read_volume(folder / name / "PET_image.nii.gz", modality=DECLARED.input.modality)
    _, drawn = read_volume(folder / name / "PET_mask.nii.gz", modality=DECLARED.input.modality)
    return _example(name, pet.voxels, drawn.voxels > 0, pet.geometry)


def off_centre(example: Example) -> Example:
    """Return the case without a random part of each side's margin, the same every time.

    The tumour stays whole, and its place in the crop no longer tells its size.
    """
    rng = np.random.default_rng(int(example.name.removeprefix("STS_")))
    kept = []
    for axis in range(example.reference.ndim):
        others = tuple(one for one in range(example.reference.ndim) if one != axis)
        touched = np.flatnonzero(example.reference.any(axis=others))
        length = example.reference.shape[axis]
        step = example.geometry.spacing_mm[axis]
        before, after = (
            int(rng.uniform(0, min(room * step, LARGEST_CUT_MM)) / step)
            for room in (touched[0], length - 1 - touched[-1])
        )
        kept.append(slice(before, length - after))
    suv, reference = example.suv[tuple(kept)], example.reference[tuple(kept)]
    # Where the crop begins in the patient is no matter to a network.
    geometry = replace(example.geometry, shape=suv.shape)
    return _example(example.name, suv, reference, geometry)


def _example(name: str, suv: np.ndarray, reference: np.ndarray, geometry: Geometry) -> Example:
    grid = network_grid(geometry, orientation="RAS", spacing_mm=DECLARED.input.spacing_mm)
    label = grid.to_network(reference.astype(np.float32)).round() > 0
    return Example(
        name=name,
        image=torch.from_numpy(prepare(grid.to_network(suv), DECLARED.input.intensity)),
        label=torch.from_numpy(label),
        suv=suv,
        reference=reference,
        grid=grid,
        geometry=geometry,
    )


def case_names(folder: Path) -> list[str]:
    """Return the names of all cases in `folder`, sorted."""
    return sorted(path.name for path in folder.glob("STS_*"))


def dice_of(network: torch.nn.Module, example: Example) -> float:
    """Return Dice on the grid of the file."""
    return dice(outline(network, example), example.reference)


def outline(network: torch.nn.Module, example: Example) -> np.ndarray:
    """Return the tumour on the grid of the file, as the product finds it but for rounding."""
    network.eval()

    def forward(windows: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(windows).to(memory_format=torch.channels_last_3d)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return network(image).float().numpy()

    logits = sliding_window(example.image.numpy(), forward, window=DECLARED.window, classes=CLASSES)
    probabilities = torch.from_numpy(logits).softmax(0).numpy()
    return label_map(probabilities, example.grid).label_map > 0


def dice(found: np.ndarray, reference: np.ndarray) -> float:
    """Return Dice of two masks."""
    return float(2 * (found & reference).sum() / (found.sum() + reference.sum()))
