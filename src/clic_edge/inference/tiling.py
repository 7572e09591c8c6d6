"""A package for slides: from one slide to a score for each tile, whatever runs the network.

```
SlideRuntime.predict   gate ▶ tissue ▶ grid of tiles ▶ tiles in batches ▶ network ▶ scores, marks
└── Seeing             a batch of tiles in, scores out: what a runtime brings
```

The prediction lies on the grid of the tiles: its label map says which tiles were looked at (1), and
which of those the first score marks (2); each score is a map.
"""

from __future__ import annotations

import threading
import time
from copy import copy
from typing import TYPE_CHECKING, Self

import numpy as np

from clic_edge.domain.overview import overview
from clic_edge.domain.prediction import (
    AREA,
    SQUARE_MILLIMETRE,
    Code,
    Measurement,
    ParametricMap,
    Prediction,
    SegmentFinding,
)
from clic_edge.domain.slide import Slide
from clic_edge.errors import Defect, Refusal
from clic_edge.inference.categories import sigmoid
from clic_edge.inference.gate import admit_acquisition
from clic_edge.inference.intensity import prepare
from clic_edge.inference.limits import Limits, on_device
from clic_edge.inference.predicting import LoadedPackage
from clic_edge.inference.slide_grid import tile_grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clic_edge.domain.image import Image
    from clic_edge.domain.volume import Geometry, Volume
    from clic_edge.inference.looking import Seeing
    from clic_edge.inference.package import ModelPackage
    from clic_edge.inference.slide_grid import TileGrid
    from clic_edge.inference.tile_input import TileInput

    Places = NDArray[np.int64]
    """Row and column of tiles, shape (n, 2)."""
    Scores = NDArray[np.float32]
    """Shape (scores, rows, columns) of the grid; 0 where nothing was looked at."""

TISSUE, MARKED = 1, 2
TISSUE_AREA = Code(value="TISSUEAREA", scheme="99CLICEDGE", meaning="Area of tissue")
MEAN = Code(value="373098007", scheme="SCT", meaning="Mean")
MAXIMUM = Code(value="56851009", scheme="SCT", meaning="Maximum")


