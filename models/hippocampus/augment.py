"""Random changes that a hippocampus and a scanner could have made; batches of torch tensors."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

Batch = tuple[torch.Tensor, torch.Tensor]

_ROTATION = math.radians(15)
_SCALE = 0.15
_ELASTIC = 0.04
"""Standard deviation of the displacement at the coarse nodes; the field of view is 2 wide."""


def augment(images: torch.Tensor, labels: torch.Tensor, rng: torch.Generator) -> Batch:
    """Return a random variant of each image (n, 1, x, y, z) and label map (n, x, y, z).

    The first spatial axis runs from left to right: mirroring it makes the other hippocampus.
    """
    images, labels = _mirror(images, labels, rng)
    images, labels = _deform(images, labels, rng)
    return _recolour(images, rng), labels


def _uniform(shape: tuple[int, ...], low: float, high: float, rng: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=rng) * (high - low) + low


def _chosen(count: int, probability: float, rng: torch.Generator) -> torch.Tensor:
    return (torch.rand(count, generator=rng) < probability).view(-1, 1, 1, 1, 1)


def _mirror(images: torch.Tensor, labels: torch.Tensor, rng: torch.Generator) -> Batch:
    chosen = _chosen(len(images), 0.5, rng)
    mirrored = torch.where(chosen[..., 0], labels.flip(1), labels)
    return torch.where(chosen, images.flip(2), images), mirrored


def _deform(images: torch.Tensor, labels: torch.Tensor, rng: torch.Generator) -> Batch:
    count, size = len(images), images.shape[2:]
    grid = functional.affine_grid(_affines(count, rng), [count, 1, *size], align_corners=False)
    nodes = torch.randn((count, 3, 5, 6, 5), generator=rng) * _ELASTIC
    nodes = nodes * _chosen(count, 0.5, rng)
    bend = functional.interpolate(nodes, size=size, mode="trilinear", align_corners=True)
    grid = grid + bend.permute(0, 2, 3, 4, 1)
    one_hot = functional.one_hot(labels, 3).movedim(-1, 1)[:, 1:].to(images.dtype)
    warped = functional.grid_sample(torch.cat([images, one_hot], 1), grid, align_corners=False)
    background = 1 - warped[:, 1:].sum(1, keepdim=True)
    return warped[:, :1], torch.cat([background, warped[:, 1:]], 1).argmax(1)


def _affines(count: int, rng: torch.Generator) -> torch.Tensor:
    angles = _uniform((count, 3), -_ROTATION, _ROTATION, rng)
    scales = 1 + _uniform((count, 3), -_SCALE, _SCALE, rng)
    shifts = _uniform((count, 3, 1), -0.08, 0.08, rng)
    matrices = torch.diag_embed(scales)
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3).repeat(count, 1, 1)
        turn[:, first, first] = turn[:, second, second] = angles[:, axis].cos()
        turn[:, first, second] = -angles[:, axis].sin()
        turn[:, second, first] = angles[:, axis].sin()
        matrices = matrices @ turn
    return torch.cat([matrices, shifts], 2)


def _recolour(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    count, size = len(images), images.shape[2:]
    nodes = torch.randn((count, 1, 3, 3, 3), generator=rng) * 0.15
    field = functional.interpolate(nodes, size=size, mode="trilinear", align_corners=True)
    images = torch.where(_chosen(count, 0.3, rng), images + field * (images + 2), images)

    low, high = images.amin((2, 3, 4), keepdim=True), images.amax((2, 3, 4), keepdim=True)
    span = (high - low).clamp_min(1e-6)
    gamma = _uniform((count, 1, 1, 1, 1), -0.4, 0.4, rng).exp()
    curved = ((images - low) / span) ** gamma * span + low
    images = torch.where(_chosen(count, 0.5, rng), curved, images)

    blurred = functional.avg_pool3d(functional.pad(images, (1,) * 6, mode="replicate"), 3, 1)
    share = _uniform((count, 1, 1, 1, 1), 0, 1, rng) * _chosen(count, 0.3, rng)
    images = torch.lerp(images, blurred, share)

    noise = torch.randn(images.shape, generator=rng) * _uniform((count, 1, 1, 1, 1), 0, 0.2, rng)
    images = images + noise * _chosen(count, 0.4, rng)
    gain = 1 + _uniform((count, 1, 1, 1, 1), -0.15, 0.15, rng)
    return images * gain + _uniform((count, 1, 1, 1, 1), -0.15, 0.15, rng)
