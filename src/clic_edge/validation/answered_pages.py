"""A classifier's validation on a page: tables, and the curves that are read beside them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from clic_edge.validation.groups import SMALLEST_GROUP
from clic_edge.validation.pages import Page, Section, difference, opening_lines, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes

    from clic_edge.validation.answered import AnswerReport

    Panel = Callable[[Axes, AnswerReport], None]

TITLES = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "quadratic_kappa": "kappa, quadratic weights",
    "brier": "Brier score",
    "expected_calibration_error": "expected calibration error",
}
_METHODS = (
    "95 % intervals: of shares exact (Clopper-Pearson), of areas under ROC curves by DeLong's "
    "method, of the rest by resampling the cases (2000 bootstrap draws)."
)


def page_of_answers(report: AnswerReport, against: AnswerReport | None = None) -> Page:
    """Return what a classifier's validation says, in words, tables and curves."""
    model = report.model
    point = model.operating_point
    return Page(
        title=f"Validation of {model.model_id} {model.version}",
        lines=(
            *opening_lines(model, report.selection, report.device),
            *([f"Operating point: {point.name}, {point.threshold}."] if point else []),
            _METHODS,
            *(f"{one.name} was refused: {one.reason}" for one in report.refused),
        ),
        tables=tuple(_sections(report, against)),
        picture=plot_answers(report),
        picture_title="Curves",
        picture_words="ROC curve, calibration and decision curve, or the confusion matrix",
    )


def plot_answers(report: AnswerReport) -> bytes:
    """Return a PNG: of two answers ROC, calibration and decision curve; else confusion and calibration."""
    panels = (_roc, _calibration, _decision) if report.is_binary else (_confusion, _calibration)
    figure = Figure(figsize=(4.2 * len(panels), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, draw in zip(figure.subplots(1, len(panels)), panels, strict=True):
        if report.cases:
            draw(axes, report)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()


def _sections(report: AnswerReport, against: AnswerReport | None) -> Iterator[Section]:
    yield Section(title=f"All {len(report.cases)} cases", rows=_whole(report))
    yield Section(title="Each answer against all others", rows=_by_class(report))
    yield Section(title="Truth (rows) and answers (columns)", rows=_table(report))
    for column, values in report.groups.items():
        for value, names in values.items():
            few = ": too few to conclude from" if len(names) < SMALLEST_GROUP else ""
            title = f"{column} {value}, {len(names)} cases{few}"
            yield Section(title=title, rows=_whole(report.of_group(names)))
    if against:
        other = against.model
        yield Section(
            title=f"{other.model_id} {other.version} less {report.model.version}, same cases",
            rows=(
                ("metric", "difference"),
                *(
                    (
                        name,
                        difference(one.value, (one.low, one.high), digits=3, p_value=one.p_value),
                    )
                    for name, one in report.against(against).items()
                ),
            ),
        )


def _whole(report: AnswerReport) -> tuple[tuple[str, ...], ...]:
    numbers = report.metrics()
    return (
        ("metric", "value", "cases"),
        *((TITLES[name], told(one), str(one.n)) for name, one in numbers.items()),
    )


def _by_class(report: AnswerReport) -> tuple[tuple[str, ...], ...]:
    metrics = ("auroc", "auprc", "sensitivity", "specificity")
    return (
        ("answer", *(TITLES[name] for name in metrics)),
        *(
            (name, *(told(numbers[metric]) for metric in metrics))
            for name, numbers in report.classes().items()
        ),
    )


def _table(report: AnswerReport) -> tuple[tuple[str, ...], ...]:
    rows = zip(report.class_names, report.confusion.tolist(), strict=True)
    return (("", *report.class_names), *((name, *map(str, counts)) for name, counts in rows))


def _roc(axes: Axes, report: AnswerReport) -> None:
    so, said = report.said()
    order = np.argsort(-said, kind="stable")
    last_of_ties = np.append(np.diff(said[order]) != 0, True)
    ends = []
    for kind in (~so, so):
        found = np.cumsum(kind[order])[last_of_ties]
        ends.append(np.append(0, found / max(int(kind.sum()), 1)))
    axes.plot(*ends, color="tab:blue")
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--")
    numbers = report.metrics()
    point = (numbers["specificity"].value, numbers["sensitivity"].value)
    if None not in point:
        axes.plot(1 - (point[0] or 0), point[1] or 0, "o", color="black")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, operating point")


def _calibration(axes: Axes, report: AnswerReport) -> None:
    bins = [
        (one.mean_probability, one.observed, one.n)
        for one in report.calibration()
        if one.mean_probability is not None and one.observed is not None
    ]
    said, observed, counts = (np.array(column) for column in zip(*bins, strict=True))
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--")
    axes.scatter(said, observed, s=8 + 200 * counts / counts.sum(), color="tab:blue")
    axes.plot(said, observed, color="tab:blue")
    axes.set(xlabel="probability said", ylabel="share that was so", title="Calibration")
    axes.set(xlim=(0, 1), ylim=(0, 1))


def _decision(axes: Axes, report: AnswerReport) -> None:
    points = report.decision_curve()
    thresholds = [one.threshold for one in points]
    axes.plot(thresholds, [one.model for one in points], color="tab:blue", label="model")
    axes.plot(thresholds, [one.treat_all for one in points], color="0.4", label="all")
    axes.axhline(0, color="0.6", linestyle="--", label="nobody")
    top = max(one.model for one in points)
    axes.set(xlabel="threshold", ylabel="net benefit", title="Decision curve")
    axes.set_ylim(-0.1, max(top, 0.1) * 1.2)
    axes.legend(fontsize="small")


def _confusion(axes: Axes, report: AnswerReport) -> None:
    table = report.confusion
    axes.imshow(table / np.maximum(table.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*table.shape):
        axes.text(column, row, str(table[row, column]), ha="center", va="center")
    places = range(len(report.class_names))
    axes.set_xticks(places, report.class_names, rotation=45, ha="right")
    axes.set_yticks(places, report.class_names)
    axes.set(xlabel="answer", ylabel="truth", title="Confusion")
