"""Random changes that a patient and a scanner could have made; batches of torch tensors.

Every random number is drawn on the CPU from one generator: a run can be cut off and go on, and a
GPU sees the same changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from clic_edge.training.recipe import BiasField, Deform, Gain, Gamma, Mirror, Noise, Smooth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.training.recipe import AugmentStep

_NODES = 5
"""Along each axis, of the grid that bends a patch."""
_FIELD_NODES = 3
_BENT = 0.5
"""Share of patches that are bent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Patches and what a person drew on them."""

    images: torch.Tensor
    """Shape (n, 1, x, y, z), float32."""
    labels: torch.Tensor
    """Shape (n, x, y, z), int64."""

    def to(self, device: str) -> Batch:
        """Return the batch on a device."""
        return Batch(images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, slots=True)
class _Dice:
    """Draws for the patches of a batch, one number for each."""

    rng: torch.Generator
    images: torch.Tensor

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        drawn = torch.rand((len(self.images), *shape), generator=self.rng) * (high - low) + low
        return drawn.to(self.images.device)

    def normal(self, *shape: int) -> torch.Tensor:
        drawn = torch.randn((len(self.images), *shape), generator=self.rng)
        return drawn.to(self.images.device)

    def each(self, low: float, high: float) -> torch.Tensor:
        """Return a number for each patch, to be multiplied with it."""
        return self.uniform(low, high, 1, 1, 1, 1)

    def chosen(self, probability: float) -> torch.Tensor:
        return self.each(0, 1) < probability


def augment(
    batch: Batch, steps: Iterable[AugmentStep], rng: torch.Generator, *, classes: int
) -> Batch:
    """Return a random variant of each patch, by the steps in their order."""
    images, labels = batch.images, batch.labels
    for step in steps:
        dice = _Dice(rng, images)
        match step:
            case Mirror():
                images, labels = _mirror(step, images, labels, dice=dice)
            case Deform():
                images, labels = _deform(step, images, labels, dice=dice, classes=classes)
            case _:
                images = _recolour(step, images, dice)
    return Batch(images=images, labels=labels)


def _mirror(
    step: Mirror, images: torch.Tensor, labels: torch.Tensor, *, dice: _Dice
) -> tuple[torch.Tensor, torch.Tensor]:
    for axis in ("xyz".index(one) + 1 for one in step.axes):
        chosen = dice.chosen(step.probability)
        labels = torch.where(chosen[..., 0], labels.flip(axis), labels)
        images = torch.where(chosen, images.flip(axis + 1), images)
    return images, labels


def _deform(
    step: Deform, images: torch.Tensor, labels: torch.Tensor, *, dice: _Dice, classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    size = list(images.shape[2:])
    grid = functional.affine_grid(
        _affines(step, dice), [len(images), 1, *size], align_corners=False
    )
    if step.bend:
        nodes = dice.normal(3, _NODES, _NODES, _NODES) * step.bend * dice.chosen(_BENT)
        bend = functional.interpolate(nodes, size=size, mode="trilinear", align_corners=True)
        grid = grid + bend.permute(0, 2, 3, 4, 1)
    one_hot = functional.one_hot(labels, classes).movedim(-1, 1)[:, 1:].to(images.dtype)
    warped = functional.grid_sample(torch.cat([images, one_hot], 1), grid, align_corners=False)
    background = 1 - warped[:, 1:].sum(1, keepdim=True)
    return warped[:, :1], torch.cat([background, warped[:, 1:]], 1).argmax(1)


def _affines(step: Deform, dice: _Dice) -> torch.Tensor:
    matrices = torch.diag_embed(1 + dice.uniform(-step.scale, step.scale, 3))
    for axis, degrees in enumerate(step.rotation_deg):
        angles = dice.uniform(-math.radians(degrees), math.radians(degrees))
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3, device=angles.device).repeat(len(angles), 1, 1)
        turn[:, first, first] = turn[:, second, second] = angles.cos()
        turn[:, first, second] = -angles.sin()
        turn[:, second, first] = angles.sin()
        matrices = matrices @ turn
    return torch.cat([matrices, dice.uniform(-step.shift, step.shift, 3, 1)], 2)


def _recolour(
    step: BiasField | Gamma | Smooth | Noise | Gain, images: torch.Tensor, dice: _Dice
) -> torch.Tensor:
    match step:
        case BiasField():
            changed = _shaded(step, images, dice)
        case Gamma():
            changed = _curved(step, images, dice)
        case Smooth():
            blurred = functional.avg_pool3d(_padded(images), 3, 1)
            changed = torch.lerp(images, blurred, dice.each(step.low, step.high))
        case Noise():
            spread = (
                images.clamp_min(0).add(1e-4).sqrt() if step.counts else torch.ones_like(images)
            )
            drawn = dice.normal(*images.shape[1:]) * dice.each(0, step.deviation)
            changed = images + drawn * spread
        case Gain():
            factor = dice.each(-step.factor, step.factor) + 1
            return images * factor + dice.each(-step.offset, step.offset)
    return torch.where(dice.chosen(step.probability), changed, images)


def _shaded(step: BiasField, images: torch.Tensor, dice: _Dice) -> torch.Tensor:
    nodes = dice.normal(1, _FIELD_NODES, _FIELD_NODES, _FIELD_NODES) * step.deviation
    size = list(images.shape[2:])
    field = functional.interpolate(nodes, size=size, mode="trilinear", align_corners=True)
    return images + field * (images - step.around)


def _curved(step: Gamma, images: torch.Tensor, dice: _Dice) -> torch.Tensor:
    low, high = images.amin((2, 3, 4), keepdim=True), images.amax((2, 3, 4), keepdim=True)
    span = (high - low).clamp_min(1e-6)
    exponent = dice.each(-step.log_range, step.log_range).exp()
    return ((images - low) / span) ** exponent * span + low


def _padded(images: torch.Tensor) -> torch.Tensor:
    return functional.pad(images, (1,) * 6, mode="replicate")
