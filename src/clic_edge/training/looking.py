"""What a network that is still learning finds, by the product's own way from volume to label map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from clic_edge.inference.predicting import admitted
from clic_edge.inference.windowed import Windowed
from clic_edge.validation.metrics import dice

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from clic_edge.inference.declaration import Declaration
    from clic_edge.validation.folder import LabelledVolume


class TorchNetwork:
    """A torch network where a runtime's would be."""

    def __init__(self, network: nn.Module, device: str) -> None:
        self._network = network.eval()
        self._device = device

    @property
    def device(self) -> str:
        """``cuda`` or ``cpu``."""
        return self._device

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits (n, classes, x, y, z) of windows (n, 1, x, y, z)."""
        with torch.inference_mode():
            logits = self._network(torch.from_numpy(windows).to(self._device))
        found: NDArray[np.float32] = logits.float().cpu().numpy()
        return found


def mean_dice(
    network: TorchNetwork, cases: Iterable[LabelledVolume], declared: Declaration
) -> tuple[float | None, ...]:
    """Return the mean Dice of each segment over the cases; None where no case has the segment."""
    answering = Windowed(network, declared)
    columns: list[list[float]] = [[] for _ in declared.segments]
    for case in cases:
        voxels, grid = admitted(case.volume, declared)
        labels = answering(voxels, case.volume, grid=grid).label_map
        for number, column in enumerate(columns, start=1):
            value = dice(labels == number, case.reference == number)
            column.extend([] if value is None else [value])
    return tuple(sum(column) / len(column) if column else None for column in columns)
