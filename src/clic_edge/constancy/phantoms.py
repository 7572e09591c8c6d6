"""The volumes of a protocol: made in code, taken from the sealed test set, or perturbed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.errors import ConfigError
from clic_edge.inference.testset import sealed_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.config.protocol import Case, Phantom, Protocol, Words
    from clic_edge.domain.volume import Acquisition

_TURN = math.radians(45)
_NOISE_SHARE = 0.1
_OTHER_PART = "LEG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A series that is not DICOM yet."""

    voxels: NDArray[np.float64] = field(repr=False)
    """Shape (slices, rows, columns)."""
    affine: NDArray[np.float64] = field(repr=False)
    """As `Geometry.affine`."""
    acquisition: Acquisition
    description: str
    body_part: str


def stacks(protocol: Protocol, package: Path) -> Mapping[str, Stack]:
    """Return the series of every case by name; the same protocol and package, the same series.

    Raises
    ------
    ConfigError
        ``no-sealed-volume``: the package has no such test case; as `sealed_volumes`.

    """
    made: dict[str, Stack] = {}
    sealed = dict(sealed_volumes(package))
    for case in protocol.cases:
        words = protocol.words(case)
        if case.like is not None:
            made[case.name] = _perturbed(made[case.like], case)
        elif case.phantom is not None:
            made[case.name] = _phantom(case.phantom, words)
        elif case.sealed in sealed:
            volume = sealed[case.sealed]
            made[case.name] = Stack(
                voxels=volume.voxels.astype(np.float64),
                affine=volume.geometry.affine,
                acquisition=volume.acquisition,
                description=words.description,
                body_part=words.body_part,
            )
        else:
            raise ConfigError(
                "no-sealed-volume",
                f"Case {case.name} of {protocol.name}: the package has no sealed volume "
                f"{case.sealed}; there is {', '.join(sealed) or 'none'}.",
            )
    return made


def _phantom(phantom: Phantom, words: Words) -> Stack:
    from clic_edge.domain.volume import Acquisition  # noqa: PLC0415 - named in annotations above

    at = np.moveaxis(np.indices(phantom.shape), 0, -1)
    voxels = np.full(phantom.shape, phantom.background, np.float64)
    for body in phantom.bodies:
        inside = (((at - np.array(body.centre)) / np.array(body.radii)) ** 2).sum(axis=-1) < 1
        voxels[inside] = body.value
    noise = np.random.default_rng(phantom.seed).normal(0, 1, phantom.shape)
    slices, rows, columns = phantom.spacing_mm
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = slices, rows, columns, 1
    return Stack(
        voxels=np.rint(voxels + phantom.noise * noise),
        affine=affine,
        acquisition=Acquisition(modality=phantom.modality, slice_thickness_mm=slices),
        description=words.description,
        body_part=words.body_part,
    )


def _perturbed(stack: Stack, case: Case) -> Stack:
    match case.perturb:
        case "turned":  # the header's axes, about the patient's left-right axis
            cosine, sine = math.cos(_TURN), math.sin(_TURN)
            turn = np.eye(4)
            turn[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
            return replace(stack, affine=turn @ stack.affine)
        case "mirrored":  # columns are stored from the other side, and the header says so
            flip = np.diag([1.0, 1.0, -1.0, 1.0])
            flip[2, 3] = stack.voxels.shape[2] - 1
            return replace(stack, voxels=stack.voxels[:, :, ::-1], affine=stack.affine @ flip)
        case "thicker":
            pairs = stack.voxels[: len(stack.voxels) // 2 * 2]
            voxels = np.rint((pairs[::2] + pairs[1::2]) / 2)
            double = np.diag([2.0, 1.0, 1.0, 1.0])
            double[0, 3] = 0.5
            return replace(stack, voxels=voxels, affine=stack.affine @ double)
        case "noisier":
            noise = np.random.default_rng(0).normal(0, 1, stack.voxels.shape)
            voxels = stack.voxels + _NOISE_SHARE * stack.voxels.std() * noise
            return replace(stack, voxels=np.clip(np.rint(voxels), stack.voxels.min(), None))
        case _:  # another part of the body
            return replace(stack, description=f"Constancy {_OTHER_PART}", body_part=_OTHER_PART)
