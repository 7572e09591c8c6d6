"""`clic-edge validate`: how well a model does on labelled cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from clic_edge.cli.console import note, stderr, table
from clic_edge.cli.granting import site_for
from clic_edge.cli.options import with_options
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import TaskID

    from clic_edge.validation.answered import AnswerReport
    from clic_edge.validation.detected import DetectionReport
    from clic_edge.validation.pages import Page
    from clic_edge.validation.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `validate` takes."""

    context: typer.Context
    package: Annotated[Path, typer.Argument(help="Folder of the model package.", metavar="PACKAGE")]
    data: Annotated[Path, typer.Option(help="Labelled cases, laid out as the guide says.")]
    out: Annotated[Path, typer.Option(help="JSON report; HTML, PDF and plot lie beside it.")]
    split: Annotated[
        Path | None, typer.Option(help="JSON file whose `validation` lists the cases to take.")
    ] = None
    subjects: Annotated[
        Path | None,
        typer.Option(help="CSV of subgroups: `name`, then sex, age band, scanner, site …"),
    ] = None
    against: Annotated[
        Path | None, typer.Option(help="Another package, compared case by case.")
    ] = None


@with_options(Options)
def validate(options: Options) -> None:
    """Compare a model with labelled cases: JSON, and HTML and PDF with the same name beside it.

    Cases that the model was trained on are left out. A package for images takes photographs with
    labels or outlines, any other volumes in NIfTI; `docs/how-to/validate-a-model.md` shows how
    they lie.

    Example: `clic-edge validate models/hippocampus --data DIR --out report.json`
    """
    from clic_edge.validation.answered import AnswerReport  # noqa: PLC0415 - slow to load
    from clic_edge.validation.detected import DetectionReport  # noqa: PLC0415 - as above
    from clic_edge.validation.report import Report  # noqa: PLC0415 - as above

    reports, out, against = [], options.out, options.against
    with Progress(console=stderr) as progress:
        for one in (options.package, against) if against else (options.package,):
            show = _shown(progress, progress.add_task(one.name, total=None))
            reports.append(_validated(one, options, show))
    report, other = reports[0], reports[1] if against else None
    out.parent.mkdir(parents=True, exist_ok=True)
    if other is not None and type(other) is not type(report):
        raise _unlike()
    match report, other:
        case Report(), Report() | None:
            _write_outlines(report, other, out)
        case AnswerReport(), AnswerReport() | None:
            _write_answers(report, other, out)
        case DetectionReport(), DetectionReport() | None:
            _write_detections(report, other, out)
    note(report.selection)
    for refused in report.refused:
        note(f"{refused.name} was refused: {refused.reason}")


def _validated(
    package: Path, options: Options, progress: Callable[[int, int], None]
) -> Report | AnswerReport | DetectionReport:
    from clic_edge.inference.package import load_package  # noqa: PLC0415 - slow to load
    from clic_edge.validation.validate import validate as compare  # noqa: PLC0415 - as above
    from clic_edge.validation.validate_images import validate_images  # noqa: PLC0415 - as above

    data, split, site = options.data, options.split, site_for(options.context, package)
    if load_package(package).declaration.image is None:
        return compare(
            package, data, split=split, subjects=options.subjects, progress=progress, site=site
        )
    if options.subjects:
        raise ConfigError(
            "validation-subjects",
            "Images have their subgroups in labels.csv; leave out --subjects.",
        )
    return validate_images(package, data, split=split, progress=progress, site=site)


def _write_outlines(report: Report, other: Report | None, out: Path) -> None:
    from clic_edge.validation.bland_altman import plot_bland_altman  # noqa: PLC0415 - slow to load
    from clic_edge.validation.pages import page_of  # noqa: PLC0415 - as above

    require_same_cases(report, other)
    picture = plot_bland_altman(report)
    _write(page_of(report, picture, other), report.to_json(other), out, plot="bland-altman")
    _show(report)


def _write_answers(report: AnswerReport, other: AnswerReport | None, out: Path) -> None:
    from clic_edge.validation.answered_pages import TITLES, page_of_answers  # noqa: PLC0415 - slow to load
    from clic_edge.validation.pages import told  # noqa: PLC0415 - as above

    require_same_cases(report, other)
    _write(page_of_answers(report, other), report.to_json(other), out, plot="curves")
    rows = [[TITLES[name], told(one)] for name, one in report.metrics().items()]
    table(f"{len(report.cases)} cases, with 95 % intervals", ("metric", "value"), rows)


def _write_detections(report: DetectionReport, other: DetectionReport | None, out: Path) -> None:
    from clic_edge.validation.detected import TITLES, page_of_detections  # noqa: PLC0415 - slow to load
    from clic_edge.validation.pages import told  # noqa: PLC0415 - as above

    require_same_cases(report, other)
    _write(page_of_detections(report, other), report.to_json(other), out, plot="froc")
    rows = [[TITLES[name], told(one)] for name, one in report.metrics().items()]
    table(f"{len(report.cases)} images, with 95 % intervals", ("metric", "value"), rows)


def _write(page: Page, content: str, out: Path, *, plot: str) -> None:
    from clic_edge.validation.pages import to_html, to_pdf  # noqa: PLC0415 - slow to load

    out.write_text(content)
    out.with_name(f"{out.stem}-{plot}.png").write_bytes(page.picture)
    out.with_suffix(".html").write_text(to_html(page), encoding="utf-8")
    out.with_suffix(".pdf").write_bytes(to_pdf(page))


def _shown(progress: Progress, bar: TaskID) -> Callable[[int, int], None]:
    return lambda done, total: progress.update(bar, completed=done, total=total)


def _unlike() -> ConfigError:
    return ConfigError(
        "validation-pairs",
        "The two packages don't take the same cases or name the same segments or answers; "
        "give both a --split, and compare what they have in common.",
    )


def require_same_cases(
    report: Report | AnswerReport | DetectionReport,
    other: Report | AnswerReport | DetectionReport | None,
) -> None:
    """Return where two models were asked the same. Raises ConfigError ``validation-pairs``."""
    if other is None:
        return
    same = [one.name for one in report.cases] == [one.name for one in other.cases]
    if not same or report.class_names != other.class_names:
        raise _unlike()


def _show(report: Report) -> None:
    rows = []
    for name in report.class_names:
        cells = [name]
        for metric in report.measure.metrics:
            summary = report.summary(name, metric.name)
            cells.append(
                "-"
                if summary.mean is None or summary.sd is None
                else f"{summary.mean:.{metric.digits}f} ± {summary.sd:.{metric.digits}f}"
            )
        rows.append(cells)
    columns = ("class", *(one.title for one in report.measure.metrics))
    table(f"{len(report.cases)} cases, mean ± sd", columns, rows)
