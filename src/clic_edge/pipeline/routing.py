"""Which pipeline takes which series of a study, and why the others are not taken."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clic_edge.domain.constancy import is_constancy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clic_edge.config import Bounds, Pattern, Pipeline, Rule
    from clic_edge.domain.study import SeriesSummary, StudySummary

OWN_MANUFACTURER = "clic-edge"
"""Manufacturer (0008,0070) of every result object; what bears it is never taken again."""

FOR_CONSTANCY = "the series is a phantom's, and is seen only when constancy sends it"
NO_PHANTOM = "the series is no phantom's, and constancy takes no other"

OWN_RESULT = "the series is a result of this appliance"
"""Why our own results are not taken."""

_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a condition holds or does not."""

    sentence: str
    """Safe to store and to log: numbers, coded values and our own patterns."""
    found: str = field(default="", repr=False)
    """The free text that was looked at: for a person at the terminal, never stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule says of one series; `reasons` say why it is not taken, and are empty if it is."""

    taken: bool
    reasons: tuple[Reason, ...]

    @property
    def sentence(self) -> str:
        """The reasons in one line, safe to store."""
        return "; ".join(reason.sentence for reason in self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRoute:
    """One series and what one pipeline does with it."""

    series: SeriesSummary
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRoute:
    """What one pipeline does with every series of a study, in the study's order."""

    pipeline: str
    series: tuple[SeriesRoute, ...]

    @property
    def taken(self) -> tuple[SeriesSummary, ...]:
        """The series that the pipeline takes; empty when it does not take the study."""
        return tuple(route.series for route in self.series if route.verdict.taken)

    @property
    def why_not(self) -> str:
        """Say why series are not taken, the same reason once; safe to store."""
        counts = Counter(r.verdict.sentence for r in self.series if not r.verdict.taken)
        return "; ".join(f"{n} of {len(self.series)} series: {why}" for why, n in counts.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What every pipeline does with a study, in the order of the pipelines."""

    study_id: str
    pipelines: tuple[PipelineRoute, ...]

    @property
    def taken(self) -> tuple[PipelineRoute, ...]:
        """The pipelines that take at least one series."""
        return tuple(route for route in self.pipelines if route.taken)

    @property
    def why_not(self) -> str:
        """Say for each pipeline why it does not take the study; safe to store."""
        return " | ".join(
            f"{route.pipeline}: {route.why_not or 'the study has no series'}"
            for route in self.pipelines
            if not route.taken
        )


def route(study: StudySummary, pipelines: Sequence[Pipeline]) -> Routing:
    """Return what each pipeline does with each series."""
    return Routing(
        study_id=study.study_id,
        pipelines=tuple(
            PipelineRoute(
                pipeline=pipeline.name,
                series=tuple(
                    SeriesRoute(series=series, verdict=_evaluate(pipeline, series))
                    for series in study.series
                ),
            )
            for pipeline in pipelines
        ),
    )


def _evaluate(pipeline: Pipeline, series: SeriesSummary) -> Verdict:
    """Return what a pipeline does with a series: phantoms and patients never meet in one."""
    if series.unread:
        return Verdict(taken=False, reasons=(Reason(sentence=series.unread.sentence),))
    if series.is_constancy != is_constancy(pipeline.name):
        why = FOR_CONSTANCY if series.is_constancy else NO_PHANTOM
        return Verdict(taken=False, reasons=(Reason(sentence=why),))
    return evaluate(pipeline.rule, series)


def evaluate(rule: Rule, series: SeriesSummary) -> Verdict:
    """Return whether the rule takes the series; our own results are never taken."""
    if series.manufacturer.strip().casefold() == OWN_MANUFACTURER:
        ours = Reason(sentence=OWN_RESULT)
        return Verdict(taken=False, reasons=(ours,))
    finding = _look(rule, series)
    return Verdict(taken=finding.holds, reasons=() if finding.holds else finding.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """Whether a condition holds, and the facts that decided it, either way."""

    holds: bool
    facts: tuple[Reason, ...]


def _yes(sentence: str, found: str = "") -> _Finding:
    return _Finding(holds=True, facts=(Reason(sentence=sentence, found=found),))


def _no(sentence: str, found: str = "") -> _Finding:
    return _Finding(holds=False, facts=(Reason(sentence=sentence, found=found),))


def _look(rule: Rule, series: SeriesSummary) -> _Finding:
    """Return what the rule's table says; its keys are looked at from cheap to telling."""
    conditions = (_coded, _measured, _worded, _combined)
    return _every([finding for look in conditions for finding in look(rule, series)])


def _coded(rule: Rule, series: SeriesSummary) -> Iterator[_Finding]:
    if rule.modality:
        yield _one_of("modality", series.modality, rule.modality)
    if rule.body_part:
        yield _one_of("body part", series.body_part, rule.body_part)
    if rule.image_type:
        yield _has_all(series.image_type, rule.image_type)
    if rule.image_type_absent:
        yield _has_none(series.image_type, rule.image_type_absent)


def _measured(rule: Rule, series: SeriesSummary) -> Iterator[_Finding]:
    if rule.instances:
        count = series.number_of_instances
        yield _within(f"{count} instance{'' if count == 1 else 's'}", count, rule.instances)
    if rule.slice_thickness_mm:
        yield _thickness(series.slice_thickness_mm, rule.slice_thickness_mm)


def _worded(rule: Rule, series: SeriesSummary) -> Iterator[_Finding]:
    if rule.series_description:
        yield _matches("series description", series.description, rule.series_description)
    if rule.manufacturer:
        yield _matches("manufacturer", series.manufacturer, rule.manufacturer)
    if rule.called_ae_title:
        yield _titled("called", series.called_ae_title, rule.called_ae_title)
    if rule.calling_ae_title:
        yield _titled("calling", series.calling_ae_title, rule.calling_ae_title)


def _combined(rule: Rule, series: SeriesSummary) -> Iterator[_Finding]:
    if rule.all_of:
        yield _every([_look(part, series) for part in rule.all_of])
    if rule.any_of:
        yield _some([_look(part, series) for part in rule.any_of])
    if rule.negated:
        yield _not(_look(rule.negated, series))


def _every(findings: Sequence[_Finding]) -> _Finding:
    holds = all(finding.holds for finding in findings)
    return _Finding(
        holds=holds,
        facts=tuple(fact for x in findings if x.holds is holds for fact in x.facts),
    )


def _some(findings: Sequence[_Finding]) -> _Finding:
    """Return the first that holds, or all that failed in one sentence."""
    for finding in findings:
        if finding.holds:
            return finding
    failed = [_joined(finding.facts, " and ") for finding in findings]
    return _Finding(holds=False, facts=(_joined(failed, ", or "),))


def _not(finding: _Finding) -> _Finding:
    if not finding.holds:
        return _Finding(holds=True, facts=finding.facts)
    excluded = _joined(finding.facts, " and ")
    return _no(f"{excluded.sentence}, which the rule excludes", excluded.found)


def _joined(facts: Sequence[Reason], word: str) -> Reason:
    return Reason(
        sentence=word.join(fact.sentence for fact in facts),
        found=", ".join(dict.fromkeys(fact.found for fact in facts if fact.found)),
    )


def _one_of(name: str, value: str, wanted: Sequence[str]) -> _Finding:
    value = value.strip()
    # What is no code may be text that someone typed.
    shown = value if _CODE_STRING.fullmatch(value) else "not a code" if value else "absent"
    if value in wanted:
        return _yes(f"{name} is {shown}")
    return _no(f"{name} is {shown}, the rule wants {' or '.join(wanted)}")


def _has_all(values: Sequence[str], wanted: Sequence[str]) -> _Finding:
    if missing := [value for value in wanted if value not in values]:
        return _no(f"image type lacks {' and '.join(missing)}")
    return _yes(f"image type has {' and '.join(wanted)}")


def _has_none(values: Sequence[str], unwanted: Sequence[str]) -> _Finding:
    if present := [value for value in unwanted if value in values]:
        return _no(f"image type has {' and '.join(present)}, which the rule excludes")
    return _yes(f"image type has no {' or '.join(unwanted)}")


def _thickness(thickness: float | None, bounds: Bounds) -> _Finding:
    if thickness is None:
        return _no("slice thickness is absent")
    return _within(f"slice thickness is {thickness:g} mm", thickness, bounds)


def _within(fact: str, value: float, bounds: Bounds) -> _Finding:
    if bounds.min is not None and value < bounds.min:
        return _no(f"{fact}, the rule wants at least {bounds.min:g}")
    if bounds.max is not None and value > bounds.max:
        return _no(f"{fact}, the rule wants at most {bounds.max:g}")
    return _yes(fact)


def _matches(name: str, text: str, pattern: Pattern) -> _Finding:
    if pattern.found_in(text):
        return _yes(f"{name} matches '{pattern.source}'", text)
    return _no(f"{name} does not match '{pattern.source}'", text)


def _titled(which: str, title: str, wanted: Sequence[str]) -> _Finding:
    if title.strip() in wanted:
        return _yes(f"{which} AE title is {' or '.join(wanted)}", title)
    return _no(f"{which} AE title is not {' or '.join(wanted)}", title)
