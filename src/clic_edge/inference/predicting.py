"""What is common to all runtimes: from a loaded package and a volume to a prediction.

```
PackageRuntime.predict     gate ▶ answer ▶ findings and measurements    (here)
└── Answering              volume in, label map out, on the volume's own grid
    └── windowed.Windowed  grid ▶ steps ▶ windows ▶ softmax ▶ label map
        └── Network        windows in, logits out: the part that each runtime brings
```

A runtime that runs a network brings a `windowed.Network`; one that does everything itself, such
as a bundle with transforms of its own, brings an `Answering`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from clic_edge.domain.prediction import Prediction, SegmentFinding
from clic_edge.domain.volume import Volume
from clic_edge.inference.gate import admit
from clic_edge.inference.limits import Adjustable
from clic_edge.inference.measuring import measure
from clic_edge.inference.transforms import laid_out, oriented

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.image import Image, InputKind
    from clic_edge.domain.prediction import ModelIdentity, SegmentDefinition
    from clic_edge.domain.slide import Slide
    from clic_edge.domain.volume import Geometry
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.limits import Limits
    from clic_edge.inference.package import ModelPackage
    from clic_edge.inference.transforms import NetworkGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model says of one volume, on the volume's own grid."""

    label_map: NDArray[np.uint8] = field(repr=False)
    """Shape (slices, rows, columns); 0 is background."""
    mean_probability: tuple[float, ...]
    """Of each label, background first, over the voxels that have it; 0 where none has."""
    forward_seconds: float
    """Wall time of the forward passes alone, as far as the runtime can tell."""
    embedding: tuple[float, ...] = ()
    """As `Prediction.embedding`."""


class Answering(Protocol):
    """A model that is ready to run."""

    @property
    def device(self) -> str:
        """``cuda``, ``cpu``, or the name of the server that runs it."""
        ...

    def __call__(self, voxels: NDArray[np.generic], volume: Volume, *, grid: NetworkGrid) -> Answer:
        """Return the answer for `voxels`, the volume's in the quantity that is declared.

        Safe to call from several threads. Raises Defect where the model fails.
        """
        ...


class LoadedPackage:
    """A package that was verified and loaded, and what any runtime tells of it."""

    def __init__(self, package: ModelPackage) -> None:
        self.package = package
        self._stamps = package.stamps()

    @property
    def model(self) -> ModelIdentity:
        """Which model this is, as it was verified when it was loaded."""
        return self.package.identity

    @property
    def needs(self) -> frozenset[str]:
        """The fields of `Acquisition` that the package declares."""
        return self.package.declaration.needs

    @property
    def takes(self) -> InputKind:
        """Whether it looks at volumes, images or slides."""
        return self.package.declaration.kind

    def require_unchanged(self) -> None:
        """Return where every file is as it was loaded. Raises Defect ``model-changed``."""
        stamps = self.package.stamps()
        if stamps != self._stamps:
            self.package.verify()
            self._stamps = stamps


class PackageRuntime(LoadedPackage):
    """A package for volumes and its model, loaded once: `Runtime` for whatever answers."""

    def __init__(self, package: ModelPackage, answering: Answering) -> None:
        """Take both. Raises ConfigError ``model-for-images`` and the like for another kind."""
        declared = package.declaration
        if declared.volume is None:  # known now, and not when the first case comes
            raise declared.is_for(declared.kind)
        super().__init__(package)
        self._answering = answering

    def within(self, limits: Limits) -> Self:
        """Return the same model within limits, as far as what answers can keep to them."""
        other = copy(self)
        if isinstance(self._answering, Adjustable):
            other._answering = self._answering.within(limits)  # noqa: SLF001 - a copy of itself
        return other

    @property
    def device(self) -> str:
        """Where the model runs, as `Answering.device` says."""
        return self._answering.device

    def predict(self, seen: Volume | Image | Slide, /) -> Prediction:
        """Return what the model finds, as `Runtime.predict` says."""
        declared = self.package.declaration
        if not isinstance(seen, Volume):
            raise declared.is_for(self.takes)
        voxels, grid = admitted(seen, declared)
        self.require_unchanged()
        answer = self._answering(voxels, seen, grid=grid)
        answer.label_map.flags.writeable = False
        return Prediction(
            model=self.package.identity,
            geometry=seen.geometry,
            label_map=answer.label_map,
            segments=_findings(declared, seen.geometry, voxels=voxels, answer=answer),
            device=self.device,
            forward_seconds=answer.forward_seconds,
            embedding=answer.embedding,
        )


def admitted(volume: Volume, declared: Declaration) -> tuple[NDArray[np.generic], NetworkGrid]:
    """Return the voxels in the quantity that is declared, and the network's grid for them.

    Training goes through here too. Raises Refusal as `admit` and `laid_out`.
    """
    admit(volume, oriented(volume.geometry, declared.input.orientation), declared)
    voxels = in_quantity(volume, declared.input.quantity)
    return voxels, laid_out(voxels, volume.geometry, declared.input)


def in_quantity(volume: Volume, quantity: str | None) -> NDArray[np.generic]:
    """Return the voxels in what the network was trained on; `admit` has seen that it is known."""
    factor = volume.acquisition.suv_bw_factor
    if quantity is None or factor is None:
        return volume.voxels
    converted: NDArray[np.float32] = volume.voxels.astype(np.float32) * np.float32(factor)
    return converted


def _findings(
    declared: Declaration,
    geometry: Geometry,
    *,
    voxels: NDArray[np.generic],
    answer: Answer,
) -> tuple[SegmentFinding, ...]:
    return tuple(
        _finding(segment, geometry, voxels=voxels, answer=answer, declared=declared)
        for segment in declared.segments
    )


def _finding(
    segment: SegmentDefinition,
    geometry: Geometry,
    *,
    voxels: NDArray[np.generic],
    answer: Answer,
    declared: Declaration,
) -> SegmentFinding:
    mask = answer.label_map == segment.number
    count = int(np.count_nonzero(mask))
    return SegmentFinding(
        definition=segment,
        voxel_count=count,
        volume_mm3=count * geometry.voxel_volume_mm3,
        mean_probability=answer.mean_probability[segment.number],
        measurements=measure(voxels, mask, geometry, kinds=declared.measurements),
    )
