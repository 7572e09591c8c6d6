"""The monitor: observations in, points and alarms out. It goes on where the last call stopped.

Observations are charted in the order of their moments, each once. A feature that an observation
lacks, or that is no number, is no point of its chart. A day without observations has no points.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.monitoring import (
    Alarm,
    AlarmTurn,
    ChartMemory,
    ChartPoint,
    Direction,
    Evaluation,
    Severity,
    Turn,
)
from clic_edge.drift.charts import CEILING, Standing, normal_scores, reflected, watch
from clic_edge.drift.design import is_provisional
from clic_edge.drift.plan import plan_charts, words_of
from clic_edge.drift.reference import ODD, channel_of, tabulate
from clic_edge.drift.wording import moved, new_word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from clic_edge.domain.monitoring import Observation, Reference
    from clic_edge.drift.plan import Chart, Plan, Policy
    from clic_edge.drift.reference import Table


def evaluate(
    reference: Reference,
    observations: Iterable[Observation],
    *,
    policy: Policy,
    memory: Iterable[ChartMemory] = (),
    plan: Plan | None = None,
) -> Evaluation:
    """Return points and alarms of the observations of a reference's stratum.

    `memory` is that of the evaluation before; observations that were charted then do not come
    again. `plan` saves making it anew.
    """
    kept = sorted(
        (one for one in observations if one.stratum == reference.stratum), key=lambda one: one.at
    )
    plan = plan or plan_charts(reference, policy)
    table = tabulate(kept)
    known = {(one.chart, one.direction): one for one in memory}
    followed = [
        _follow(
            chart,
            _Seen(reference=reference, at=[one.at for one in kept], values=values),
            known.get((chart.name, chart.direction))
            or ChartMemory(chart=chart.name, direction=chart.direction),
        )
        for chart in plan.charts
        for values in [_values(chart, plan, table, length=len(kept))]
    ]
    return Evaluation(
        charted=len(kept),
        charted_until=kept[-1].at if kept else reference.last_at,
        points=tuple(point for one in followed for point in one.points),
        opened=(
            *(alarm for one in followed for alarm in one.opened),
            *_new_words(reference, plan, table, at=[one.at for one in kept]),
        ),
        turned=tuple(turn for one in followed for turn in one.turned),
        memory=tuple(one.memory for one in followed),
    )


def alarm_id(*parts: str) -> str:
    """Return what an alarm is known by: the same alarm has the same."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _values(chart: Chart, plan: Plan, table: Table, *, length: int) -> NDArray[np.float64]:
    if chart.feature == ODD:
        return _odd(plan, table, length)
    if chart.word is None:
        return table.number(chart.feature, length)
    words = _words(table, chart.feature, length)
    return np.array([float(one == chart.word) if one else np.nan for one in words])


def _words(table: Table, feature: str, length: int) -> tuple[str, ...]:
    if any(name == feature for name, _ in table.numbers):
        return words_of(table.number(feature, length))
    return table.word(feature, length)


def _odd(plan: Plan, table: Table, length: int) -> NDArray[np.float64]:
    """Return 1 for each observation outside the cloud, 0 inside, NaN where a feature is missing."""
    if plan.cloud is None or not length:
        return np.full(length, np.nan)
    columns = [
        normal_scores(baseline, table.number(name, length))
        for name, baseline in plan.cloud_features
    ]
    distances = plan.cloud.distances(np.stack(columns, axis=1))
    outside = (distances > plan.cloud.radius).astype(np.float64)
    return np.where(np.isnan(distances), np.nan, outside)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    reference: Reference
    at: Sequence[datetime]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    points: tuple[ChartPoint, ...]
    opened: tuple[Alarm, ...]
    turned: tuple[AlarmTurn, ...]
    memory: ChartMemory


