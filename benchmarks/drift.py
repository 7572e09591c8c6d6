"""Months of predictions, replayed with changes of known size: what the monitor sees, and when.

    python benchmarks/drift.py [--repeats 9] [--years 6]

Studies are drawn from the distributions and correlations of the product's own features over real
images, and changed as the same images changed (`drift_measure.py`). They go through the product's
own monitor, with a reference of its own in each repetition, and through two others: a
Kolmogorov-Smirnov test of each feature each day, and CheXstray's combined score. Writes `DRIFT.md`
and `drift.png`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from drift_peers import CHEXSTRAY_DAYS, chexstray, daily_ks, first_alarm, threshold_for
from drift_report import Row, write_page
from scipy.stats import norm

from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import Observation, Stratum, Turn
from clic_edge.drift.monitor import evaluate
from clic_edge.drift.plan import Policy, plan_charts
from clic_edge.drift.reference import Acceptance, freeze

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.monitoring import Evaluation, Reference

    Numbers = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
BEGIN = datetime(2026, 1, 1, 7, tzinfo=UTC)
PER_DAY = 30
YEAR = 365
BASELINE = 3000
CALM, CHANGED = 300, 1200
"""Studies before and after a change."""
WINDOW = CHEXSTRAY_DAYS * PER_DAY
SIZES = (0.5, 1.0, 2.0)
ONE_SD = "one number by one sd"
HALF = "label shift (half of the studies older)"
MIXED = 0.5
DAY_EFFECT = 0.05
WOMEN = 0.55
SCANNER = Stratum(manufacturer="A", model_name="B", software_versions="C")
POLICY = Policy()


@dataclass(frozen=True, kw_only=True)
class World:
    """Where studies come from."""

    names: list[str]
    quantiles: Numbers
    correlation: Numbers
    shifts: dict[str, Numbers]
    spreads: dict[str, Numbers]
    cases: int
    day_effect: float = 0.0
    """The part of the variance that the studies of a day share."""

    @classmethod
    def read(cls) -> World:
        """Return what `drift_measure.py` kept."""
        kept = json.loads((HERE / "drift_features.json").read_text())
        return cls(
            names=kept["names"],
            quantiles=np.array(kept["quantiles"]),
            correlation=np.array(kept["correlation"]),
            shifts={name: np.array(one) for name, one in kept["shifts"].items()},
            spreads={name: np.array(one) for name, one in kept["spreads"].items()},
            cases=kept["cases"],
        )

    @cached_property
    def mixing(self) -> Numbers:
        """A root of the correlation, rounded back to one where rounding made it none."""
        values, vectors = np.linalg.eigh(self.correlation)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))

    @cached_property
    def age(self) -> Numbers:
        """How much each score says of age: smaller volumes are older."""
        volume = np.array([name.endswith("volume_mm3") for name in self.names], dtype=float)
        return np.asarray(-0.5 * volume / np.sqrt(volume @ self.correlation @ volume))


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of a size, in the scores of the studies after it."""

    name: str = "nothing"
    size: float = 0.0
    feature: int | None = None

    def apply(self, world: World, scores: Numbers, rng: np.random.Generator) -> Numbers:
        """Return the scores of studies after the change."""
        if self.feature is not None:
            moved = scores.copy()
            moved[:, self.feature] += self.size
            return moved
        name = "older population" if self.name == HALF else self.name
        spread = 1 + (world.spreads[name] - 1) * min(self.size, 1.0)
        moved = scores * spread + self.size * world.shifts[name]
        if self.name == HALF:
            return np.where(rng.random((len(scores), 1)) < MIXED, moved, scores)
        return np.asarray(moved)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Studies as rows: numbers, and what else is told of them."""

    table: Numbers = field(repr=False)
    women: NDArray[np.bool_] = field(repr=False)


def joined(first: Stream, then: Stream) -> Stream:
    """Return one stream after another."""
    return Stream(
        table=np.concatenate([first.table, then.table]),
        women=np.concatenate([first.women, then.women]),
    )


def drawn(world: World, n: int, rng: np.random.Generator, change: Change | None = None) -> Stream:
    """Return n studies; a change is in all of them."""
    return _stream(world, _scores(world, n, rng), rng, change)


def _scores(world: World, n: int, rng: np.random.Generator) -> Numbers:
    """Return correlated scores."""
    own = rng.normal(size=(n, len(world.names)))
    if world.day_effect:
        days = np.repeat(rng.normal(size=(n // PER_DAY + 1, len(world.names))), PER_DAY, axis=0)[:n]
        own = np.sqrt(1 - world.day_effect) * own + np.sqrt(world.day_effect) * days
    return np.asarray(own @ world.mixing.T)


def _stream(
    world: World, scores: Numbers, rng: np.random.Generator, change: Change | None
) -> Stream:
    moved = change.apply(world, scores, rng) if change else scores
    columns = []
    levels = np.linspace(0, 1, world.quantiles.shape[1])
    for column, quantiles in zip(moved.T, world.quantiles, strict=True):
        value = np.interp(norm.cdf(column), levels, quantiles)
        # Beyond the range of what was measured, on with its own sd.
        sd = (quantiles[-5] - quantiles[4]) / 2.6
        value += sd * (np.maximum(column - 2.5, 0) - np.maximum(-2.5 - column, 0))
        columns.append(value)
    age = moved @ world.age + np.sqrt(0.75) * rng.normal(size=len(moved))
    columns.append(np.clip((60 + 12 * age) // 10 * 10, 20, 90))
    columns.append(np.exp(rng.normal(0, 0.2, len(moved))))
    return Stream(table=np.stack(columns, axis=1), women=rng.random(len(moved)) < WOMEN)


def observations(world: World, stream: Stream, first: int) -> list[Observation]:
    """Return the stream as the log tells it, from the study with a number."""
    names = [*world.names, "input.age_band_years", "seconds.predict"]
    made = []
    for index, (row, woman) in enumerate(zip(stream.table.tolist(), stream.women, strict=True)):
        day, place = divmod(first + index, PER_DAY)
        made.append(
            Observation(
                at=BEGIN + timedelta(days=day, minutes=20 * place),
                stratum=SCANNER,
                features=(
                    *(Feature(name=n, number=v) for n, v in zip(names, row, strict=True)),
                    Feature(name="input.sex", text="F" if woman else "M"),
                ),
            )
        )
    return made


def reference(seen: list[Observation]) -> Reference:
    """Return what a person would freeze."""
    who = Acceptance(
        name="r",
        model_id="m",
        model_version="1",
        model_digest="d",
        frozen_at=seen[-1].at,
        frozen_by="benchmark",
    )
    return freeze(seen, SCANNER, who)


def delays(
    evaluation: Evaluation, seen: list[Observation], chart: str | None = None
) -> tuple[float, float]:
    """Return studies until the first alarm after a change opened and was confirmed.

    Of all charts, or of one: where a single number moves, those it goes along with tell at once
    that it has left them, which no real change does.
    """
    change = seen[CALM].at
    index = {one.at: number - CALM + 1 for number, one in enumerate(seen)}
    after = [
        one for one in evaluation.opened if one.opened_at >= change and chart in {None, one.chart}
    ]
    opened = min((index[one.opened_at] for one in after), default=np.inf)
    ids = {one.alarm_id for one in after}
    turns = (
        index[one.at]
        for one in evaluation.turned
        if one.turn is Turn.CONFIRMED and one.alarm_id in ids
    )
    return float(opened), float(min(turns, default=np.inf))


def calm_years(world: World, years: int) -> dict[str, list[Numbers]]:
    """Return what every method says of years in which nothing changes."""
    found: dict[str, list[Numbers]] = {"ours": [], "ks": [], "chexstray": []}
    for seed in range(years):
        rng = np.random.default_rng([1, seed])
        past = drawn(world, BASELINE, rng)
        now = drawn(world, YEAR * PER_DAY, rng)
        made = reference(observations(world, past, 0))
        plan = plan_charts(made, POLICY)
        seen = evaluate(made, observations(world, now, BASELINE), policy=POLICY, plan=plan)
        charts = len({one.name for one in plan.charts})
        rung = [one for one in seen.opened if not one.is_event]
        events = sum(one.is_event for one in seen.opened)
        found["ours"].append(np.array([len(rung), charts, events], dtype=float))
        if not world.day_effect:
            found["ks"].append(daily_ks(past.table, now.table))
            found["chexstray"].append(chexstray(past, now))
    return found


def replay(
    world: World,
    change: Change,
    thresholds: dict[str, float],
    *,
    repeats: int,
    begin: int = 0,
) -> dict[str, Numbers]:
    """Return for each repetition the studies until each method saw the change."""
    found: dict[str, list[float]] = {one: [] for one in ("opened", "confirmed", "ks", "chexstray")}
    for seed in range(begin, begin + repeats):
        rng = np.random.default_rng([2, seed])
        past = drawn(world, BASELINE, rng)
        calm = drawn(world, CALM, rng)
        changed = drawn(world, CHANGED, rng, change)
        now = joined(calm, changed)
        made = reference(observations(world, past, 0))
        seen = observations(world, now, BASELINE // PER_DAY * PER_DAY + PER_DAY)
        chart = None if change.feature is None else world.names[change.feature]
        opened, confirmed = delays(evaluate(made, seen, policy=POLICY), seen, chart)
        found["opened"].append(opened)
        found["confirmed"].append(confirmed)
        # Rolling windows are full when the change comes, as they would be.
        rolling = joined(Stream(table=past.table[-WINDOW:], women=past.women[-WINDOW:]), now)
        days = (WINDOW + CALM) // PER_DAY
        for name, said in (
            ("ks", daily_ks(past.table, rolling.table)),
            ("chexstray", chexstray(past, rolling)),
        ):
            found[name].append(PER_DAY * first_alarm(said, thresholds[name], after=days))
    return {name: np.array(values) for name, values in found.items()}


def single(world: World, repeats: int) -> list[Change]:
    """Return shifts of single features, each in turn."""
    return [
        Change(name=ONE_SD, size=1.0, feature=index % len(world.names)) for index in range(repeats)
    ]


def main() -> None:
    """Replay, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--years", type=int, default=6)
    given = parser.parse_args()
    begun = time.perf_counter()
    world = World.read()
    calm = calm_years(world, given.years)
    rung = np.array(calm["ours"])
    allowed = float(rung[:, 0].mean())
    thresholds = {name: threshold_for(calm[name], per_year=allowed) for name in ("ks", "chexstray")}
    busy = replace(world, day_effect=DAY_EFFECT)
    dependent = np.array(calm_years(busy, max(3, given.years // 3))["ours"])
    rows = []
    for place, name, size in (
        *((world, ONE_SD, size) for size in SIZES),
        (busy, f"{ONE_SD}, days alike", 1.0),
    ):
        per_feature = [
            replay(
                place,
                Change(name=one.name, size=size, feature=one.feature),
                thresholds,
                repeats=1,
                begin=100 + number,
            )
            for number, one in enumerate(single(world, 2 * given.repeats))
        ]
        merged = {
            method: np.concatenate([one[method] for one in per_feature])
            for method in per_feature[0]
        }
        rows.append(Row(change=name, size=size, delays=merged))
    for name in (*world.shifts, HALF):
        for size in SIZES:
            found = replay(world, Change(name=name, size=size), thresholds, repeats=given.repeats)
            rows.append(Row(change=name, size=size, delays=found))
            print(name, size, {k: float(np.median(v)) for k, v in found.items()}, flush=True)
    write_page(
        HERE,
        rows,
        calm={"independent": rung, "dependent": dependent},
        world={"features": float(len(world.names)), "cases": float(world.cases)},
        seconds=time.perf_counter() - begun,
    )


if __name__ == "__main__":
    main()
