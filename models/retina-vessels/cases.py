"""Photographs of CHASE_DB1 and what its two observers drew, fitted into the network's square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from network import SIDE
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

PROBABLE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """One eye: RGB from 0 to 1 (3, SIDE, SIDE), and the observers' vessels as drawn (y, x)."""

    name: str
    image: torch.Tensor
    first: np.ndarray
    second: np.ndarray

    @property
    def drawn(self) -> torch.Tensor:
        """The first observer's vessels on the network's grid, as the share of each pixel."""
        return _fitted(Image.fromarray(self.first.astype(np.uint8) * 255))[0]


def child_of(name: str) -> str:
    """Return the child whose eye it is: ``Image_03L`` and ``Image_03R`` are both of child 03."""
    return name.removeprefix("Image_")[:2]


def eye_names(folder: Path) -> list[str]:
    """Return the names of all photographs under `folder`, sorted."""
    return sorted(path.stem for path in (folder / "images").glob("*.jpg"))


def load_eye(folder: Path, name: str) -> Photograph:
    """Return a photograph with both observers' vessels."""
    first, second = (
        np.asarray(Image.open(folder / "masks" / f"{name}_{who}.png").convert("L")) > 0
        for who in ("1stHO", "2ndHO")
    )
    image = _fitted(Image.open(folder / "images" / f"{name}.jpg").convert("RGB"))
    return Photograph(name=name, image=image, first=first, second=second)


def dice(found: np.ndarray, reference: np.ndarray) -> float:
    """Return Dice of two masks."""
    return float(2 * (found & reference).sum() / (found.sum() + reference.sum()))


def dice_of(network: nn.Module, eye: Photograph) -> float:
    """Return Dice against the first observer on the grid of the photograph's file."""
    network.eval()
    with torch.inference_mode():
        chance = network(eye.image[None]).softmax(1)[0, 1]
    return dice(restored(chance, eye.first.shape) > PROBABLE, eye.first)


def restored(chance: torch.Tensor, shape: tuple[int, int]) -> np.ndarray:
    """Return a probability of the network's grid on a photograph's grid (y, x)."""
    height, width = _inside(shape)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    inner = Image.fromarray(chance[top : top + height, left : left + width].numpy())
    return np.asarray(inner.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _inside(shape: tuple[int, int]) -> tuple[int, int]:
    scale = SIDE / max(shape)
    return round(shape[0] * scale), round(shape[1] * scale)


def _fitted(image: Image.Image) -> torch.Tensor:
    """Return an image as float (channels, SIDE, SIDE), black where the square is wider than it."""
    height, width = _inside((image.height, image.width))
    square = Image.new(image.mode, (SIDE, SIDE))
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    square.paste(resized, ((SIDE - width) // 2, (SIDE - height) // 2))
    pixels = np.asarray(square, np.float32) / 255
    return torch.from_numpy(np.atleast_3d(pixels).transpose(2, 0, 1).copy())
