"""Random changes that another patient, hand or machine could have made."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

_ROTATION = math.radians(15)
_SCALE = 0.2
_SHIFT = 0.12
_GAIN = 0.2
_OFFSET = 0.08
_NOISE = 0.02


def augment(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Return a random variant of each image (n, channels, y, x) with values from 0 to 1."""
    grid = functional.affine_grid(
        _affines(len(images), rng), list(images.shape), align_corners=False
    )
    moved = functional.grid_sample(images, grid, align_corners=False, padding_mode="reflection")
    each = (len(images), 1, 1, 1)
    moved = moved * _uniform(-_GAIN, _GAIN, rng, *each).exp()
    moved = moved + _uniform(-_OFFSET, _OFFSET, rng, *each)
    noise = torch.randn(moved.shape, generator=rng) * _uniform(0, _NOISE, rng, *each)
    return (moved + noise).clamp(0, 1)


def _uniform(low: float, high: float, rng: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=rng) * (high - low) + low


def _affines(count: int, rng: torch.Generator) -> torch.Tensor:
    angle = _uniform(-_ROTATION, _ROTATION, rng, count)
    scale = _uniform(-_SCALE, _SCALE, rng, count).exp()
    mirror = (torch.rand(count, generator=rng) - 0.5).sign()
    shift = _uniform(-_SHIFT, _SHIFT, rng, count, 2)
    across = [mirror * scale * angle.cos(), -scale * angle.sin(), shift[:, 0]]
    down = [mirror * scale * angle.sin(), scale * angle.cos(), shift[:, 1]]
    return torch.stack([torch.stack(across, 1), torch.stack(down, 1)], 1)
