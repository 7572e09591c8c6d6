"""Sealed cases of a package for slides: a picture of one level, and the answer that it had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.slide import Level, Matrix, Slide
from clic_edge.domain.volume import Acquisition

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.domain.prediction import Prediction
    from clic_edge.inference.runtime import Runtime

_CLOSE = 1e-3
"""By how much a score may differ: other processors round another way."""


class PictureTiles:
    """`TileReader` of a picture that is in memory as a whole."""

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        self._picture = picture

    def __call__(self, column: int, row: int, *, columns: int, rows: int) -> NDArray[np.uint8]:
        """Return pixels as `TileReader` says."""
        pixels = np.full((rows, columns, 3), 255, np.uint8)
        left, top = max(column, 0), max(row, 0)
        part = self._picture[top : max(row + rows, 0), left : max(column + columns, 0)]
        top, left = top - row, left - column
        pixels[top : top + part.shape[0], left : left + part.shape[1]] = part
        pixels.flags.writeable = False
        return pixels


def picture_slide(picture: NDArray[np.uint8], spacing_mm: float) -> Slide:
    """Return a slide of one level that shows `picture`, shape (rows, columns, 3)."""
    matrix = Matrix(
        rows=picture.shape[0],
        columns=picture.shape[1],
        origin_mm=(0.0, 0.0, 0.0),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        spacing_mm=(spacing_mm, spacing_mm),
    )
    return Slide(
        levels=(Level(matrix=matrix, tiles=PictureTiles(picture), instance_index=0),),
        objective_power=None,
        acquisition=Acquisition(modality="SM"),
        subject_id="",
        series_uid="",
    )


def seal_slide(
    path: Path, picture: NDArray[np.uint8], *, spacing_mm: float, runtime: Runtime
) -> None:
    """Write a case with the answer that the package gives now; sign it again afterwards."""
    found = runtime.predict(picture_slide(picture, spacing_mm).narrowed(runtime.needs))
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        path,
        picture=picture,
        spacing_mm=np.float64(spacing_mm),
        label_map=found.label_map,
        scores=_scores(found),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSlide:
    """A case as it is read back; the fields are what the archive holds."""

    picture: NDArray[np.uint8]
    spacing_mm: NDArray[np.float64]
    label_map: NDArray[np.uint8]
    scores: NDArray[np.float32]

    def differing(self, runtime: Runtime) -> NDArray[np.bool_]:
        """Return which tiles are not what they were, shape of the label map; raises as the runtime."""
        slide = picture_slide(self.picture, float(self.spacing_mm))
        found = runtime.predict(slide.narrowed(runtime.needs))
        away = np.abs(_scores(found) - self.scores).max(axis=0)
        differs: NDArray[np.bool_] = (found.label_map != self.label_map) | (away > _CLOSE)
        return differs


def _scores(prediction: Prediction) -> NDArray[np.float32]:
    return np.stack([one.values for one in prediction.maps])
