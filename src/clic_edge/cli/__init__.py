"""The command line. Exit codes: 0 done, 2 usage or configuration, 3 refused, 4 later, 5 quarantined."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge import __version__
from clic_edge.cli import (
    acceptance,
    account,
    assessments,
    backup,
    batch,
    cases,
    check,
    conformance,
    constancy,
    deid,
    demo,
    dicomize,
    drift,
    export,
    folder,
    installation,
    ledger,
    model,
    models,
    notify,
    pacs,
    predictions,
    report,
    retrain,
    senders,
    site,
    support,
    train,
    truth,
    users,
    viewer,
    web,
    workers,
)
from clic_edge.cli.console import problem
from clic_edge.cli.context import DEFAULT_SETTINGS, Context
from clic_edge.errors import ClicEdgeError

if TYPE_CHECKING:
    from types import TracebackType

app = typer.Typer(
    name="clic-edge",
    help="Clinical AI beside the PACS: studies in, SR and SEG out, every prediction logged.\n\n"
    "Begin with `clic-edge demo`. On a site, `clic-edge check` proves the configuration and "
    "`clic-edge serve` runs the worker.",
    epilog="Exit codes: 0 done, 2 usage or configuration, 3 refused, 4 try again later, "
    "5 quarantined.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command()(demo.demo)
app.command()(site.serve)
app.command()(check.check)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(workers.workers)
app.command()(web.web)
app.command()(folder.route)
app.command()(folder.run)
app.add_typer(cases.app, name="cases")
app.add_typer(batch.app, name="batch")
app.command()(account.account)
app.command()(support.support_bundle)
app.add_typer(pacs.app, name="pacs")
app.command()(conformance.conformance)
app.add_typer(models.app, name="models")
app.command()(predictions.predictions)
app.command()(assessments.assessments)
app.add_typer(drift.app, name="drift")
app.add_typer(constancy.app, name="constancy")
app.add_typer(acceptance.app, name="acceptance")
app.add_typer(notify.app, name="notify")
app.add_typer(report.app, name="report")
app.add_typer(ledger.app, name="ledger")
app.add_typer(installation.app, name="site")
app.add_typer(truth.app, name="truth")
app.command()(model.validate)
app.command()(train.train)
app.command()(retrain.retrain)
app.add_typer(users.app, name="users")
app.add_typer(senders.app, name="senders")
app.add_typer(viewer.app, name="viewer")
app.add_typer(deid.app, name="deid")
app.command()(export.export)
app.command()(dicomize.dicomize)


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"clic-edge {__version__}\n")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    *,
    settings: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            envvar="CLIC_EDGE_CONFIG",
            help=f"Settings of the appliance. Default: {DEFAULT_SETTINGS}, or what ships with "
            "the source.",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Options that every command takes."""
    del version  # it has been printed
    context.obj = Context(settings=settings, debug=debug)
    if not debug:
        sys.excepthook = _one_sentence
        # pydicom's warnings quote values; what matters comes as an error of our own.
        warnings.simplefilter("ignore")


def main() -> None:
    """Run the command line; what ends as an error of ours ends with its exit code."""
    try:
        app()
    except ClicEdgeError as error:
        if "--debug" in sys.argv:
            raise
        problem(error.sentence, error.code)
        sys.exit(error.exit_code)


def _one_sentence(
    kind: type[BaseException], _error: BaseException, trace: TracebackType | None
) -> None:
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    problem(f"{kind.__name__} at {place}. Run it again with --debug and report it.", "bug")