def _follow(chart: Chart, seen: _Seen, memory: ChartMemory) -> _Followed:
    present = np.flatnonzero(~np.isnan(seen.values))
    values = seen.values[present]
    at = [seen.at[index] for index in present.tolist()]
    sums = reflected(chart.steps(values), memory.total, ceiling=CEILING * chart.limit)
    standing = Standing(beyond=memory.beyond, open=memory.open, confirmed=memory.confirmed)
    turns, standing = watch(sums.tolist(), chart.limit, standing)
    track = _Track(at=at, values=values, sums=sums, before=memory)
    open_id, opened, turned = memory.alarm_id, list[Alarm](), list[AlarmTurn]()
    for index, turn in turns:
        change = track.change(index)
        sentence = moved(chart, change)
        if turn is Turn.OPENED:
            alarm = _alarm(chart, seen.reference, at[index], sentence=sentence)
            opened.append(alarm)
            open_id = alarm.alarm_id
        else:
            turned.append(_turn(turn, open_id, at[index], seen=seen, sentence=sentence))
    last = track.change(len(values) - 1)
    return _Followed(
        points=tuple(_points(chart, track)),
        opened=tuple(opened),
        turned=tuple(turned),
        memory=replace(
            last,
            total=float(sums[-1]) if len(sums) else memory.total,
            beyond=standing.beyond,
            open=standing.open,
            confirmed=standing.confirmed,
            alarm_id=open_id if standing.open else "",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    """What a chart went through, from where it stood before."""

    at: Sequence[datetime]
    values: NDArray[np.float64]
    sums: NDArray[np.float64]
    before: ChartMemory

    def change(self, index: int) -> ChartMemory:
        """Return since when the sum has not been zero, up to and with a point, and what came."""
        zeros = np.flatnonzero(self.sums[: index + 1] == 0)
        first = int(zeros[-1]) + 1 if len(zeros) else 0
        since = self.at[first] if first <= index else None
        value, points = float(self.values[first : index + 1].sum()), index + 1 - first
        if len(zeros) or self.before.since is None:
            return replace(self.before, since=since, points=points, value=value)
        return replace(
            self.before, points=self.before.points + points, value=self.before.value + value
        )


def _alarm(chart: Chart, reference: Reference, at: datetime, *, sentence: str) -> Alarm:
    key = (reference.reference_id, chart.name, chart.direction, at.isoformat())
    return Alarm(
        alarm_id=alarm_id(*key),
        model_id=reference.model_id,
        model_digest=reference.model_digest,
        reference_id=reference.reference_id,
        stratum=reference.stratum,
        chart=chart.name,
        direction=chart.direction,
        channel=channel_of(chart.feature),
        severity=_severity(reference, Severity.WARNING),
        opened_at=at,
        sentence=sentence,
    )


def _turn(turn: Turn, alarm: str, at: datetime, *, seen: _Seen, sentence: str) -> AlarmTurn:
    severity = Severity.ACTION if turn is Turn.CONFIRMED else Severity.WARNING
    return AlarmTurn(
        alarm_id=alarm,
        turn=turn,
        at=at,
        severity=_severity(seen.reference, severity),
        sentence=sentence if turn is Turn.CONFIRMED else "",
    )


def _severity(reference: Reference, severity: Severity) -> Severity:
    return Severity.ADVISORY if is_provisional(reference.observations) else severity


def _points(chart: Chart, track: _Track) -> Iterator[ChartPoint]:
    days = groupby(range(len(track.at)), key=lambda index: track.at[index].date())
    for day, indices in days:
        chosen = list(indices)
        yield ChartPoint(
            chart=chart.name,
            direction=chart.direction,
            day=day,
            n=len(chosen),
            value=float(track.values[chosen].mean()),
            statistic=float(track.sums[chosen].max()),
            limit=chart.limit,
        )


def _new_words(
    reference: Reference, plan: Plan, table: Table, *, at: Sequence[datetime]
) -> Iterator[Alarm]:
    """Yield an alarm for each word that the reference never had, at its first coming."""
    for feature, vocabulary in plan.vocabularies:
        words = _words(table, feature, len(at))
        for word in sorted({one for one in words if one} - vocabulary):
            yield Alarm(
                alarm_id=alarm_id(reference.reference_id, feature, word),
                model_id=reference.model_id,
                model_digest=reference.model_digest,
                reference_id=reference.reference_id,
                stratum=reference.stratum,
                chart=f"{feature}={word}",
                direction=Direction.UP,
                channel=channel_of(feature),
                severity=_severity(reference, Severity.WARNING),
                opened_at=at[words.index(word)],
                sentence=new_word(feature, word),
                is_event=True,
            )