class SlideRuntime(LoadedPackage):
    """A package for slides and its network: `Runtime` for whatever sees.

    One slide at a time runs, the others wait. A batch of tiles, and the slide from afar, are all
    that is in memory of its pixels.
    """

    def __init__(self, package: ModelPackage, seeing: Seeing) -> None:
        """Take both, after the network was seen to fit what the package declares.

        Raises Defect ``network-failed``, ``network-shape`` or ``network-not-finite``.
        """
        super().__init__(package)
        self._seeing = seeing
        self._one_at_a_time = threading.Lock()
        self._limits = Limits()
        size = package.declaration.slides.size
        self._scores(np.zeros((1, 3, size, size), np.float32))

    def within(self, limits: Limits) -> Self:
        """Return the same network, and the same turn to wait for, within limits."""
        other = copy(self)
        other._limits = limits  # noqa: SLF001 - a copy of itself
        other._seeing = on_device(self._seeing, limits.device)  # noqa: SLF001 - as above
        return other

    @property
    def device(self) -> str:
        """Where the network runs, as `Seeing.device` says."""
        return self._seeing.device

    def predict(self, seen: Volume | Image | Slide, /) -> Prediction:
        """Return what the model finds, as `Runtime.predict` says.

        Raises Refusal ``slide-too-coarse``, ``no-tissue``, ``modality-unsupported``; as
        `admit_acquisition`.
        """
        if not isinstance(seen, Slide):
            raise self.package.declaration.is_for(self.takes)
        declared = self.package.declaration.slides
        self._admit(seen)
        grid = tile_grid(
            seen, spacing_mm=declared.spacing_mm, size=declared.size, stride=declared.stride
        )
        tissue = declared.tissue.apply(overview(seen.levels, declared.tissue.spacing_mm))
        share = tissue_share(tissue, grid, spacing_mm=declared.tissue.spacing_mm)
        looked_at = share >= declared.tissue_share
        if not looked_at.any():
            raise Refusal("no-tissue", "There is no tissue on the slide that can be looked at.")
        self.require_unchanged()
        begin = time.perf_counter()
        scores = self._scored(grid, looked_at, declared)
        seconds = time.perf_counter() - begin
        area = float(np.count_nonzero(tissue)) * declared.tissue.spacing_mm**2
        return self._prediction(grid.geometry, scores, looked_at, area_mm2=area, seconds=seconds)

    def _admit(self, slide: Slide) -> None:
        admit_acquisition(slide.acquisition, self.package.declaration)
        if slide.acquisition.modality != "SM":
            raise Refusal("modality-unsupported", "The series is not SM, which this model needs.")

    def _scored(self, grid: TileGrid, looked_at: NDArray[np.bool_], declared: TileInput) -> Scores:
        scores = np.zeros((len(declared.scores), *grid.shape), np.float32)
        batch, clock = self._limits.batch or declared.batch, self._limits.clock
        places = np.argwhere(looked_at)
        with self._one_at_a_time, clock.running(self._seeing):
            for first in range(0, len(places), batch):
                clock.check()
                some = places[first : first + batch]
                scores[:, some[:, 0], some[:, 1]] = self._scores(tiles_seen(grid, some, declared)).T
        return scores

    def _scores(self, tiles: NDArray[np.float32]) -> Scores:
        """Return shape (tiles, scores), of the shape that the package declares, all finite."""
        declared = self.package.declaration.slides
        found = self._seeing.outputs(tiles)
        expected = (len(tiles), len(declared.scores))
        if len(found) == 1:  # what the only output is called says nothing
            found = {"scores": next(iter(found.values()))}
        given = found.get("scores")
        if given is None or given.shape != expected:
            shape = "nothing" if given is None else given.shape
            raise Defect(
                "network-shape", f"The network returned {shape} as 'scores', not {expected}."
            )
        if not np.isfinite(given).all():
            raise Defect("network-not-finite", "The network returned values that are no numbers.")
        scores = given.copy()
        for k, one in enumerate(declared.scores):
            if one.activation == "sigmoid":
                scores[:, k] = sigmoid(scores[:, k])
        return scores

    def _prediction(
        self,
        geometry: Geometry,
        scores: Scores,
        looked_at: NDArray[np.bool_],
        *,
        area_mm2: float,
        seconds: float,
    ) -> Prediction:
        declaration = self.package.declaration
        labels = np.where(looked_at, np.uint8(TISSUE), np.uint8(0))[np.newaxis]
        point = declaration.operating_point
        if point and len(declaration.segments) == MARKED:
            labels[0][looked_at & (scores[0] >= point.threshold)] = MARKED
        labels.flags.writeable = scores.flags.writeable = False
        cell = geometry.spacing_mm[1] * geometry.spacing_mm[2]
        numbers = tuple(self._summary(scores, looked_at))
        return Prediction(
            model=self.model,
            geometry=geometry,
            label_map=labels,
            segments=tuple(
                SegmentFinding(
                    definition=one,
                    voxel_count=(count := int(np.count_nonzero(labels == one.number))),
                    volume_mm3=0.0,
                    mean_probability=0.0,
                    measurements=(_tissue(area_mm2), *numbers)
                    if one.number == TISSUE
                    else (_area(count * cell),),
                )
                for one in declaration.segments
            ),
            device=self.device,
            forward_seconds=seconds,
            maps=tuple(
                ParametricMap(
                    name=one.name,
                    label=one.label,
                    quantity=one.quantity,
                    unit=one.unit,
                    values=scores[k][np.newaxis],
                )
                for k, one in enumerate(declaration.slides.scores)
            ),
        )

    def _summary(self, scores: Scores, looked_at: NDArray[np.bool_]) -> Iterator[Measurement]:
        """Yield mean and maximum of each score over the tiles that were looked at."""
        for one, values in zip(self.package.declaration.slides.scores, scores, strict=True):
            inside = values[looked_at].astype(np.float64)
            for derivation, value in ((MEAN, inside.mean()), (MAXIMUM, inside.max())):
                yield Measurement(
                    name=one.quantity, value=float(value), unit=one.unit, derivation=derivation
                )


def _tissue(square_mm: float) -> Measurement:
    """Return how much tissue there is, whether or not its tiles were looked at."""
    return Measurement(name=TISSUE_AREA, value=square_mm, unit=SQUARE_MILLIMETRE)


def _area(square_mm: float) -> Measurement:
    return Measurement(name=AREA, value=square_mm, unit=SQUARE_MILLIMETRE)


def tiles_seen(grid: TileGrid, places: Places, declared: TileInput) -> NDArray[np.float32]:
    """Return what the network sees of some tiles: (tiles, 3, rows, columns)."""
    size = declared.size
    seen = np.empty((len(places), 3, size, size), np.float32)
    for k, (row, column) in enumerate(places.tolist()):
        tile = grid.read(row, column, pixels=size)
        seen[k] = prepare(tile, declared.intensity).transpose(2, 0, 1)
    return seen


def tissue_share(
    tissue: NDArray[np.bool_], grid: TileGrid, *, spacing_mm: float
) -> NDArray[np.float64]:
    """Return how much of each tile is tissue, shape of the grid; beyond the slide there is none."""
    summed = np.pad(np.cumsum(np.cumsum(tissue, 0, np.int64), 1, np.int64), ((1, 0), (1, 0)))
    edges = []
    for axis, count in enumerate(grid.shape):
        scale = grid.level.matrix.spacing_mm[axis] / spacing_mm
        first = np.arange(count) * grid.stride[axis] - grid.margin[axis]
        begin = np.floor(first * scale).astype(int)
        length = max(1, round(grid.size[axis] * scale))
        ends = [np.clip(one, 0, tissue.shape[axis]) for one in (begin, begin + length)]
        edges.append((*ends, length))
    (top, bottom, rows), (left, right, columns) = edges
    inside = (
        summed[np.ix_(bottom, right)]
        - summed[np.ix_(top, right)]
        - summed[np.ix_(bottom, left)]
        + summed[np.ix_(top, left)]
    )
    shares: NDArray[np.float64] = inside / (rows * columns)
    return shares
