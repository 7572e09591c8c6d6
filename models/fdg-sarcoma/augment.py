"""Random changes that a tumour, a patient and a scanner could have made; batches of tensors."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

Batch = tuple[torch.Tensor, torch.Tensor]

_ROTATION = tuple(math.radians(angle) for angle in (10, 10, 30))
"""Greatest angle about each axis; a limb lies along the last one, and is turned most."""
_SCALE = 0.2
_SHIFT = 0.1
_ELASTIC = 0.04
"""Standard deviation of the displacement at the coarse nodes; the field of view is 2 wide."""


def augment(images: torch.Tensor, labels: torch.Tensor, rng: torch.Generator) -> Batch:
    """Return a random variant of each image (n, 1, x, y, z) and label map (n, x, y, z)."""
    images, labels = _mirror(images, labels, rng)
    images, labels = _deform(images, labels, rng)
    return _recolour(images, rng), labels


def _uniform(shape: tuple[int, ...], low: float, high: float, rng: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=rng) * (high - low) + low


def _chosen(count: int, probability: float, rng: torch.Generator) -> torch.Tensor:
    return (torch.rand(count, generator=rng) < probability).view(-1, 1, 1, 1, 1)


def _mirror(images: torch.Tensor, labels: torch.Tensor, rng: torch.Generator) -> Batch:
    for axis in (1, 2, 3):
        chosen = _chosen(len(images), 0.5, rng)
        labels = torch.where(chosen[..., 0], labels.flip(axis), labels)
        images = torch.where(chosen, images.flip(axis + 1), images)
    return images, labels


def _deform(images: torch.Tensor, labels: torch.Tensor, rng: torch.Generator) -> Batch:
    count, size = len(images), images.shape[2:]
    grid = functional.affine_grid(_affines(count, rng), [count, 1, *size], align_corners=False)
    nodes = torch.randn((count, 3, 5, 5, 5), generator=rng) * _ELASTIC
    nodes = nodes * _chosen(count, 0.5, rng)
    bend = functional.interpolate(nodes, size=size, mode="trilinear", align_corners=True)
    grid = grid + bend.permute(0, 2, 3, 4, 1)
    both = torch.cat([images, labels[:, None].to(images.dtype)], 1)
    warped = functional.grid_sample(both, grid, align_corners=False)
    return warped[:, :1], warped[:, 1].round().to(labels.dtype)


def _affines(count: int, rng: torch.Generator) -> torch.Tensor:
    scales = 1 + _uniform((count, 3), -_SCALE, _SCALE, rng)
    shifts = _uniform((count, 3, 1), -_SHIFT, _SHIFT, rng)
    matrices = torch.diag_embed(scales)
    for axis in range(3):
        angles = _uniform((count,), -_ROTATION[axis], _ROTATION[axis], rng)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3).repeat(count, 1, 1)
        turn[:, first, first] = turn[:, second, second] = angles.cos()
        turn[:, first, second] = -angles.sin()
        turn[:, second, first] = angles.sin()
        matrices = matrices @ turn
    return torch.cat([matrices, shifts], 2)


def _recolour(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    count = len(images)
    blurred = functional.avg_pool3d(functional.pad(images, (1,) * 6, mode="replicate"), 3, 1)
    share = _uniform((count, 1, 1, 1, 1), -0.3, 0.8, rng) * _chosen(count, 0.4, rng)
    images = torch.lerp(images, blurred, share).clamp_min(0)

    # Counts scatter with the square root of the activity.
    noise = torch.randn(images.shape, generator=rng) * (images + 1e-4).sqrt()
    images = images + noise * _uniform((count, 1, 1, 1, 1), 0, 0.03, rng)

    gamma = _uniform((count, 1, 1, 1, 1), -0.2, 0.2, rng).exp()
    curved = images.clamp(0, 1) ** gamma * 0.1 ** (1 - gamma)
    images = torch.where(_chosen(count, 0.4, rng), curved, images)

    gain = _uniform((count, 1, 1, 1, 1), -0.3, 0.3, rng).exp()
    return (images * gain).clamp(0, 1)
