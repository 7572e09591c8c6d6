"""Can a classifier tell a window from its reference? Where it can't, nothing has drifted.

The classifier is Fisher's linear discriminant by least squares, with the covariance shrunk. What
it says of the rows left out of a fold is linear in the labels, so that all permutations of them
are refitted by one product of matrices, and the p-value is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.drift.multivariate import MOST_ROWS, PERMUTATIONS, SEED, at_most, shrunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How well a classifier tells two samples apart."""

    auc: float
    """Of rows that it was not fitted to: 0.5 where nothing differs, 1 where everything does."""
    p_value: float
    """By permutation, each fitted anew; never 0."""


def separation(
    reference: Numbers, window: Numbers, *, permutations: int = PERMUTATIONS
) -> Separation:
    """Return the cross-validated AUC of window against reference (Lopez-Paz and Oquab, ICLR 2017).

    Of more than `MOST_ROWS` rows a side is a sample, the same at each call. Shapes (n, features),
    no NaN, at least two rows of each side in every fold.
    """
    rng = np.random.default_rng(SEED)
    sides = [at_most(rows, rng, most=MOST_ROWS) for rows in (reference, window)]
    rows = np.concatenate(sides)
    labels = np.zeros((len(rows), permutations + 1))
    labels[len(sides[0]) :, 0] = 1
    for column in range(1, permutations + 1):
        labels[:, column] = rng.permutation(labels[:, 0])
    # The folds do not look at the labels, or a permutation would not be like the truth.
    fold_of = rng.permutation(len(rows)) % FOLDS
    aucs = np.array([_fold(rows, labels, left_out=fold_of == fold) for fold in range(FOLDS)])
    found = np.nanmean(aucs, axis=0)
    rank = 1 + int((found[1:] >= found[0]).sum())
    return Separation(auc=float(found[0]), p_value=rank / (permutations + 1))


def _fold(rows: Numbers, labels: Numbers, *, left_out: NDArray[np.bool_]) -> Numbers:
    """Return the AUC of the rows left out, for each column of labels; NaN where one side lacks."""
    from scipy.stats import rankdata  # noqa: PLC0415 - slow to load

    fitted, centre = rows[~left_out], rows[~left_out].mean(axis=0)
    covariance = shrunk(fitted - centre)
    told = labels[~left_out]
    directions = np.linalg.solve(covariance, (fitted - centre).T @ (told - told.mean(axis=0)))
    ranks = rankdata((rows[left_out] - centre) @ directions, axis=0)
    theirs = labels[left_out]
    n = theirs.sum(axis=0)
    pairs = n * (len(theirs) - n)
    above = (ranks * theirs).sum(axis=0) - n * (n + 1) / 2
    return np.asarray(np.divide(above, pairs, out=np.full(len(n), np.nan), where=pairs > 0))
