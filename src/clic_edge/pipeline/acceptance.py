"""May this model become active? What it showed, held against what the site asks for, and signed."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.domain.standing import ModelState, Placement
from clic_edge.errors import ConfigError
from clic_edge.pipeline.acceptance_report import AcceptanceReport, Criterion, is_signed
from clic_edge.pipeline.standing import in_one_line, require_named, require_signed, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from clic_edge.config import Acceptance
    from clic_edge.deid.page_key import PageKey
    from clic_edge.domain.standing import StateEvent
    from clic_edge.inference.testset import Replayed
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.shadows import Dice, Difference
    from clic_edge.ledger.standing import StandingStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """What a model did in the shadow."""

    since: datetime
    cases: int
    predicted: int
    """Series of these cases."""
    refused: int
    """Series outside what the model is for."""
    broken: int
    """Series at which it broke."""
    agreement: tuple[Dice, ...]
    """The least alike first."""
    differences: tuple[Difference, ...]
    """The farthest apart first."""

    @property
    def median_dice(self) -> dict[str, float]:
        """Of each segment that both models name."""
        return _medians((one.segment, one.value) for one in self.agreement)

    @property
    def median_difference(self) -> dict[str, float]:
        """Of the probability of each category that both models name."""
        return _medians((one.category, one.value) for one in self.differences)


def _medians(found: Iterable[tuple[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for name, value in found:
        values.setdefault(name, []).append(value)
    return {name: statistics.median(values[name]) for name in sorted(values)}


def shadowed(ledger: Ledger, placement: Placement) -> Shadowed | None:
    """Return what a model did since it went into the shadow; None of one that nobody has seen.

    Of a model that never was there, since it was first seen.
    """
    history = ledger.standing.history(placement.pipeline)
    events = [one for one in history if one.placement.digest == placement.digest]
    if not events:
        return None
    (first, *_) = [one for one in reversed(events) if one.now is ModelState.SHADOW] or events
    where = (placement.pipeline, placement.digest, first.at)
    failures = ledger.shadows.failures(*where)
    cases, predicted = ledger.shadows.seen(*where)
    return Shadowed(
        since=first.at,
        cases=cases,
        predicted=predicted,
        refused=sum(one.refused for one in failures),
        broken=sum(not one.refused for one in failures),
        agreement=ledger.shadows.agreement(*where),
        differences=ledger.shadows.differences(*where),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a model when somebody wants to accept it."""

    replayed: tuple[Replayed, ...]
    """Its sealed test set, run here and now."""
    validation: str
    """The report of `clic-edge validate`, as JSON."""
    shadow: Shadowed | None


def examine(
    placement: Placement,
    evidence: Evidence,
    limits: Acceptance,
    *,
    person: str,
    at: datetime,
) -> AcceptanceReport:
    """Return the report on a model, not yet signed; it says by itself whether all is met.

    Raises
    ------
    ConfigError
        ``person-unnamed``; ``validation-report``;
        ``validation-other-model``: the validation report is about another package.

    """
    require_named(person)
    return AcceptanceReport(
        pipeline=placement.pipeline,
        model_id=placement.model_id,
        version=placement.version,
        digest=placement.digest,
        at=at,
        person=person.strip(),
        criteria=(
            *of_test_set(evidence.replayed),
            *of_validation(evidence.validation, limits, digest=placement.digest),
            *of_shadow(evidence.shadow, limits),
        ),
    )


def of_test_set(replayed: tuple[Replayed, ...]) -> Iterator[Criterion]:
    """Yield what is asked of the package's sealed test set."""
    same = sum(one.is_same for one in replayed)
    yield at_least("sealed test cases answered as sealed", same, max(1, len(replayed)))


def of_validation(text: str, limits: Acceptance, *, digest: str) -> Iterator[Criterion]:
    """Yield what is asked of a validation report. Raises as `examine`."""
    report = _validation(text)
    model = report.get("model")
    if not isinstance(model, dict) or model.get("digest") != digest:
        raise ConfigError(
            "validation-other-model",
            f"The validation report is not about the model {digest[:12]}; run `clic-edge validate` "
            "on the package that is installed.",
        )
    asked = len(limits.at_least) + len(limits.at_most)
    yield at_least("limits on the validation that the site sets", asked, 1)
    for name, limit in limits.at_least.items():
        yield at_least(name, _number(report, name), limit)
    for name, limit in limits.at_most.items():
        yield at_most(name, _number(report, name), limit)


