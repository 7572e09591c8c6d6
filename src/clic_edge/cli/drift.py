"""`clic-edge drift`: references, charts, alarms, and who has seen them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isnan
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.text import Text

from clic_edge.cli.console import moment, note, stdout, table
from clic_edge.cli.context import appliance_of, ledger_of
from clic_edge.cli.predictions import since_moment
from clic_edge.domain.monitoring import Acknowledgement, Alarm, Channel, Response, Severity
from clic_edge.drift.comparison import compare, compare_whole, expected_performance, subgroups
from clic_edge.drift.plan import Policy, plan_charts
from clic_edge.drift.reference import Acceptance, tabulate
from clic_edge.drift.statistics import NumberDifference
from clic_edge.drift.wording import together
from clic_edge.errors import ConfigError
from clic_edge.ledger.database import require_ledger
from clic_edge.pipeline.monitoring import freeze_references, newest, obey, watch_models

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clic_edge.config import Settings
    from clic_edge.domain.monitoring import Observation, Reference
    from clic_edge.ledger import Ledger

app = typer.Typer(
    help="References, charts and alarms of the monitor; nothing is charted until a person freezes "
    "a reference.",
    no_args_is_help=True,
)
_STYLES = {Severity.ACTION: "bold red", Severity.WARNING: "yellow", Severity.ADVISORY: "cyan"}
_DAYS = 30
_MOST_ROWS = 12
_MUCH = 0.05
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

    Run it by a timer; doing it twice does no harm.

    Example: `clic-edge drift evaluate`
    """
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
    ledger, policy = _ledger_and_policy(context)
    model_id, version, digest = _model(ledger, model)
    now = datetime.now(UTC)
    seen = ledger.observations.of_model(digest, after=now - timedelta(days=days), until=now)
    references = newest(ledger.monitoring.references(digest))
    if not references:
        note("There is no reference yet; `clic-edge drift reference` freezes one.")
    for one in references:
        _show_charts(ledger, one, policy)
        ours = [each for each in seen if each.stratum == one.stratum]
        _show_comparison(one, ours, days)
        if groups:
            _show_groups(one, ours, groups, smallest=policy.smallest_group)
        if one.calibrated:
            _show_expected(ours)
    _show_strangers(references, seen)
    open_alarms = [
        one for one in ledger.monitoring.alarms(is_open=True) if one.model_digest == digest
    ]
    stdout.print(Text(f"{model_id} {version}: {len(open_alarms)} open alarms", "bold"))
    if open_alarms:
        stdout.print(Text(together(open_alarms)))


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
) -> None:
    """Say that you have seen an alarm, and what it was; it stops asking for the stop rule.

    Example: `clic-edge drift acknowledge 3f2a91bc --by "Ida Fysiker" --reason "New head coil."`
    """
    word = Acknowledgement(alarm_id=alarm, at=datetime.now(UTC), person=by, reason=reason)
    found: Alarm = ledger_of(context).monitoring.acknowledge(word)
    stdout.print(Text(f"acknowledged: {found.sentence}"))


def _ledger_and_policy(context: typer.Context) -> tuple[Ledger, Policy]:
    appliance = appliance_of(context)
    require_ledger(appliance.engine)
    return appliance.ledger, policy_of(appliance.settings)


def policy_of(settings: Settings) -> Policy:
    """Return what the site's settings say of charts and stop rules."""
    monitoring = settings.monitoring
    return Policy(
        false_alarms_per_year=monitoring.false_alarms_per_year,
        smallest_group=monitoring.smallest_group,
        responses=tuple((one, Response(getattr(monitoring.stop, one))) for one in Channel),
    )


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


