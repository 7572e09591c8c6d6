"""The numbers of a validation, case by case and in all, and their JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from clic_edge.validation.groups import SMALLEST_GROUP
from clic_edge.validation.statistics import PairedDifference, interval_of_mean, paired

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.validation.metrics import Agreement, AreaAgreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of a case and class: an attribute of its agreement."""

    name: str
    title: str
    digits: int
    """Decimals that mean something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What is compared: volumes in space, or areas in a photograph's own pixels."""

    metrics: tuple[Metric, ...]
    size: str
    """Attribute of an agreement: what was found."""
    reference_size: str
    unit: str
    sizes: str
    """What sizes are called."""


VOLUMES = Measure(
    metrics=(
        Metric(name="dice", title="Dice", digits=3),
        Metric(name="hd95_mm", title="HD95, mm", digits=2),
        Metric(name="volume_error_mm3", title="volume error, mm³", digits=0),
        Metric(name="volume_error_percent", title="volume error, %", digits=1),
    ),
    size="volume_mm3",
    reference_size="reference_volume_mm3",
    unit="mm³",
    sizes="volumes",
)
OUTLINES = Measure(
    metrics=(
        Metric(name="dice", title="Dice", digits=3),
        Metric(name="sensitivity", title="sensitivity", digits=3),
        Metric(name="precision", title="precision", digits=3),
        Metric(name="area_error_percent", title="area error, %", digits=1),
    ),
    size="area_pixels",
    reference_size="reference_area_pixels",
    unit="pixels",
    sizes="areas",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One metric of one class over all cases; None where no case has a value."""

    n: int
    """Cases that have a value."""
    mean: float | None
    low: float | None
    high: float | None
    """Ends of the 95 % bootstrap interval of the mean; None for fewer than two cases."""
    sd: float | None
    """Sample standard deviation; None for fewer than two cases."""
    median: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAgreement:
    """One case: its classes in the order of the package."""

    name: str
    classes: tuple[Agreement | AreaAgreement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCase:
    """One case that the package does not take; it has no numbers."""

    name: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `validate` found."""

    model: ModelIdentity
    selection: str
    """Which cases were taken, in words."""
    device: str
    class_names: tuple[str, ...]
    cases: tuple[CaseAgreement, ...]
    refused: tuple[RefusedCase, ...]
    groups: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Names of cases by column of the table of subjects, then by its value."""
    measure: Measure = VOLUMES

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the numbers that each class has."""
        return tuple(one.name for one in self.measure.metrics)

    def of_group(self, names: Collection[str]) -> Report:
        """Return the report on some of the cases only."""
        chosen = tuple(case for case in self.cases if case.name in names)
        return replace(self, cases=chosen, refused=(), groups={})

    def values(self, class_name: str, metric: str) -> tuple[float | None, ...]:
        """Return one metric of one class, case by case."""
        index = self.class_names.index(class_name)
        return tuple(getattr(case.classes[index], metric) for case in self.cases)

    def summary(self, class_name: str, metric: str) -> Summary:
        """Return one metric of one class over the cases that have it."""
        values = [value for value in self.values(class_name, metric) if value is not None]
        if not values:
            return Summary(
                n=0, mean=None, low=None, high=None, sd=None, median=None, min=None, max=None
            )
        low, high = interval_of_mean(values)
        return Summary(
            n=len(values),
            mean=statistics.fmean(values),
            low=low,
            high=high,
            sd=statistics.stdev(values) if len(values) > 1 else None,
            median=statistics.median(values),
            min=min(values),
            max=max(values),
        )

    def against(self, other: Report, class_name: str, metric: str) -> PairedDifference:
        """Return how a metric of another model's report differs from this one's."""
        return paired(self.values(class_name, metric), other.values(class_name, metric))

    def numbers(self) -> dict[str, object]:
        """Return how many cases there are, and each metric of each class over them."""
        return {
            "n": len(self.cases),
            "classes": {
                name: {metric: asdict(self.summary(name, metric)) for metric in self.metrics}
                for name in self.class_names
            },
        }

    def to_json(self, against: Report | None = None) -> str:
        """Return the report as JSON: ``classes.<name>.<metric>.mean`` and so on.

        With `against`, the report of another model on the same cases, also how the two differ,
        case by case.
        """
        content: dict[str, object] = {
            "model": asdict(self.model),
            "selection": self.selection,
            "device": self.device,
            **self.numbers(),
            "cases": [
                {
                    "name": case.name,
                    "classes": {
                        name: asdict(agreement)
                        for name, agreement in zip(self.class_names, case.classes, strict=True)
                    },
                }
                for case in self.cases
            ],
            "refused": [asdict(case) for case in self.refused],
        }
        if self.groups:
            content["subgroups"] = {
                column: {
                    value: self.of_group(names).numbers()
                    | {"too_small": len(names) < SMALLEST_GROUP}
                    for value, names in values.items()
                }
                for column, values in self.groups.items()
            }
        if against is not None:
            content["against"] = {
                "model": asdict(against.model),
                "classes": {
                    name: {
                        metric: asdict(self.against(against, name, metric))
                        for metric in self.metrics
                    }
                    for name in self.class_names
                },
            }
        return json.dumps(content, indent=1) + "\n"
