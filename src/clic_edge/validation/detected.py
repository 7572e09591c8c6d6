"""The numbers of a detector's validation, their JSON, and the page of them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from clic_edge.validation.answers import Estimate, resampled_together
from clic_edge.validation.froc import RATES, curve, score, sensitivity_at
from clic_edge.validation.groups import SMALLEST_GROUP
from clic_edge.validation.pages import Page, Section, opening_lines, told

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.validation.froc import DetectedCase, FrocPoint
    from clic_edge.validation.report import RefusedCase

Numbers = Mapping[str, Estimate]
TITLES = {
    "sensitivity": "sensitivity, every find counted",
    "false_per_image": "false finds an image",
    "precision": "share of finds that hit",
    "froc_score": "mean sensitivity at 1/8 to 8 false finds an image",
    **{f"sensitivity_at_{rate:g}": f"sensitivity at {rate:g} false finds" for rate in RATES},
}
_METHODS = (
    "A find hits when its middle lies in a reference box of its kind. 95 % intervals by "
    "resampling the images (2000 bootstrap draws). The curve ends where the package's thresholds "
    "end it."
)


@dataclass(frozen=True, kw_only=True)
class DetectionReport:
    """What `validate` found of a package that says where in an image something is."""

    model: ModelIdentity
    selection: str
    """Which cases were taken, in words."""
    device: str
    class_names: tuple[str, ...]
    """Kinds of what is looked for."""
    cases: tuple[DetectedCase, ...]
    refused: tuple[RefusedCase, ...] = ()
    groups: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Names of cases by column and value."""

    def of_group(self, names: Collection[str]) -> DetectionReport:
        """Return the report on some of the cases only."""
        chosen = tuple(case for case in self.cases if case.name in names)
        return replace(self, cases=chosen, refused=(), groups={})

    def metrics(self) -> Numbers:
        """Return the numbers of all kinds together."""
        return _numbers(self.cases)

    def classes(self) -> Mapping[str, Numbers]:
        """Return the numbers of each kind."""
        return {
            name: _numbers([case.of_kind(name) for case in self.cases]) for name in self.class_names
        }

    def froc(self) -> tuple[FrocPoint, ...]:
        """Return the curve of all kinds together."""
        return curve(self.cases)

    def against(self, other: DetectionReport) -> Numbers:
        """Return the other model's numbers less this one's, resampled over the same images."""
        theirs = {one.name: one for one in other.cases}

        def of(places: NDArray[np.intp]) -> dict[str, float | None]:
            chosen = [self.cases[place] for place in places]
            before = _values(chosen)
            after = _values([theirs[one.name] for one in chosen])
            return {name: _less(value, before[name]) for name, value in after.items()}

        return resampled_together(of, len(self.cases))

    def to_json(self, against: DetectionReport | None = None) -> str:
        """Return the report as JSON: ``metrics.<metric>.value`` with ``low`` and ``high``."""
        content: dict[str, object] = {
            "model": asdict(self.model),
            "selection": self.selection,
            "device": self.device,
            **_content(self),
            "froc": [asdict(one) for one in self.froc()],
            "cases": [asdict(one) for one in self.cases],
            "refused": [asdict(one) for one in self.refused],
        }
        if self.groups:
            content["subgroups"] = {
                column: {
                    value: _content(self.of_group(names))
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


def _content(report: DetectionReport) -> dict[str, object]:
    return {
        "n": len(report.cases),
        "boxes": sum(len(one.there) for one in report.cases),
        "metrics": {name: asdict(one) for name, one in report.metrics().items()},
        "classes": {
            name: {metric: asdict(one) for metric, one in numbers.items()}
            for name, numbers in report.classes().items()
        },
    }


def _values(cases: Sequence[DetectedCase]) -> dict[str, float | None]:
    """Return the number of each metric; None where the images have none."""
    there = sum(len(one.there) for one in cases)
    hits = [find.hit for one in cases for find in one.finds]
    points = curve(cases)
    at = {
        f"sensitivity_at_{rate:g}": sensitivity_at(points, rate) if there else None
        for rate in RATES
    }
    return {
        "sensitivity": sum(hits) / there if there else None,
        "false_per_image": (len(hits) - sum(hits)) / len(cases) if cases else None,
        "precision": sum(hits) / len(hits) if hits else None,
        "froc_score": score(points) if there else None,
        **at,
    }


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _numbers(cases: Sequence[DetectedCase]) -> Numbers:
    def of(places: NDArray[np.intp]) -> dict[str, float | None]:
        return _values([cases[place] for place in places])

    return resampled_together(of, len(cases))


def page_of_detections(report: DetectionReport, against: DetectionReport | None = None) -> Page:
    """Return what a detector's validation says, in words, tables and the curve."""
    model = report.model
    return Page(
        title=f"Validation of {model.model_id} {model.version}",
        lines=(
            *opening_lines(model, report.selection, report.device),
            _METHODS,
            *(f"{one.name} was refused: {one.reason}" for one in report.refused),
        ),
        tables=tuple(_sections(report, against)),
        picture=plot_froc(report),
        picture_title="Free-response ROC",
        picture_words="Sensitivity over false finds an image",
    )


def plot_froc(report: DetectionReport) -> bytes:
    """Return a PNG of sensitivity over false finds an image, the latter logarithmic."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    least = RATES[0] / 2
    points = report.froc()
    across = [max(one.false_per_image, least) for one in points]
    axes.step(across, [one.sensitivity for one in points], where="post", color="tab:blue")
    axes.set_xscale("log", base=2)
    axes.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    axes.set(xlim=(least, RATES[-1]), ylim=(0, 1.02))
    axes.set(xlabel="false finds an image", ylabel="sensitivity", title="FROC")
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()


def _sections(report: DetectionReport, against: DetectionReport | None) -> Iterator[Section]:
    boxes = sum(len(one.there) for one in report.cases)
    yield Section(title=f"All {len(report.cases)} images, {boxes} boxes", rows=_rows(report))
    if len(report.class_names) > 1:
        for name, numbers in report.classes().items():
            yield Section(title=name, rows=_table(numbers))
    for column, values in report.groups.items():
        for value, names in values.items():
            few = ": too few to conclude from" if len(names) < SMALLEST_GROUP else ""
            title = f"{column} {value}, {len(names)} images{few}"
            yield Section(title=title, rows=_rows(report.of_group(names)))
    if against:
        other = against.model
        yield Section(
            title=f"{other.model_id} {other.version} less {report.model.version}, same images",
            rows=_table(report.against(against)),
        )


def _rows(report: DetectionReport) -> tuple[tuple[str, ...], ...]:
    return _table(report.metrics())


def _table(numbers: Numbers) -> tuple[tuple[str, ...], ...]:
    return (("metric", "value"), *((TITLES[name], told(one)) for name, one in numbers.items()))