def _show_charts(ledger: Ledger, one: Reference, policy: Policy) -> None:
    plan = plan_charts(one, policy)
    _, memory = ledger.monitoring.progress(one.reference_id)
    totals = {(it.chart, it.direction): it for it in memory}
    provisional = " PROVISIONAL" if any(it.design.provisional for it in plan.charts) else ""
    stated = policy.false_alarms_per_year
    rows = []
    for chart in plan.charts:
        stands = totals.get((chart.name, chart.direction))
        rows.append(
            (
                chart.name,
                chart.direction,
                f"{stands.total:.1f}" if stands else "",
                f"{chart.limit:.1f}",
                ", ".join(f"{it.change:.2g}: {it.points:.0f}" for it in chart.design.delays),
                f"{chart.design.false_alarms_per_year:.2f}",
                Text("ALARM", "red") if stands and stands.open else "",
            )
        )
    table(
        f"{one.stratum}: {one.name} {one.version}, {one.observations} observations by "
        f"{one.frozen_by}{provisional}; at most {stated:g} false alarms a year",
        ("chart", "to", "sum", "limit", "delay in studies by change", "false a year", ""),
        rows,
    )


def _show_comparison(one: Reference, ours: Sequence[Observation], days: int) -> None:
    if not ours:
        note(f"{one.stratum}: nothing in {days} days.")
        return
    found = compare(one, ours)[:_MOST_ROWS]
    table(
        f"{one.stratum}: {len(ours)} observations of {days} days beside the reference",
        ("feature", "shift in sd", "PSI", "adjusted p", "new words"),
        (
            (
                row.feature,
                _number(row.difference.shift)
                if isinstance(row.difference, NumberDifference)
                else "",
                _number(row.difference.psi),
                Text(_number(row.adjusted_p), "yellow" if row.adjusted_p < _MUCH else ""),
                ""
                if isinstance(row.difference, NumberDifference)
                else ", ".join(f"{word} ({n})" for word, n in row.difference.unseen),
            )
            for row in found
        ),
    )
    if whole := compare_whole(one, ours):
        stdout.print(Text(f"all numbers together: MMD² {whole.squared:.4f}, p {whole.p_value:.3f}"))


def _show_groups(one: Reference, ours: Sequence[Observation], by: str, *, smallest: int) -> None:
    rows = [
        (
            name,
            group.group,
            str(group.n),
            f"{group.mean:.4g} ({group.low:.4g} to {group.high:.4g})"
            if group.is_enough
            else "too few",
            _number(group.difference),
        )
        for name, _ in tabulate(ours).numbers
        if name.startswith(("output.", "truth."))
        for group in subgroups(ours, name, by, smallest=smallest)
    ]
    table(
        f"{one.stratum} by {by}", ("feature", "group", "n", "mean (95 %)", "sd from others"), rows
    )


def _show_expected(ours: Sequence[Observation]) -> None:
    found = tabulate(ours)
    for name, probabilities in found.numbers:
        if not name.endswith(".probability"):
            continue
        chosen = found.number(f"{name.removesuffix('probability')}chosen", len(ours))
        kept = np.isfinite(probabilities) & np.isfinite(chosen)
        if not kept.any():
            continue
        expected = expected_performance(probabilities[kept], chosen[kept] > 0)
        stdout.print(
            Text(
                f"{name}, if calibrated still: sensitivity {expected.sensitivity.value:.2f} "
                f"({expected.sensitivity.low:.2f} to {expected.sensitivity.high:.2f}), specificity "
                f"{expected.specificity.value:.2f}, AUC {expected.auc.value:.2f} "
                f"({expected.auc.low:.2f} to {expected.auc.high:.2f}); n = {expected.n}"
            )
        )


def _show_strangers(references: Iterable[Reference], seen: Sequence[Observation]) -> None:
    known = {one.stratum: one for one in references}
    strangers = {one.stratum for one in seen} - known.keys()
    for stratum in sorted(strangers, key=str):
        ours = [one for one in seen if one.stratum == stratum]
        nearest = [
            one
            for one in known.values()
            if (one.stratum.manufacturer, one.stratum.model_name)
            == (stratum.manufacturer, stratum.model_name)
        ]
        note(f"{stratum} has no reference: {len(ours)} studies so far.")
        for one in nearest[-1:]:
            _show_comparison(one, ours, _DAYS)


def _number(value: float) -> str:
    return "" if isnan(value) else f"{value:.3g}"
