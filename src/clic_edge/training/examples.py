"""Labelled cases as the network sees them: by the product's own code, so that nothing is skewed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.errors import ConfigError
from clic_edge.inference.predicting import admitted
from clic_edge.inference.windowed import seen_by_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.inference.declaration import Declaration
    from clic_edge.validation.folder import LabelledVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One case on the grid of the network; arrays are read-only, (x, y, z)."""

    name: str
    image: NDArray[np.float32] = field(repr=False)
    """What windows are cut from when the package runs."""
    label: NDArray[np.uint8] = field(repr=False)
    """Number of the segment."""


def example_of(case: LabelledVolume, declared: Declaration) -> Example:
    """Return a case as the package would see it.

    Raises
    ------
    Refusal
        The package would refuse the volume.
    ConfigError
        ``validation-label``: a label is no segment of the package.

    """
    classes = len(declared.segments) + 1
    if case.reference.max() >= classes:
        raise ConfigError(
            "validation-label", f"The label of {case.name} goes beyond {classes - 1}."
        )
    voxels, grid = admitted(case.volume, declared)
    image = seen_by_network(voxels, declared, grid=grid)
    # One by one, so that a segment's border lies where its share of a voxel passes the others'.
    shares = [grid.to_network(case.reference == number) for number in range(classes)]
    label = np.argmax(shares, axis=0).astype(np.uint8)
    for array in (image, label):
        array.flags.writeable = False
    return Example(name=case.name, image=image, label=label)
