"""The numbers of a classifier's validation, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.validation import answers
from clic_edge.validation.answers import Bin, Difference, Estimate, NetBenefit
from clic_edge.validation.groups import SMALLEST_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.validation.report import RefusedCase

Numbers = Mapping[str, Estimate]
"""Estimates by the name of their metric."""
BINARY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredCase:
    """One image: places of the right answer and of the given one, and all probabilities."""

    name: str
    truth: int
    found: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerReport:
    """What `validate` found of a package that answers one question of each image."""

    model: ModelIdentity
    selection: str
    """Which cases were taken, in words."""
    device: str
    class_names: tuple[str, ...]
    positive: int
    """Place of the answer that sensitivity speaks of, where there are two."""
    cases: tuple[AnsweredCase, ...]
    refused: tuple[RefusedCase, ...] = ()
    groups: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Names of cases by column and value."""

    @cached_property
    def truth(self) -> NDArray[np.intp]:
        """Places of the right answers, case by case."""
        return np.array([one.truth for one in self.cases], np.intp)

    @cached_property
    def found(self) -> NDArray[np.intp]:
        """Places of the answers that the model chose at its operating point."""
        return np.array([one.found for one in self.cases], np.intp)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Shape (cases, classes)."""
        found = np.array([one.probabilities for one in self.cases], np.float64)
        return found.reshape(len(self.cases), len(self.class_names))

    @property
    def is_binary(self) -> bool:
        """Whether there are two answers."""
        return len(self.class_names) == BINARY

    @property
    def confusion(self) -> NDArray[np.intp]:
        """How often each truth (row) was answered how (column)."""
        return answers.confusion(
            self.truth.tolist(), self.found.tolist(), classes=len(self.class_names)
        )

    def of_group(self, names: Collection[str]) -> AnswerReport:
        """Return the report on some of the cases only."""
        chosen = tuple(case for case in self.cases if case.name in names)
        return replace(self, cases=chosen, refused=(), groups={})

    def said(self) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return what calibration compares: of two answers the positive one, else the likeliest."""
        if self.is_binary:
            return self.truth == self.positive, self.probabilities[:, self.positive]
        return self.probabilities.argmax(1) == self.truth, self.probabilities.max(1)

    def metrics(self) -> Numbers:
        """Return the numbers of the whole: see ``docs/how-to/validate-a-model.md``."""
        right, n = self.found == self.truth, len(self.cases)
        so, said = self.said()
        numbers = {"accuracy": answers.proportion(int(right.sum()), n)}
        if self.is_binary:
            numbers |= self._of_class(self.positive)
        else:
            numbers["auroc"] = self._resampled(_mean_area)
            numbers["quadratic_kappa"] = self._resampled(_kappa)
        return numbers | {
            "brier": _of_draws(answers.brier, so=so, said=said),
            "expected_calibration_error": _of_draws(
                answers.expected_calibration_error, so=so, said=said
            ),
        }

    def classes(self) -> Mapping[str, Numbers]:
        """Return the numbers of each answer against all others."""
        return {name: self._of_class(place) for place, name in enumerate(self.class_names)}

    def calibration(self) -> tuple[Bin, ...]:
        """Return what was said, and what was so."""
        return answers.calibration(*self.said())

    def decision_curve(self) -> tuple[NetBenefit, ...]:
        """Return the net benefit of the positive answer; nothing where there are more than two."""
        return answers.decision_curve(*self.said()) if self.is_binary else ()

    def against(self, other: AnswerReport) -> Mapping[str, Difference]:
        """Return how another model's numbers on the same cases differ from this one's."""
        right = [one.found == one.truth for one in (self, other)]
        differences = {"accuracy": answers.compare_right(*right)}
        for place, name in enumerate(self.class_names):
            scores = (one.probabilities[:, place] for one in (self, other))
            differences[f"auroc of {name}"] = answers.compare_auroc(self.truth == place, *scores)
        return differences

    def to_json(self, against: AnswerReport | None = None) -> str:
        """Return the report as JSON: ``metrics.<metric>.value`` with ``low`` and ``high``.

        With `against`, the report of another model on the same cases, also how the two differ.
        """
        content: dict[str, object] = {
            "model": asdict(self.model),
            "selection": self.selection,
            "device": self.device,
            **self._numbers(),
            "confusion": {"classes": self.class_names, "rows": self.confusion.tolist()},
            "calibration": [asdict(one) for one in self.calibration()],
            "decision_curve": [asdict(one) for one in self.decision_curve()],
            "cases": [
                {
                    "name": case.name,
                    "truth": self.class_names[case.truth],
                    "found": self.class_names[case.found],
                    "probabilities": dict(zip(self.class_names, case.probabilities, strict=True)),
                }
                for case in self.cases
            ],
            "refused": [asdict(case) for case in self.refused],
        }
        if self.groups:
            content["subgroups"] = {
                column: {
                    value: self.of_group(names)._numbers()  # noqa: SLF001 - its own kind
                    | {"too_small": len(names) < SMALLEST_GROUP}
                    for value, names in values.items()
                }
                for column, values in self.groups.items()
            }
        if against is not None:
            content["against"] = {
                "model": asdict(against.model),
                "metrics": {name: asdict(one) for name, one in self.against(against).items()},
            }
        return json.dumps(content, indent=1) + "\n"

    def _numbers(self) -> dict[str, object]:
        return {
            "n": len(self.cases),
            "metrics": {name: asdict(one) for name, one in self.metrics().items()},
            "classes": {
                name: {metric: asdict(one) for metric, one in numbers.items()}
                for name, numbers in self.classes().items()
            },
        }

    def _of_class(self, place: int) -> dict[str, Estimate]:
        so, said, found = self.truth == place, self.probabilities[:, place], self.found == place
        return {
            "auroc": answers.auroc(so, said),
            "auprc": _of_draws(answers.average_precision, so=so, said=said),
            "sensitivity": answers.proportion(int((found & so).sum()), int(so.sum())),
            "specificity": answers.proportion(int((~found & ~so).sum()), int((~so).sum())),
        }

    def _resampled(self, statistic: Callable[[_Drawn], float | None]) -> Estimate:
        def of(places: NDArray[np.intp]) -> float | None:
            return statistic(
                _Drawn(
                    truth=self.truth[places],
                    found=self.found[places],
                    probabilities=self.probabilities[places],
                )
            )

        n = len(self.cases)
        return answers.resampled(of, n, value=of(np.arange(n)) if n else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    truth: NDArray[np.intp]
    found: NDArray[np.intp]
    probabilities: NDArray[np.float64]


def _of_draws(
    statistic: Callable[[NDArray[np.bool_], NDArray[np.float64]], float | None],
    *,
    so: NDArray[np.bool_],
    said: NDArray[np.float64],
) -> Estimate:
    def of(places: NDArray[np.intp]) -> float | None:
        return statistic(so[places], said[places]) if len(places) else None

    return answers.resampled(of, len(so), value=of(np.arange(len(so))))


def _mean_area(drawn: _Drawn) -> float | None:
    """Return the mean over the answers of the area against all others, as MedMNIST has it."""
    areas = []
    for place, said in enumerate(drawn.probabilities.T):
        so = drawn.truth == place
        if so.all() or not so.any():
            return None
        areas.append(answers.area_under(so, said))
    return float(np.mean(areas))


def _kappa(drawn: _Drawn) -> float | None:
    classes = drawn.probabilities.shape[1]
    return answers.quadratic_kappa(
        answers.confusion(drawn.truth.tolist(), drawn.found.tolist(), classes=classes)
    )
