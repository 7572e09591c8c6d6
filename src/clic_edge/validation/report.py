"""The numbers of a validation, case by case and in all, and their JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.validation.metrics import Agreement

METRICS = ("dice", "hd95_mm", "volume_error_mm3", "volume_error_percent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One metric of one class over all cases; None where no case has a value."""

    n: int
    """Cases that have a value."""
    mean: float | None
    sd: float | None
    """Sample standard deviation; None for fewer than two cases."""
    median: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAgreement:
    """One case: its classes in the order of the package."""

    name: str
    classes: tuple[Agreement, ...]


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

    def values(self, class_name: str, metric: str) -> tuple[float | None, ...]:
        """Return one metric of one class, case by case."""
        index = self.class_names.index(class_name)
        return tuple(getattr(case.classes[index], metric) for case in self.cases)

    def summary(self, class_name: str, metric: str) -> Summary:
        """Return one metric of one class over the cases that have it."""
        values = [value for value in self.values(class_name, metric) if value is not None]
        if not values:
            return Summary(n=0, mean=None, sd=None, median=None, min=None, max=None)
        return Summary(
            n=len(values),
            mean=statistics.fmean(values),
            sd=statistics.stdev(values) if len(values) > 1 else None,
            median=statistics.median(values),
            min=min(values),
            max=max(values),
        )

    def to_json(self) -> str:
        """Return the report as JSON: ``classes.<name>.<metric>.mean`` and so on."""
        content = {
            "model": asdict(self.model),
            "selection": self.selection,
            "device": self.device,
            "n": len(self.cases),
            "classes": {
                name: {metric: asdict(self.summary(name, metric)) for metric in METRICS}
                for name in self.class_names
            },
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
        return json.dumps(content, indent=1) + "\n"
