"""`clic-edge acceptance`: may this model go on, on this machine as it is now? Run, signed, kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clic_edge.cli.console import note, stdout
from clic_edge.cli.constancy import Model, Name, chain_of, place_of, protocol_of
from clic_edge.cli.context import appliance_of
from clic_edge.cli.standing import show_report, site_key, text_in
from clic_edge.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True,
    help="After an update of driver, scanner, runtime or model: a protocol that runs, and a "
    "signed report as JSON and PDF/A.",
)


@app.command()
def run(
    context: typer.Context,
    protocol: Name,
    *,
    by: Annotated[str, typer.Option("--by", help="Your name, as it stands in the report.")],
    out: Annotated[Path, typer.Option(help="New folder of the report's two files.")],
    validation: Annotated[
        Path | None, typer.Option(help="JSON report of `clic-edge validate` on this package.")
    ] = None,
    model: Model = None,
) -> None:
    """Run all that a model must show here; where it is met, seal the commissioning record anew.

    Signature, digests and sealed test set; memory and time; the constancy set with its perturbed
    cases, through the whole chain; of a model that is not active, validation and shadow too.
    The worker must be running.

    Example: `clic-edge acceptance run hippocampus --by "A. Jensen" --out accepted`
    """
    from clic_edge.constancy import acceptance  # noqa: PLC0415 - for a fast --help
    from clic_edge.constancy.pages import ATTACHED, acceptance_pdf  # noqa: PLC0415 - as above
    from clic_edge.constancy.phantoms import stacks  # noqa: PLC0415 - as above
    from clic_edge.constancy.running import package_of  # noqa: PLC0415 - as above
    from clic_edge.domain.constancy import ReportFiles  # noqa: PLC0415 - as above
    from clic_edge.pipeline.standing import require_named  # noqa: PLC0415 - as above

    require_named(by)
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise ConfigError("out-unwritable", f"{out} cannot be made: {error.strerror}.") from error
    chain = chain_of(context)
    known = protocol_of(chain, protocol)
    place = place_of(chain, known, model)
    text = text_in(validation) if validation else None
    accepted = acceptance.accept(chain, known, place, person=by.strip(), validation=text)
    made = stacks(known, package_of(chain, place))
    files = ReportFiles(
        json=accepted.report.model_dump_json(indent=1) + "\n",
        pdf=acceptance_pdf(accepted, made),
    )
    acceptance.keep(chain, accepted, files)
    (out / ATTACHED).write_text(files.json, encoding="utf-8")
    (out / "acceptance.pdf").write_bytes(files.pdf)
    show_report(accepted.report)
    note(f"see {out}")
    if not accepted.report.is_met:
        raise typer.Exit(ConfigError.exit_code)


@app.command()
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The report's JSON file.", metavar="FILE")],
) -> None:
    """Say whether a report is as this site signed it, and what it says.

    Example: `clic-edge acceptance verify accepted/acceptance.json`
    """
    from clic_edge.deid.page_key import PageKey  # noqa: PLC0415 - for a fast --help
    from clic_edge.pipeline.acceptance_report import (  # noqa: PLC0415 - as above
        is_signed,
        read_report,
    )

    report = read_report(text_in(file))
    if not is_signed(report, PageKey.of(site_key(appliance_of(context)))):
        raise ConfigError(
            "acceptance-signature", "The report is not signed with this site's key, or was changed."
        )
    show_report(report)
    verdict = "accepted" if report.is_met else "not accepted"
    stdout.print(
        f"{report.model_id} {report.version} ({report.digest[:12]}) was {verdict} in "
        f"{report.pipeline} on {report.at:%Y-%m-%d}, by {report.person}; the signature is right"
    )
