"""Random changes that another lesion, hand, camera or light could have made."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

_SCALE = 0.25
_STRETCH = 0.12
_SHIFT = 0.12
_GAIN = 0.2
_COLOUR = 0.06
_CONTRAST = 0.2
_SATURATION = 0.25


def augment(images: torch.Tensor, cut: int, rng: torch.Generator) -> torch.Tensor:
    """Return a random cut of each image (n, 3, y, x) with values from 0 to 1."""
    count = len(images)
    grid = functional.affine_grid(
        _affines(count, cut / images.shape[-1], rng), [count, 3, cut, cut], align_corners=False
    )
    cuts = functional.grid_sample(images, grid, align_corners=False, padding_mode="reflection")
    cuts = cuts * _uniform(_GAIN, rng, count, 1, 1, 1).exp()
    cuts = cuts * _uniform(_COLOUR, rng, count, 3, 1, 1).exp()
    mean = cuts.mean((2, 3), keepdim=True)
    cuts = mean + (cuts - mean) * _uniform(_CONTRAST, rng, count, 1, 1, 1).exp()
    grey = cuts.mean(1, keepdim=True)
    return (grey + (cuts - grey) * _uniform(_SATURATION, rng, count, 1, 1, 1).exp()).clamp(0, 1)


def _uniform(reach: float, rng: torch.Generator, *shape: int) -> torch.Tensor:
    return (2 * torch.rand(shape, generator=rng) - 1) * reach


def _affines(count: int, share: float, rng: torch.Generator) -> torch.Tensor:
    angle = _uniform(math.pi, rng, count)
    scale = share * _uniform(_SCALE, rng, count).exp()
    stretched = scale * _uniform(_STRETCH, rng, count).exp()
    mirror = _uniform(1, rng, count).sign()
    shift = _uniform(_SHIFT, rng, count, 2)
    across = [mirror * stretched * angle.cos(), -scale * angle.sin(), shift[:, 0]]
    down = [mirror * stretched * angle.sin(), scale * angle.cos(), shift[:, 1]]
    return torch.stack([torch.stack(across, 1), torch.stack(down, 1)], 1)
