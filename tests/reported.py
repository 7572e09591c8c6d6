"""A ledger with a month in it: a reference, a scanner that changed, refusals, readers, canaries."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from observed import BEGIN, STEP, Habit, acceptance, log, observations

from clic_edge.board.report import Maker, Subject, model_report, month
from clic_edge.domain.assessment import Assessment, Reason, Source
from clic_edge.domain.assessment import Verdict as Word
from clic_edge.domain.constancy import SCHEDULE, Run, Verdict, constancy_pipeline
from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import Acknowledgement
from clic_edge.domain.result import SeriesRefusal
from clic_edge.domain.standing import CONFIGURATION, ModelState, Placement
from clic_edge.domain.truth import Origin, Truth
from clic_edge.drift.plan import Policy
from clic_edge.drift.reference import STRATUM_FEATURES
from clic_edge.ledger import Ledger
from clic_edge.ledger.features import write_features
from clic_edge.ledger.schema import cases, model_events, predictions, series_refusals
from clic_edge.pipeline.monitoring import freeze_references, watch_models

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from clic_edge.board.report import ModelReport
    from clic_edge.domain.monitoring import Observation

CANARY = "Canary"
"""Stands in every column that could name a patient, a study or a reader."""
POLICY = Policy(smallest_group=30)
STUDIES = 320
FROZEN_AT = BEGIN + STUDIES * STEP
DIGEST = "d" * 64
SUBJECT = Subject(
    model_id="organs",
    version="1",
    digest=DIGEST,
    title="Organs in MR",
    manufacturer="CLIC",
    intended_use="Outlines organs for <research>.",
)
MADE_AT = datetime.fromisoformat("2026-02-01T03:00:00+00:00")
PERIOD = month(2026, 1)
REASON = "New head coil & cable."


def reported(engine: Engine) -> Ledger:
    """Write a month of one model into an empty ledger, and return it."""
    ledger = Ledger.on(engine)
    place = Placement(pipeline="organs", model_id="organs", version="1", digest=DIGEST)
    ledger.standing.move(place, ModelState.ACTIVE, person=CONFIGURATION, reason="the file says so")
    with engine.begin() as connection:
        connection.execute(model_events.update().values(at=BEGIN))
    log(engine, _few(observations(STUDIES)))
    freeze_references(ledger, acceptance(frozen_at=FROZEN_AT))
    later = observations(
        300, begin=FROZEN_AT + STEP, habit=Habit(shift={"input.noise": 2.0}), seed=2
    )
    ids = log(engine, _few(later))
    watch_models(ledger, POLICY, now=FROZEN_AT + 310 * STEP)
    alarm = next(one for one in ledger.monitoring.alarms() if one.chart == "input.noise")
    seen = Acknowledgement(
        alarm_id=alarm.alarm_id, at=FROZEN_AT + 311 * STEP, person="Ida Fysiker", reason=REASON
    )
    ledger.monitoring.acknowledge(seen)
    _cases(engine)
    _constancy(engine, ledger)
    _refusals(engine, ledger)
    _readers(ledger, ids)
    _truths(engine, ledger)
    with engine.begin() as connection:
        named = {"subject_id": f"{CANARY}Subject", "series_uid": "2.25.666", "series_id": CANARY}
        connection.execute(predictions.update().values(**named))
        connection.execute(cases.update().values(study_id=f"{CANARY}Study", reason=CANARY))
        connection.execute(series_refusals.update().values(reason=f"{CANARY} Patient"))
    return ledger


def _few(seen: list[Observation]) -> list[Observation]:
    """Return observations with few features: each chart of numbers takes its time to design."""
    names = {"input.noise", "output.organ.volume_mm3", "input.sex", *STRATUM_FEATURES}
    return [
        replace(one, features=tuple(it for it in one.features if it.name in names)) for one in seen
    ]


def _cases(engine: Engine) -> None:
    states = ["delivered"] * 40 + ["refused"] * 6 + ["quarantined"] * 2 + ["waiting"]
    rows = [
        {
            "case_id": f"{CANARY}{number}",
            "study_id": "study",
            "pipeline": "organs",
            "series_ids": [],
            "state": state,
            "attempt": 0,
            "expedited": False,
            "code": "model-crashed" if state == "quarantined" else "",
            "reason": "",
            "received_at": BEGIN + number * timedelta(hours=7),
            "started_at": None,
            "updated_at": BEGIN + number * timedelta(hours=7) + timedelta(seconds=60 + number),
            "study_digest": "",
        }
        for number, state in enumerate(states)
    ]
    other = rows[0] | {"case_id": "elsewhere", "pipeline": "another"}
    phantom = rows[0] | {"case_id": "phantom", "pipeline": constancy_pipeline("organs", DIGEST)}
    with engine.begin() as connection:
        connection.execute(cases.insert(), [*rows, other, phantom])


def _constancy(engine: Engine, ledger: Ledger) -> None:
    """Run a phantom on three nights, of which one fails; its prediction is no patient's."""
    for night, verdict in enumerate((Verdict.PASSED, Verdict.FAILED, Verdict.PASSED)):
        at = BEGIN + timedelta(days=10 + night, hours=2)
        run = Run(
            run_id=f"run {night}",
            protocol="phantoms",
            version=1,
            pipeline="organs",
            model_id="organs",
            model_version="1",
            model_digest=DIGEST,
            record_id=None,
            started_at=at,
            started_by=SCHEDULE,
        )
        ledger.constancy.begin(run)
        reason = "" if verdict is Verdict.PASSED else "The volume is 3 % larger."
        ledger.constancy.finish(run.run_id, verdict, at=at + timedelta(minutes=4), reason=reason)
    with engine.begin() as connection:
        row = connection.execute(predictions.select().limit(1)).one()._asdict()
        phantom = {"prediction_id": "of a phantom", "case_id": "phantom"}
        connection.execute(predictions.insert(), [row | phantom])
        write_features(connection, "of a phantom", [Feature(name="input.sex", text="O")])


