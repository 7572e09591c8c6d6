"""What `clic-edge drift status` writes: charts, the last days beside the reference, subgroups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isnan
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from clic_edge.cli.console import note, stdout, table
from clic_edge.drift.comparison import compare, compare_whole, expected_performance, subgroups
from clic_edge.drift.plan import plan_charts
from clic_edge.drift.reference import tabulate
from clic_edge.drift.statistics import NumberDifference
from clic_edge.drift.wording import together
from clic_edge.pipeline.monitoring import newest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clic_edge.domain.monitoring import Observation, Reference
    from clic_edge.drift.plan import Policy
    from clic_edge.ledger import Ledger

_DAYS = 30
_MOST_ROWS = 12
_MUCH = 0.05


def show_status(
    ledger: Ledger, policy: Policy, model: tuple[str, str, str], *, days: int, groups: str | None
) -> None:
    """Write all of one model: its id, version and digest name it."""
    model_id, version, digest = model
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
    for whole in compare_whole(one, ours):
        what = "the model's embedding" if whole.is_embedding else "all numbers together"
        by_distance, by_classifier = whole.adjusted
        told = (
            f"{what}: MMD² {whole.discrepancy.squared:.4f}, adjusted p {by_distance:.3f}; "
            f"a classifier tells them apart with AUC {whole.separation.auc:.2f}, "
            f"adjusted p {by_classifier:.3f}"
        )
        stdout.print(Text(told, "yellow" if min(whole.adjusted) < _MUCH else ""))


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
