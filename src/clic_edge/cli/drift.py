"""`clic-edge drift`: references, charts, alarms, and who has seen them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from clic_edge.cli.console import moment, note, stdout, table
from clic_edge.cli.context import appliance_of, ledger_of
from clic_edge.cli.predictions import since_moment
from clic_edge.domain.monitoring import Acknowledgement, Alarm, RootCause, Severity
from clic_edge.errors import ConfigError
from clic_edge.ledger.database import require_ledger

if TYPE_CHECKING:
    from clic_edge.drift.plan import Policy
    from clic_edge.ledger import Ledger

app = typer.Typer(
    help="References, charts and alarms of the monitor; nothing is charted until a person freezes "
    "a reference.",
    no_args_is_help=True,
)
_STYLES = {Severity.ACTION: "bold red", Severity.WARNING: "yellow", Severity.ADVISORY: "cyan"}
_DAYS = 30
Days = Annotated[int, typer.Option(min=1, help="How many days back from now.")]
Model = Annotated[
    str | None, typer.Option("--model", help="Id of the model, where there are several.")
]
Person = Annotated[str, typer.Option("--by", help="Your name.")]


@app.command()
def reference(
    context: typer.Context,
    *,
    by: Person,
    model: Model = None,
    since: Annotated[
        str, typer.Option(help="Studies since a day (2026-11-01) or so long ago (12h, 7d, 14w).")
    ] = "14w",
    name: Annotated[str, typer.Option(help="What the reference is called.")] = "acceptance",
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="You have tested that its probabilities are so.")
    ] = False,
) -> None:
    """Freeze what the model did since a day, for each scanner that made 30 studies or more.

    It is sealed and never changes; a later one takes its place on the charts.

    Example: `clic-edge drift reference --by "Ida Fysiker" --since 2026-08-01`
    """
    from clic_edge.drift.reference import Acceptance  # noqa: PLC0415 - SciPy is slow to load
    from clic_edge.pipeline.monitoring import freeze_references  # noqa: PLC0415 - as above

    ledger = ledger_of(context)
    model_id, version, digest = _model(ledger, model)
    acceptance = Acceptance(
        name=name,
        model_id=model_id,
        model_version=version,
        model_digest=digest,
        frozen_at=datetime.now(UTC),
        frozen_by=by,
        calibrated=calibrated,
    )
    frozen = freeze_references(ledger, acceptance, since=since_moment(since))
    table(
        f"frozen for {model_id} {version}",
        ("reference", "of", "version", "observations", "days", "sealed"),
        (
            (
                one.reference_id,
                str(one.stratum),
                str(one.version),
                str(one.observations),
                str(1 + (one.last_at - one.first_at).days),
                one.digest[:12],
            )
            for one in frozen
        ),
    )


@app.command()
def evaluate(
    context: typer.Context,
    *,
    dry: Annotated[
        bool, typer.Option("--dry", help="Say what the stop rules ask for, and don't do it.")
    ] = False,
) -> None:
    """Chart what came since the last time, open and close alarms, and do what the stop rules say.

    The worker does it each ten minutes by default; doing it twice does no harm.

    Example: `clic-edge drift evaluate`
    """
    from clic_edge.pipeline.monitoring import obey, watch_models  # noqa: PLC0415 - SciPy is slow to load

    ledger, policy = _ledger_and_policy(context)
    watched = watch_models(ledger, policy, now=datetime.now(UTC))
    table(
        f"evaluated: {len(watched.evaluations)} references",
        ("reference", "of", "charted", "until", "opened", "closed or confirmed"),
        (
            (
                one.reference_id,
                str(one.stratum),
                str(done.charted),
                moment(done.charted_until),
                str(len(done.opened)),
                str(len(done.turned)),
            )
            for one, done in watched.evaluations
        ),
    )
    if watched.ahead:
        note(f"{watched.ahead} predictions are from the future; look at the clock. They wait.")
    for demand in watched.demands:
        moves = () if dry else obey(ledger, demand)
        places = ", ".join(f"{one.placement.pipeline} is {one.now}" for one in moves)
        done = places or ("nothing was done" if dry else "nothing to switch")
        stdout.print(
            Text(f"{demand.model_id}: {demand.response} ({done}). {demand.reason}", "bold")
        )


@app.command()
def status(
    context: typer.Context,
    *,
    days: Days = _DAYS,
    model: Model = None,
    groups: Annotated[
        str | None, typer.Option(help="Subgroups by a feature, e.g. `input.sex`.")
    ] = None,
) -> None:
    """Show every chart with its limit and delay, and the last days beside the reference.

    Example: `clic-edge drift status --days 30 --groups input.sex`
    """
    from clic_edge.cli.drift_tables import show_status  # noqa: PLC0415 - SciPy is slow to load

    ledger, policy = _ledger_and_policy(context)
    show_status(ledger, policy, _model(ledger, model), days=days, groups=groups)


@app.command()
def alarms(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
) -> None:
    """List the alarms that are open, with what moved, by how much, since when.

    Example: `clic-edge drift alarms --all`
    """
    ledger = ledger_of(context)
    seen = {one.alarm_id: one for one in ledger.monitoring.acknowledgements()}
    found = ledger.monitoring.alarms(is_open=not everything)
    table(
        f"alarms: {len(found)}",
        ("alarm", "severity", "model", "of", "opened", "closed", "seen by", "what"),
        (
            (
                one.alarm_id[:8],
                Text(one.severity, _STYLES[one.severity]),
                one.model_id,
                str(one.stratum),
                moment(one.opened_at),
                moment(one.closed_at),
                f"{seen[one.alarm_id].person}: {seen[one.alarm_id].reason}"
                if one.alarm_id in seen
                else "",
                one.sentence,
            )
            for one in found
        ),
    )


@app.command()
def acknowledge(
    context: typer.Context,
    alarm: Annotated[str, typer.Argument(help="The alarm's id, or its beginning.")],
    *,
    by: Person,
    reason: Annotated[str, typer.Option(help="What it was, in a sentence.")],
    cause: Annotated[
        RootCause, typer.Option(help="What kind of change it was.")
    ] = RootCause.UNKNOWN,
) -> None:
    """Say that you have seen an alarm, and what it was; it stops asking for the stop rule.

    Example: `clic-edge drift acknowledge 3f2a91bc --by "Ida Fysiker" --reason "New head coil."`
    """
    now = datetime.now(UTC)
    word = Acknowledgement(alarm_id=alarm, at=now, person=by, reason=reason, cause=cause)
    found: Alarm = ledger_of(context).monitoring.acknowledge(word)
    stdout.print(Text(f"acknowledged: {found.sentence}"))


@app.command("turn-back")
def turn_back(context: typer.Context, *, by: Person) -> None:
    """Let the charts go on from now, where a clock that ran ahead took them beyond it.

    Set the clock right first. What was charted under the wrong time stays as it is.

    Example: `clic-edge drift turn-back --by "Ida Fysiker"`
    """
    from clic_edge.pipeline.monitoring import turn_back as turned  # noqa: PLC0415 - SciPy is slow to load

    count = turned(ledger_of(context), now=datetime.now(UTC), by=by)
    stdout.print(
        f"{count} references go on from now" if count else "no chart is ahead of the clock"
    )


def _ledger_and_policy(context: typer.Context) -> tuple[Ledger, Policy]:
    from clic_edge.pipeline.monitoring import policy_of  # noqa: PLC0415 - SciPy is slow to load

    appliance = appliance_of(context)
    require_ledger(appliance.engine)
    return appliance.ledger, policy_of(appliance.settings)


def _model(ledger: Ledger, named: str | None) -> tuple[str, str, str]:
    """Return id, version and digest of the newest model of that id, or of the only one."""
    models = ledger.observations.models()
    ids = sorted({model_id for model_id, _, _ in models})
    if named is None and len(ids) > 1:
        raise ConfigError("model-unclear", f"Name one with --model: {', '.join(ids)}.")
    found = [one for one in models if named in {None, one[0]}]
    if not found:
        raise ConfigError("nothing-predicted", "No such model has predicted anything yet.")
    return found[-1]
