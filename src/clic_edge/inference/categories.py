"""From a classifier's logits to answers: calibrated, and decided at the operating point."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.prediction import CategoryFinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from clic_edge.inference.image_input import Question

    Probabilities = NDArray[np.float64]


def categories_of(
    questions: Iterable[Question], logits: NDArray[np.float32]
) -> tuple[CategoryFinding, ...]:
    """Return every category of every question; `logits` are theirs, one after another."""
    return tuple(_answers(questions, np.asarray(logits, np.float64)))


def _answers(questions: Iterable[Question], logits: Probabilities) -> Iterator[CategoryFinding]:
    first = 0
    for question in questions:
        own = logits[first : first + question.logits] / question.temperature
        first += question.logits
        probabilities = _ACTIVATIONS[question.activation](own)
        chosen = _chosen(question, probabilities)
        for place, one in enumerate(question.categories):
            yield CategoryFinding(
                name=one.name,
                label=one.label,
                concept=question.concept,
                value=one.value,
                probability=float(probabilities[place]),
                chosen=place in chosen,
            )


def _softmax(logits: Probabilities) -> Probabilities:
    powers = np.exp(logits - logits.max())
    shares: Probabilities = powers / powers.sum()
    return shares


def sigmoid(logits: NDArray[np.floating]) -> Probabilities:
    """Return the probability that each logit stands for."""
    # Two forms of one function: neither exponent overflows.
    small = np.exp(-np.abs(logits))
    shares: Probabilities = np.where(logits >= 0, 1, small) / (1 + small)
    return shares


def _ordinal(logits: Probabilities) -> Probabilities:
    """Return how probable each grade is, from how probable it is to be above each.

    A grade can't be more probable to lie above 2 than above 1: what says so is held down.
    """
    above = np.minimum.accumulate(sigmoid(logits))
    return np.array([high - low for high, low in pairwise((1.0, *above.tolist(), 0.0))])


def _chosen(question: Question, probabilities: Probabilities) -> set[int]:
    """Return the places of the categories that are said to be so."""
    if question.activation == "ordinal":  # the median: half of it lies at or above
        above = 1 - np.cumsum(probabilities)[:-1]
        return {int(np.count_nonzero(above >= 0.5))}  # noqa: PLR2004 - a half
    thresholds = [one.threshold for one in question.categories]
    if question.activation == "sigmoid":
        return {k for k, p in enumerate(probabilities) if p >= (thresholds[k] or 0.5)}
    reached = [k for k, t in enumerate(thresholds) if t is not None and probabilities[k] >= t]
    others = [k for k, t in enumerate(thresholds) if t is None]
    return {max(reached or others, key=probabilities.__getitem__)}


_ACTIVATIONS = {"softmax": _softmax, "sigmoid": sigmoid, "ordinal": _ordinal}
