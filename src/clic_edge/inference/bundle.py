"""Runs a package that holds a MONAI bundle, with the bundle's own transforms and inferer.

A bundle's configuration is a program: what begins with ``$`` is evaluated. So MONAI is imported,
and the bundle read, in a confined process alone; decision 0017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.confined.wire import Message
from clic_edge.inference.labelling import mean_by_label
from clic_edge.inference.package import load_package
from clic_edge.inference.predicting import Answer, PackageRuntime
from clic_edge.inference.resident import Resident, require_extra
from clic_edge.inference.site import HERE, Site
from clic_edge.inference.volume_files import LPS_TO_RAS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Volume
    from clic_edge.inference.package import ModelPackage
    from clic_edge.inference.transforms import NetworkGrid

PARTS = ("configs/inference.json", "configs/metadata.json")
WEIGHTS = ("models/model.ts", "models/model.pt")
SAME_PLACE_MM = 1e-3
_LARGEST_VOXEL = 5
"""Bytes of the answer for each voxel: a label and a probability."""
_AFFINE_BYTES = 16 * 8


class BundleRuntime(PackageRuntime):
    """A package whose `weights` is the folder of a MONAI bundle."""

    @classmethod
    def load(cls, folder: Path, site: Site = HERE) -> Self:
        """Return a runtime for the package in `folder`.

        Raises
        ------
        ConfigError
            As `TorchScriptRuntime.load`; a part of the bundle is missing (``model-incomplete``).
        Defect
            Its files changed since their digests were written, or it does not load.

        """
        package = load_package(folder)
        _require_parts(package.weights_path)
        require_extra("monai", "monai")
        bundle = _Bundle(package, site)
        package.verify()
        return cls(package, bundle)


class _Bundle:
    """A bundle that a confined process holds."""

    def __init__(self, package: ModelPackage, site: Site) -> None:
        self._segments = len(package.declaration.segments)
        root = package.weights_path.resolve()
        self._process = Resident(
            "bundle", str(root), str(self._segments + 1), reads=(root,), site=site
        )
        self.device = self._process.begin()

    def __call__(
        self,
        voxels: NDArray[np.generic],
        volume: Volume,
        *,
        grid: NetworkGrid,  # noqa: ARG002 - a bundle lays out the voxels itself
    ) -> Answer:
        """Return the answer, as `Answering` says.

        Raises
        ------
        Defect
            As `Resident.ask`; ``network-shape``, ``network-not-finite``; as `on_grid`.

        """
        affine = LPS_TO_RAS @ volume.geometry.affine
        answer = self._process.ask(
            Message(word="volume", arrays=(voxels, affine)),
            most_bytes=_LARGEST_VOXEL * voxels.size + _AFFINE_BYTES,
        )
        if answer.word == "shape":
            raise Defect("network-shape", "The network returned other channels than declared.")
        if answer.word == "not-finite":
            raise Defect("network-not-finite", "The network returned values that are no numbers.")
        labels, probability, where = _parts_of(answer)
        on_grid(labels, affine=where, volume=volume, segments=self._segments)
        return Answer(
            label_map=labels,
            mean_probability=mean_by_label(probability, labels, classes=self._segments + 1),
            forward_seconds=answer.seconds,
        )


def on_grid(
    labels: NDArray[np.generic], *, affine: NDArray[np.generic], volume: Volume, segments: int
) -> None:
    """Return where a label map that came from elsewhere lies on the volume's own grid.

    `affine` is where it says that it lies, in RAS as NIfTI has it.

    Raises
    ------
    Defect
        ``runtime-grid``: another shape or place; ``runtime-labels``: a value that no segment has.

    """
    wanted = LPS_TO_RAS @ volume.geometry.affine
    if labels.shape != volume.geometry.shape or not np.allclose(affine, wanted, atol=SAME_PLACE_MM):
        raise Defect("runtime-grid", "The model's label map does not lie on the volume's grid.")
    if labels.max() > segments:
        raise Defect("runtime-labels", f"The model's label map goes beyond {segments}.")


def _parts_of(
    answer: Message,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.generic]]:
    """Return labels, their probability and where they lie: what a process may say is more."""
    kinds = [str(array.dtype) for array in answer.arrays]
    if kinds != ["uint8", "float32", "float64"]:
        raise Defect("runtime-labels", "The model's process answers what is no label map.")
    labels, probability, where = answer.arrays
    if probability.shape != labels.shape or where.shape != (4, 4):
        raise Defect("runtime-grid", "The model's label map does not lie on the volume's grid.")
    sure = probability.astype(np.float32)
    if not np.isfinite(sure).all():
        raise Defect("network-not-finite", "The network returned values that are no numbers.")
    return labels.astype(np.uint8), sure, where


def _require_parts(root: Path) -> None:
    missing = [part for part in PARTS if not (root / part).is_file()]
    if not any((root / part).is_file() for part in WEIGHTS):
        missing.append(" or ".join(WEIGHTS))
    if missing:
        raise ConfigError("model-incomplete", f"{root} is no MONAI bundle: no {missing[0]}.")
