"""`clic-edge validate`: how well a model does on labelled cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from clic_edge.cli.console import note, stderr, table
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import TaskID

    from clic_edge.validation.report import Report

_METRICS = (
    ("dice", "Dice", 3),
    ("hd95_mm", "HD95 mm", 2),
    ("volume_error_mm3", "volume error mm³", 0),
    ("volume_error_percent", "volume error %", 1),
)


def validate(
    package: Annotated[
        Path, typer.Argument(help="Folder of the model package.", metavar="PACKAGE")
    ],
    *,
    data: Annotated[Path, typer.Option(help="Folder with images/ and labels/ (NIfTI).")],
    out: Annotated[Path, typer.Option(help="JSON report; HTML, PDF and plot lie beside it.")],
    split: Annotated[
        Path | None, typer.Option(help="JSON file whose `validation` lists the cases to take.")
    ] = None,
    subjects: Annotated[
        Path | None,
        typer.Option(help="CSV of subgroups: `name`, then sex, age band, scanner, site …"),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another package, compared case by case.")
    ] = None,
) -> None:
    """Compare a model with labelled cases: JSON, and HTML and PDF with the same name beside it.

    Cases that the model was trained on are left out.

    Example: `clic-edge validate models/hippocampus --data DIR --out report.json`
    """
    from clic_edge.validation.bland_altman import plot_bland_altman  # noqa: PLC0415 - slow to load
    from clic_edge.validation.pages import page_of, to_html, to_pdf  # noqa: PLC0415 - as above
    from clic_edge.validation.validate import validate as compare  # noqa: PLC0415 - as above

    reports = []
    with Progress(console=stderr) as progress:
        for one in (package, against) if against else (package,):
            show = _shown(progress, progress.add_task(one.name, total=None))
            reports.append(compare(one, data, split=split, subjects=subjects, progress=show))
    report, other = reports[0], reports[1] if against else None
    require_same_cases(report, other)
    picture = plot_bland_altman(report)
    page = page_of(report, picture, other)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report.to_json(other))
    out.with_name(f"{out.stem}-bland-altman.png").write_bytes(picture)
    out.with_suffix(".html").write_text(to_html(page), encoding="utf-8")
    out.with_suffix(".pdf").write_bytes(to_pdf(page))
    _show(report)


def _shown(progress: Progress, bar: TaskID) -> Callable[[int, int], None]:
    return lambda done, total: progress.update(bar, completed=done, total=total)


def require_same_cases(report: Report, other: Report | None) -> None:
    """Return where two models were asked the same. Raises ConfigError ``validation-pairs``."""
    if other is None:
        return
    same = [one.name for one in report.cases] == [one.name for one in other.cases]
    if not same or report.class_names != other.class_names:
        raise ConfigError(
            "validation-pairs",
            "The two packages don't take the same cases or name the same segments; "
            "give both a --split, and compare what they have in common.",
        )


def _show(report: Report) -> None:
    rows = []
    for name in report.class_names:
        cells = [name]
        for metric, _title, digits in _METRICS:
            summary = report.summary(name, metric)
            cells.append(
                "-"
                if summary.mean is None or summary.sd is None
                else f"{summary.mean:.{digits}f} ± {summary.sd:.{digits}f}"
            )
        rows.append(cells)
    columns = ("class", *(title for _, title, _ in _METRICS))
    table(f"{len(report.cases)} cases, mean ± sd", columns, rows)
    note(report.selection)
    for refused in report.refused:
        note(f"{refused.name} was refused: {refused.reason}")
