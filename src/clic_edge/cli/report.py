"""`clic-edge report`: what a model did in a month, for the site; and what its manufacturer gets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import note
from clic_edge.cli.context import opened
from clic_edge.drawing.look import Language
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from clic_edge.app import Appliance
    from clic_edge.board.report import Maker, Period, Subject
    from clic_edge.reporting.making import ReportFile

app = typer.Typer(
    help="Reports of a model, without a patient's identity. The worker makes that of the last "
    "month by itself.",
    no_args_is_help=True,
)
Model = Annotated[str, typer.Argument(help="Id of the model, or the beginning of a digest.")]
Out = Annotated[Path, typer.Option(help="Folder to write the files to; made if need be.")]


@app.command()
def month(
    context: typer.Context,
    model: Model,
    *,
    month: Annotated[datetime, typer.Option(formats=["%Y-%m"], help="Which month, e.g. 2026-10.")],
    out: Out,
    language: Annotated[
        Language | None, typer.Option(help="Of the words; default the site's.")
    ] = None,
) -> None:
    """Write the monitoring report of a month as PDF/A, HTML and JSON, for each version in use.

    Example: `clic-edge report month hippocampus --month 2026-10 --out reports --language da`
    """
    from clic_edge.board.report import model_report  # noqa: PLC0415 - SciPy is slow to load
    from clic_edge.board.report import month as month_of  # noqa: PLC0415 - as above
    from clic_edge.reporting.making import report_files  # noqa: PLC0415 - as above

    appliance = opened(context)
    period = month_of(month.year, month.month)
    spoken = language or Language(appliance.settings.appliance.language)
    for subject in _subjects(appliance, model, period):
        report = model_report(appliance.ledger, subject, period, by=_maker(appliance))
        _write(out, report_files(report, spoken))


@app.command()
def post_market(
    context: typer.Context,
    model: Model,
    *,
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")],
    until: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day.")],
    out: Out,
) -> None:
    """Write post-market data for the model's manufacturer as JSON and CSV: no person, no study.

    Counts below five are withheld.

    Example: `clic-edge report post-market hippocampus --from 2026-01-01 --to 2026-06-30 --out pms`
    """
    from clic_edge.board.post_market import post_market as data_of  # noqa: PLC0415 - as above
    from clic_edge.board.report import Period  # noqa: PLC0415 - as above
    from clic_edge.reporting.manufacturer import post_market_files  # noqa: PLC0415 - as above

    appliance = opened(context)
    period = Period(first=since.date(), last=until.date())
    for subject in _subjects(appliance, model, period):
        data = data_of(appliance.ledger, subject, period, by=_maker(appliance))
        _write(out, post_market_files(data))


def _subjects(appliance: Appliance, model: str, period: Period) -> list[Subject]:
    from clic_edge.assembly import packages  # noqa: PLC0415 - as above
    from clic_edge.board.report_subjects import subjects  # noqa: PLC0415 - as above

    found = subjects(appliance.ledger, period, packages(appliance.settings.appliance.models))
    meant = [one for one in found if model == one.model_id or one.digest.startswith(model)]
    if not meant:
        others = ", ".join(sorted({one.model_id for one in found})) or "none"
        raise ConfigError(
            "nothing-to-report",
            f"{model} was not in use from {period.first} to {period.last}; in use then: {others}.",
        )
    return meant


def _maker(appliance: Appliance) -> Maker:
    from clic_edge.board.report import Maker  # noqa: PLC0415 - as above
    from clic_edge.pipeline.monitoring import policy_of  # noqa: PLC0415 - as above

    return Maker(
        appliance=appliance.settings.appliance.name,
        at=datetime.now(UTC).replace(microsecond=0),
        policy=policy_of(appliance.settings),
    )


def _write(folder: Path, files: tuple[ReportFile, ...]) -> None:
    from clic_edge.reporting.shelf import write_whole  # noqa: PLC0415 - as above

    for one in files:
        write_whole(folder / one.name, one.content)
        note(f"wrote {folder / one.name}")
