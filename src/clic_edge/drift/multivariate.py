"""How whole rows differ: distances in the space of many features, or of a network's layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

SEED = 20261121
PERMUTATIONS = 200
MOST_ROWS = 500
"""Of either side of a maximum mean discrepancy: the kernel grows with their square."""
USUAL = 0.99
"""Of the reference lies within the radius."""
_FOLDS = 10
_LEAST_SHRINKAGE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """The maximum mean discrepancy of two samples."""

    squared: float
    """Unbiased estimate, so below zero half of the time where nothing differs."""
    p_value: float
    """By permutation; never 0."""


def mmd(reference: Numbers, window: Numbers, *, permutations: int = PERMUTATIONS) -> Discrepancy:
    """Return how two samples of rows differ, with a Gaussian kernel at the median distance.

    Of more than `MOST_ROWS` rows a side is a sample, the same at each call (Gretton et al.,
    J Mach Learn Res 2012, 13:723-773). Shapes (n, features), no NaN, at least two rows each.
    """
    rng = np.random.default_rng(SEED)
    first, second = (at_most(rows, rng, most=MOST_ROWS) for rows in (reference, window))
    together = np.concatenate([first, second])
    squares = cdist(together, together, "sqeuclidean")
    upper = squares[np.triu_indices(len(squares), 1)]
    kernel = np.exp(-squares / max(float(np.median(upper)), np.finfo(float).tiny))
    np.fill_diagonal(kernel, 0.0)
    sides = np.zeros((len(together), permutations + 1))
    sides[: len(first), 0] = 1
    for column in range(1, permutations + 1):
        sides[rng.permutation(len(together))[: len(first)], column] = 1
    found = _squared(kernel, sides, (len(first), len(second)))
    rank = 1 + int((found[1:] >= found[0]).sum())
    return Discrepancy(squared=float(found[0]), p_value=rank / (permutations + 1))


def at_most(rows: Numbers, rng: np.random.Generator, *, most: int) -> Numbers:
    """Return the rows, or `most` of them in their order where there are more."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.sort(rng.choice(len(rows), most, replace=False))])


def _squared(kernel: Numbers, sides: Numbers, sizes: tuple[int, int]) -> Numbers:
    """Return the estimate for each column of `sides`, which is 1 for the rows of the first."""
    n, m = sizes
    to_first = kernel @ sides
    within_first = (sides * to_first).sum(axis=0)
    between = ((1 - sides) * to_first).sum(axis=0)
    within_second = kernel.sum() - within_first - 2 * between
    return np.asarray(
        within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * between / (n * m)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Where a reference lies in the space of its features, and how far out a row is."""

    centre: Numbers = field(repr=False)
    precision: Numbers = field(repr=False)
    radius: float
    """Mahalanobis distance within which `USUAL` of the reference lies."""

    @classmethod
    def of(cls, reference: Numbers) -> Self:
        """Return the cloud of rows without NaN, of shape (n, features).

        The covariance is shrunk towards its diagonal as far as its own uncertainty demands
        (Ledoit and Wolf, J Multivar Anal 2004, 88:365-411), so that it can be inverted with more
        features than rows. The radius is that of rows which were left out, a tenth at a time: a
        row pulls the cloud to itself.
        """
        fold_of = np.arange(len(reference)) % _FOLDS
        left_out = [
            _squares(reference[fold_of == fold], *_centred(reference[fold_of != fold]))
            for fold in range(_FOLDS)
        ]
        # Weibull's quantile is the one beyond which a new row lies as often as it says.
        squared = np.quantile(np.concatenate(left_out), USUAL, method="weibull")
        radius = float(np.sqrt(squared))
        centre, precision = _centred(reference)
        return cls(centre=centre, precision=precision, radius=radius)

    def distances(self, rows: Numbers) -> Numbers:
        """Return the Mahalanobis distance of each row; NaN where a row has a NaN."""
        return np.sqrt(_squares(rows, self.centre, self.precision))


def _centred(rows: Numbers) -> tuple[Numbers, Numbers]:
    """Return the centre of rows, and their precision matrix."""
    centre = np.asarray(rows.mean(axis=0))
    return centre, np.asarray(np.linalg.inv(shrunk(rows - centre)))


def _squares(rows: Numbers, centre: Numbers, precision: Numbers) -> Numbers:
    out = rows - centre
    return np.asarray((out @ precision * out).sum(axis=1))


def shrunk(centred: Numbers) -> Numbers:
    """Return the covariance of rows about 0, shrunk as far as its own uncertainty demands.

    Ledoit and Wolf, J Multivar Anal 2004, 88:365-411: it can be inverted with few rows too.
    """
    n, features = centred.shape
    covariance = centred.T @ centred / n
    target = max(float(np.trace(covariance)) / features, np.finfo(float).eps) * np.eye(features)
    distance = float(((covariance - target) ** 2).sum())
    noise = float(((centred**2).T @ (centred**2) / n - covariance**2).sum()) / n
    # At least a little: of numbers that say the same, such as voxels and volume, there is no inverse.
    weight = min(1.0, max(_LEAST_SHRINKAGE, noise / distance)) if distance > 0 else 1.0
    return np.asarray(weight * target + (1 - weight) * covariance)
