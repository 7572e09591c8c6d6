"""`clic-edge validate`: how well a model does on labelled cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from clic_edge.cli.console import note, stderr, table

if TYPE_CHECKING:
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
    out: Annotated[Path, typer.Option(help="JSON report; a Bland-Altman plot lies beside it.")],
    split: Annotated[
        Path | None, typer.Option(help="JSON file whose `validation` lists the cases to take.")
    ] = None,
) -> None:
    """Compare a model with labelled cases: Dice, HD95, volume error, Bland-Altman plot.

    Cases that the model was trained on are left out.

    Example: `clic-edge validate models/hippocampus --data DIR --out report.json`
    """
    from clic_edge.validation.bland_altman import plot_bland_altman  # noqa: PLC0415 - slow to load
    from clic_edge.validation.validate import validate as compare  # noqa: PLC0415 - as above

    with Progress(console=stderr) as progress:
        bar = progress.add_task("cases", total=None)
        report = compare(
            package,
            data,
            split=split,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report.to_json())
    plot_bland_altman(report, out.with_name(f"{out.stem}-bland-altman.png"))
    _show(report)


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