def _truths(engine: Engine, ledger: Ledger) -> None:
    """Give twelve cases a prediction of their own and a truth; the model is wrong of one."""
    given = []
    for number in range(12):
        case_id, name = f"{CANARY}{number}", f"of case {number}"
        with engine.begin() as connection:
            row = connection.execute(predictions.select().limit(1)).one()._asdict()
            at = BEGIN + timedelta(days=9, minutes=number)
            own = {"prediction_id": name, "case_id": case_id, "created_at": at}
            connection.execute(predictions.insert(), [row | own])
            found = Feature(name="output.organ.volume_mm3", number=1.0 + number / 100)
            write_features(connection, name, [found])
        truth = Truth(
            case_id=case_id,
            finding="organ",
            present=number != 11,
            value=1.0,
            origin=Origin.PATHOLOGY,
            source="registry",
            confidence=None,
            at=FROZEN_AT,
        )
        given.append(truth)
    ledger.truths.record(given)


def _refusals(engine: Engine, ledger: Ledger) -> None:
    for number in range(9):
        broken = number == 8
        refusal = SeriesRefusal(
            series_id=f"{CANARY}{number}",
            image=0,
            code="model-crashed"
            if broken
            else ("slice-thickness", "missing-slice")[number % 3 // 2],
            reason=CANARY,
            withheld=broken,
        )
        ledger.deliveries.refuse(f"{CANARY}{number}", refusal, model_digest=DIGEST)
    with engine.begin() as connection:
        connection.execute(series_refusals.update().values(at=BEGIN + timedelta(days=2)))


def _readers(ledger: Ledger, ids: list[str]) -> None:
    def said(number: int, verdict: Word) -> Assessment:
        edited = verdict is Word.MODIFIED
        return Assessment(
            case_id=f"case of {DIGEST[:8]}",
            prediction_id=ids[number],
            finding="organ",
            verdict=verdict,
            reason=Reason.BOUNDARY if edited else None,
            reader=f"{CANARY}Reader",
            source=Source.SEGMENTATION if edited else Source.PAGE,
            at=FROZEN_AT + timedelta(days=3, minutes=number),
            dice=0.8 + number / 1000 if edited else None,
            volume_mm3=1.1 if edited else None,
        )

    words = [said(number, Word.ACCEPTED) for number in range(80)]
    words += [said(number, Word.MODIFIED) for number in range(80, 90)]
    words += [said(number, Word.REJECTED) for number in range(90, 92)]
    ledger.assessments.record(words)


def january(ledger: Ledger) -> ModelReport:
    """Return the report of that month."""
    maker = Maker(appliance="box", at=MADE_AT, policy=POLICY)
    return model_report(ledger, SUBJECT, PERIOD, by=maker)