def of_shadow(shadow: Shadowed | None, limits: Acceptance) -> Iterator[Criterion]:
    """Yield what is asked of what a model did in the shadow."""
    yield at_least("cases in the shadow", shadow.cases if shadow else 0, limits.shadow_cases)
    if shadow is None:
        return
    dice = shadow.median_dice
    for name, median in dice.items():
        yield at_least(f"median Dice with the active model, {name}", median, limits.agreement)
    apart = shadow.median_difference
    for name, median in apart.items():
        yield at_most(f"median difference of probability, {name}", median, limits.difference)
    if not dice and not apart:
        # Nobody was there to agree with, which is enough only where nothing is asked.
        yield at_least("median Dice with the active model", 0, limits.agreement)
    series = shadow.predicted + shadow.refused + shadow.broken
    share = shadow.refused / series if series else 0.0
    yield at_most("share refused in the shadow", share, limits.refusals)
    yield at_most("failures in the shadow", shadow.broken, limits.failures)


def at_least(name: str, found: float | None, limit: float) -> Criterion:
    """Return that a number should be no smaller than a limit."""
    return Criterion(name=name, found=found, sense="at least", limit=limit)


def at_most(name: str, found: float | None, limit: float) -> Criterion:
    """Return that a number should be no larger than a limit."""
    return Criterion(name=name, found=found, sense="at most", limit=limit)


def _validation(text: str) -> dict[str, object]:
    try:
        report = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError("validation-report", "The validation report is no JSON.") from error
    if not isinstance(report, dict):
        raise ConfigError("validation-report", "The validation report is no JSON object.")
    return report


def _number(report: dict[str, object], path: str) -> float | None:
    """Return the number at ``classes.anterior.dice.mean``, None where there is none."""
    found: object = report
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number else None  # type: ignore[arg-type]  # looked at just above


def promote(
    standing: StandingStore,
    placement: Placement,
    report: AcceptanceReport,
    *,
    key: PageKey,
    person: str,
    reason: str,
) -> StateEvent:
    """Make a model active on an acceptance report; the one before it goes into the shadow.

    Raises
    ------
    ConfigError
        ``acceptance-other-model``, ``acceptance-other-pipeline``: the report is about another;
        ``acceptance-not-met``; ``acceptance-signature``; ``acceptance-stale``: the model has
        moved since; as `move` raises.

    """
    require_signed(person, reason)
    _require_about(report, placement)
    _require_sound(report, key)
    before = standing.standing(placement.pipeline).get(placement.digest)
    if before and report.at < before.at:
        raise ConfigError(
            "acceptance-stale",
            f"The model became {before.now} after the report was made; make another.",
        )
    event = standing.move(
        placement,
        ModelState.ACTIVE,
        person=person.strip(),
        reason=in_one_line(reason),
        evidence=report.model_dump_json(),
    )
    telemetry.model_moved(
        pipeline=placement.pipeline, model=told(placement), state=ModelState.ACTIVE
    )
    return event


def _require_about(report: AcceptanceReport, placement: Placement) -> None:
    if report.digest != placement.digest:
        raise ConfigError(
            "acceptance-other-model",
            f"The report accepts {report.model_id} {report.version} ({report.digest[:12]}), not "
            f"{placement.model_id} {placement.version} ({placement.digest[:12]}).",
        )
    if report.pipeline != placement.pipeline:
        raise ConfigError(
            "acceptance-other-pipeline",
            f"The report is for the pipeline {report.pipeline}, not {placement.pipeline}.",
        )


def _require_sound(report: AcceptanceReport, key: PageKey) -> None:
    missed = [one.name for one in report.criteria if not one.met]
    if missed or not report.criteria:
        raise ConfigError("acceptance-not-met", f"The report does not reach: {'; '.join(missed)}.")
    if not is_signed(report, key):
        raise ConfigError(
            "acceptance-signature", "The report is not signed with this site's key, or was changed."
        )
