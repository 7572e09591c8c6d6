"""Random cuts of a photograph as another eye, camera or exposure could have made them."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

_SCALE = 0.25
_CHANNEL_GAIN = 0.15
_GAMMA = 0.25
_NOISE = 0.02


def augment(
    image: torch.Tensor, drawn: torch.Tensor, cut: int, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a turned, scaled, mirrored, recoloured square (3, cut, cut) and its vessels."""
    both = torch.cat([image, drawn[None]])[None]
    piece = functional.grid_sample(both, _grid(image, cut, rng), align_corners=False)[0]
    return _recolour(piece[:3], rng), piece[3]


def _uniform(low: float, high: float, rng: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=rng) * (high - low) + low


def _grid(image: torch.Tensor, cut: int, rng: torch.Generator) -> torch.Tensor:
    angle = float(_uniform(-math.pi, math.pi, rng))
    scale = cut / image.shape[-1] * math.exp(float(_uniform(-_SCALE, _SCALE, rng)))
    mirror = 1 if torch.rand((), generator=rng).round() else -1
    place = _uniform(scale - 1, 1 - scale, rng, 2)
    matrix = torch.tensor(
        [
            [mirror * scale * math.cos(angle), -scale * math.sin(angle), float(place[0])],
            [mirror * scale * math.sin(angle), scale * math.cos(angle), float(place[1])],
        ]
    )
    return functional.affine_grid(matrix[None], [1, 1, cut, cut], align_corners=False)


def _recolour(piece: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    gain = torch.exp(_uniform(-_CHANNEL_GAIN, _CHANNEL_GAIN, rng, 3, 1, 1))
    gamma = torch.exp(_uniform(-_GAMMA, _GAMMA, rng))
    piece = (piece.clamp(0, 1) * gain) ** gamma
    return (piece + torch.randn(piece.shape, generator=rng) * _uniform(0, _NOISE, rng)).clamp(0, 1)
