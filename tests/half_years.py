"""A ledger in which half a year has passed: two scanners, one of which gets new software."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from observed import Habit, acceptance, log, observations

from clic_edge.domain import constancy
from clic_edge.domain.assessment import Assessment, Reason, Source, Verdict
from clic_edge.domain.constancy import Compared, KeptReport, Record, ReportFiles, Run
from clic_edge.domain.monitoring import Stratum
from clic_edge.domain.standing import Placement
from clic_edge.drift.plan import Policy
from clic_edge.ledger import Ledger
from clic_edge.pipeline.monitoring import freeze_references, watch_models

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

DIGEST = "d" * 64
PLACE = Placement(pipeline="organs", model_id="organs", version="1", digest=DIGEST)
OLD = Stratum(manufacturer="SIEMENS", model_name="Skyra", software_versions="E11")
NEW = Stratum(manufacturer="SIEMENS", model_name="Skyra", software_versions="E12")
PERSON = "Ida Fysiker"
CASE = "case of dddddddd"
"""All predictions are of it: charts ask for more of predictions than of cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfYear:
    """How much there is of it."""

    days: int = 180
    per_day: int = 6
    reference_days: int = 100
    shift_day: int = 130
    """From here on the images of the old software are noisier."""
    upgrade_day: int = 150


def fill(engine: Engine, year: HalfYear, *, now: datetime | None = None) -> Ledger:
    """Write half a year of studies, freeze a reference, chart the rest day by day."""
    ledger = Ledger.on(engine)
    now = now or datetime.now(UTC)
    begin = now.replace(hour=6, minute=0, second=0, microsecond=0) - timedelta(days=year.days)
    ledger.standing.enrol(PLACE, [], decides=True)
    ids = []
    for day in range(year.days):
        noisy = {"input.noise": 1.2} if day >= year.shift_day else {}
        habit = Habit(shift=noisy, stratum=NEW if day >= year.upgrade_day else OLD)
        seen = observations(
            year.per_day, begin=begin + timedelta(days=day), habit=habit, seed=1000 + day
        )
        ids += log(engine, seen)
    frozen_at = begin + timedelta(days=year.reference_days)
    given = acceptance(frozen_at=frozen_at, frozen_by=PERSON)
    freeze_references(ledger, given, since=begin - timedelta(days=1))
    assess(ledger, ids[-200:], now)
    for stage, seconds in (("fetch", 2.5), ("infer", 6.0), ("deliver", 1.25)):
        ledger.records.time_stage(CASE, stage, seconds)
    watch_models(ledger, Policy(smallest_group=10), now=now)
    return ledger


def assess(ledger: Ledger, ids: list[str], now: datetime) -> None:
    """Let two readers say something of predictions: most is right, some is redrawn."""
    rng = np.random.default_rng(5)
    given = []
    for index, name in enumerate(ids):
        roll = rng.random()
        verdict = (
            Verdict.ACCEPTED
            if roll < 0.8
            else Verdict.MODIFIED
            if roll < 0.95
            else Verdict.REJECTED
        )
        drawn = verdict is Verdict.MODIFIED
        given.append(
            Assessment(
                case_id=CASE,
                prediction_id=name,
                finding="organ",
                verdict=verdict,
                reason=None if verdict is Verdict.ACCEPTED else list(Reason)[index % 4],
                reader=f"reader-{index % 2}",
                source=Source.SEGMENTATION if drawn else Source.PAGE,
                at=now - timedelta(days=25) + timedelta(hours=2.5 * index),
                dice=float(rng.uniform(0.7, 0.99)) if drawn else None,
                volume_mm3=float(np.exp(0.3 * rng.normal())) if drawn else None,
            )
        )
    ledger.assessments.record(given)


def check_nightly(ledger: Ledger, now: datetime, nights: int = 30) -> None:
    """Let a protocol be commissioned, pass each night, and fail in the last one; keep a report."""
    record = Record(
        protocol="organs-nightly",
        version=1,
        protocol_digest="p" * 64,
        pipeline=PLACE.pipeline,
        model_id=PLACE.model_id,
        model_version=PLACE.version,
        model_digest=DIGEST,
        at=now - timedelta(days=nights + 1),
        person=PERSON,
        device="cpu",
        environment=(),
        outcomes=(),
    )
    ledger.constancy.seal(record)
    for night in range(nights + 1):
        at, failed = now - timedelta(days=nights - night, minutes=10), night == nights
        run = Run(
            run_id=f"run-{night}",
            protocol=record.protocol,
            version=1,
            pipeline=PLACE.pipeline,
            model_id=PLACE.model_id,
            model_version=PLACE.version,
            model_digest=DIGEST,
            record_id=record.record_id if night else None,
            started_at=at,
            started_by=PERSON if night == 0 else "schedule",
        )
        ledger.constancy.begin(run)
        volume = 1000.0 + (40.0 if failed else 0.0)
        results = [
            Compared(case="sphere", quantity="seconds", unit="s", value=8 + night % 3, passed=True),
            Compared(
                case="sphere",
                quantity="organ volume",
                unit="mm3",
                value=volume,
                expected=1000.0,
                tolerance=10.0,
                passed=not failed,
            ),
        ]
        verdict = constancy.Verdict.FAILED if failed else constancy.Verdict.PASSED
        ledger.constancy.finish(
            run.run_id,
            verdict,
            at=at + timedelta(seconds=40),
            results=results,
            reason="organ volume of sphere." if failed else "",
        )
    kept = KeptReport(
        report_id="report1",
        at=now,
        pipeline=PLACE.pipeline,
        model_id=PLACE.model_id,
        version=PLACE.version,
        digest=DIGEST,
        person=PERSON,
        accepted=True,
    )
    ledger.constancy.keep_report(kept, ReportFiles(json="{}", pdf=b"%PDF-1.7"))
