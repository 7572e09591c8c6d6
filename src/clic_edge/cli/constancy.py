"""`clic-edge constancy`: the same phantoms through the whole chain, and do they look the same?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from clic_edge.cli.console import moment, note, stdout, table
from clic_edge.cli.context import appliance_of, ledger_of
from clic_edge.errors import ConfigError, Defect
from clic_edge.ledger.database import require_ledger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.config.protocol import Protocol
    from clic_edge.constancy.chain import Chain
    from clic_edge.constancy.running import Ran
    from clic_edge.domain.constancy import Compared
    from clic_edge.domain.standing import Placement

app = typer.Typer(
    no_args_is_help=True,
    help="Phantoms, and the package's own test set, go through the whole chain from C-STORE to "
    "the delivered object, and are held against the commissioning record.\n\nThe worker runs it "
    "every night where `constancy.at` says so; it must be running for these commands too.",
)
Name = Annotated[str, typer.Argument(help="Name of the protocol.", metavar="PROTOCOL")]
Person = Annotated[str, typer.Option("--by", help="Your name, as it stands in the record.")]
Model = Annotated[
    str | None,
    typer.Option(help="How the digest of another model than the active one begins."),
]


@app.command()
def commission(context: typer.Context, protocol: Name, *, by: Person, model: Model = None) -> None:
    """Run a protocol and seal what it found as what every later run is compared with.

    Of an accepted model only, and after each change that was accepted.

    Example: `clic-edge constancy commission hippocampus --by "A. Jensen"`
    """
    from clic_edge.constancy import running  # noqa: PLC0415 - for a fast --help
    from clic_edge.pipeline.standing import require_named  # noqa: PLC0415 - as above

    require_named(by)
    chain, asked = chain_of(context), protocol
    known = protocol_of(chain, asked)
    record, ran = running.commission(chain, known, place_of(chain, known, model), person=by.strip())
    _show(ran.failed if record is None else ran.results)
    if record is None:
        raise Defect(
            "not-commissionable",
            f"The model does not do with {asked} what the protocol asks of any model: "
            f"{ran.run.reason}.",
        )
    stdout.print(
        f"{record.model_id} {record.model_version} ({record.model_digest[:12]}) is commissioned "
        f"with {record.protocol} {record.version} on {record.device or 'no device'}, sealed "
        f"{record.digest[:16]}"
    )


@app.command()
def run(context: typer.Context, protocol: Name, *, by: Person, model: Model = None) -> None:
    """Run a protocol now and compare it with its record; a failure opens an alarm.

    Example: `clic-edge constancy run hippocampus --by "A. Jensen"`
    """
    from clic_edge.constancy import running  # noqa: PLC0415 - as above
    from clic_edge.pipeline.standing import require_named  # noqa: PLC0415 - as above

    require_named(by)
    chain = chain_of(context)
    known = protocol_of(chain, protocol)
    ran = running.check(chain, known, place_of(chain, known, model), by=by.strip())
    _say(ran)


@app.command()
def status(context: typer.Context) -> None:
    """Print each protocol: its model, when it was commissioned, what has changed since, its last run."""
    from clic_edge.config.protocol import load_protocols  # noqa: PLC0415 - as above

    chain = chain_of(context)
    notes = list[str]()
    protocols = load_protocols(chain.settings.constancy.protocols)
    rows = [_row(chain, protocol, notes) for protocol in protocols]
    table("constancy", ("protocol", "model", "commissioned", "last run", ""), rows)
    for one in notes:
        note(one)


@app.command()
def show(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(help="Run; by default lists them.", metavar="RUN")] = "",
) -> None:
    """Print all that a run compared; without a run, the runs."""
    store = ledger_of(context).constancy
    if run_id:
        _show(store.results(run_id))
        return
    table(
        "constancy runs",
        ("at", "run", "protocol", "model", "by", "", "why"),
        (
            (
                moment(one.started_at),
                one.run_id,
                f"{one.protocol} {one.version}",
                f"{one.model_id} {one.model_version} ({one.model_digest[:12]})",
                one.started_by,
                _coloured(one.verdict),
                one.reason if one.record_id else one.reason or "commissioning",
            )
            for one in store.runs()
        ),
    )


def _row(chain: Chain, protocol: Protocol, notes: list[str]) -> tuple[str | Text, ...]:
    from clic_edge.constancy import running  # noqa: PLC0415 - as above

    name = f"{protocol.name} {protocol.version}"
    last = chain.ledger.constancy.last(protocol.name)
    ended = (moment(last.started_at), _coloured(last.verdict)) if last else ("never", "")
    try:
        place = running.model_of(chain, protocol.pipeline)
    except ConfigError as error:
        notes.append(f"{name}: {error.sentence}")
        return (name, "", "", *ended)
    record = running.record_for(chain, protocol, place.digest)
    other = running.since_commissioning(chain, protocol, place)
    if other:
        since = f"since {record.at:%Y-%m-%d}: " if record else ""
        notes.append(f"{name}: not accepted as it is now, {since}{'; '.join(other)}.")
    at = moment(record.at) if record else "never"
    return (name, f"{place.model_id} {place.version}", at, *ended)


def chain_of(context: typer.Context) -> Chain:
    """Return the appliance as constancy uses it."""
    appliance = appliance_of(context)
    require_ledger(appliance.engine)
    return appliance.chain()


def protocol_of(chain: Chain, name: str) -> Protocol:
    """Return a protocol by its name. Raises ConfigError ``no-such-protocol``."""
    from clic_edge.constancy.demand import protocol_named  # noqa: PLC0415 - as above

    return protocol_named(chain, name)


def place_of(chain: Chain, protocol: Protocol, model: str | None) -> Placement:
    """Return the model that is meant: the active one, or by how its digest begins.

    Raises ConfigError ``model-unknown``, and as `model_of`.
    """
    from clic_edge.constancy.running import model_of  # noqa: PLC0415 - as above

    if model is None:
        return model_of(chain, protocol.pipeline)
    events = chain.ledger.standing.standing(protocol.pipeline)
    found = [one.placement for digest, one in events.items() if digest.startswith(model)]
    if len(found) != 1:
        raise ConfigError(
            "model-unknown",
            f"{len(found)} models in the history of {protocol.pipeline} have a digest that begins "
            f"with {model}.",
        )
    return found[0]


def _say(ran: Ran) -> None:
    if ran.failed:
        _show(ran.failed)
    stdout.print(f"run {ran.run.run_id} of {ran.run.protocol}: {ran.run.verdict}")
    if ran.failed:
        raise typer.Exit(Defect.exit_code)


def _show(results: Iterable[Compared]) -> None:
    table(
        "compared",
        ("case", "quantity", "found", "expected", "tolerance", ""),
        (
            (
                one.case,
                one.quantity,
                one.said if one.value is None else f"{one.value:.6g} {one.unit}",
                "" if one.expected is None else f"{one.expected:.6g}",
                "" if one.tolerance is None else f"{one.tolerance:.3g}",
                _coloured("passed" if one.passed else "failed"),
            )
            for one in results
        ),
    )


def _coloured(verdict: str) -> Text:
    return Text(verdict, {"passed": "green", "failed": "bold red"}.get(verdict, "yellow"))
