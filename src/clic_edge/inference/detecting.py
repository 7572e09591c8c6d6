"""From a detector's boxes on the network's picture to what lies where on the image."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.prediction import Detection
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Geometry
    from clic_edge.inference.framing import Framing
    from clic_edge.inference.image_input import Detectable

ANY = -1
"""In the shape of an output: as many as there are, or none."""
COLUMNS = 6
"""Of a row: x0, y0, x1, y1 in the network's pixels, probability, and which kind, from 0."""


def detections_of(
    declared: Sequence[Detectable],
    boxes: NDArray[np.float32],
    *,
    framing: Framing,
    geometry: Geometry,
) -> tuple[Detection, ...]:
    """Return what reaches its threshold, the surest first, on the image's own grid.

    `boxes` has shape (n, 6), as `COLUMNS` says. A box that has no extent is a point.

    Raises
    ------
    Defect
        ``network-detections``: a probability is outside of 0 to 1, a box ends before it begins,
        or is of a kind that the package does not declare.

    """
    x0, y0, x1, y1, probability, kind = boxes.T
    known = np.isin(kind, np.arange(len(declared)))
    if not (known & (probability >= 0) & (probability <= 1) & (x0 <= x1) & (y0 <= y1)).all():
        raise Defect(
            "network-detections",
            "The network returned a box that ends before it begins, a probability outside of "
            "0 to 1, or a kind that the package does not declare.",
        )
    return tuple(_told(declared, boxes, framing=framing, geometry=geometry))


def _told(
    declared: Sequence[Detectable],
    boxes: NDArray[np.float32],
    *,
    framing: Framing,
    geometry: Geometry,
) -> Iterator[Detection]:
    counts: Counter[str] = Counter()
    for x0, y0, x1, y1, probability, kind in sorted(boxes.tolist(), key=lambda one: -one[4]):
        what = declared[int(kind)]
        if probability < what.threshold:
            continue
        counts[what.name] += 1
        first, last = framing.point_in_source(x0, y0), framing.point_in_source(x1, y1)
        corners = (first,) if first == last else (first, last)
        yield Detection(
            name=f"{what.name} {counts[what.name]}",
            label=what.label,
            finding=what.finding,
            site=what.site,
            probability=float(probability),
            corners_mm=tuple(_place(corner, geometry) for corner in corners),
        )


def _place(corner: tuple[float, float], geometry: Geometry) -> tuple[float, float, float]:
    """Return where a corner lies; the grid counts from the middle of the first pixel."""
    column, row = corner
    x, y, z, _ = (geometry.affine @ [0.0, row - 0.5, column - 0.5, 1.0]).tolist()
    return x, y, z
