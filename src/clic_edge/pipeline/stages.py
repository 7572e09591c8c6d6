"""The stages of the line. Each can be run again: what it made before is found, not made twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from clic_edge import telemetry
from clic_edge.deid import deidentify
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.case import Case, CaseState
from clic_edge.domain.feature import Feature
from clic_edge.drift.features import input_features, output_features
from clic_edge.errors import Defect, Refusal, Transient
from clic_edge.ledger.predictions import LoggedPrediction
from clic_edge.pipeline.completeness import require_complete
from clic_edge.pipeline.intake import propose
from clic_edge.pipeline.line import Line
from clic_edge.results.check import check
from clic_edge.results.writer import Analysis

if TYPE_CHECKING:
    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.study import StudySummary
    from clic_edge.pacs.transport import Destination
    from clic_edge.pipeline.line import ReadyPipeline

_T = TypeVar("_T")
Stage = Callable[[Line, Case], None]


def accept(line: Line, case: Case) -> None:
    """Let a case in whose study is complete and still what was routed."""
    pipeline = line.pipeline(case.pipeline)
    study = line.archive.study(case.study_id)
    if not _superseded(line, case, study) and not case.expedited:
        require_complete(study, pipeline)


def predict(line: Line, case: Case) -> None:
    """Predict each series that is not in the log yet."""
    pipeline = line.pipeline(case.pipeline)
    if line.ledger.deliveries.results(case.case_id):
        return
    digest = pipeline.runtime().model.digest
    for series_id in case.series_ids:
        prediction_id = _digest(case.case_id, series_id, digest)
        if not line.ledger.predictions.has(prediction_id):
            _predict_series(line, case, series_id, prediction_id=prediction_id)


def _predict_series(line: Line, case: Case, series_id: str, *, prediction_id: str) -> None:
    pipeline = line.pipeline(case.pipeline)
    clock = _Clock()
    series = clock("fetch", line.archive.series(series_id))
    pseudonym = line.key.pseudonym(series.patient_id, series.issuer_of_patient_id)
    clean = clock("deidentify", deidentify(series, pipeline.profile, pseudonym))
    volume = clock("volume", build_volume(clean, pipeline.volume_policy))
    runtime = pipeline.runtime()
    prediction = clock("predict", runtime.predict(volume.narrowed(runtime.needs)))
    logged = LoggedPrediction(
        prediction_id=prediction_id,
        case_id=case.case_id,
        series_id=series_id,
        subject_id=volume.subject_id,
        series_uid=volume.series_uid,
        prediction=prediction,
        slices=volume.slices,
    )
    seconds = (*clock.features, Feature(name="seconds.forward", number=prediction.forward_seconds))
    features = (*input_features(volume), *output_features(prediction), *seconds)
    line.ledger.predictions.log(logged, features)
    telemetry.prediction_made(
        case_id=case.case_id,
        pipeline=case.pipeline,
        model=f"{prediction.model.model_id} {prediction.model.version}",
        device=prediction.device,
    )


def write(line: Line, case: Case) -> None:
    """Make the result objects, prove them, and keep them beside their source."""
    pipeline = line.pipeline(case.pipeline)
    if line.ledger.deliveries.results(case.case_id):
        return
    if case.started_at is None:
        raise Defect("case-not-started", "The case has no start; results would carry no time.")
    results: list[ResultObject] = []
    for logged in _predictions(line, case, pipeline.runtime().model.digest):
        analysis = Analysis(
            case_id=case.case_id,
            started_at=case.started_at,
            series=line.archive.series(logged.series_id),
            slices=logged.slices,
            prediction=logged.prediction,
        )
        made = _written(pipeline, analysis)
        check(made, analysis)
        results.extend(made)
    line.archive.keep(results)
    line.ledger.deliveries.record(case.case_id, tuple(results))


def _predictions(line: Line, case: Case, model_digest: str) -> tuple[LoggedPrediction, ...]:
    """Return one prediction for each series; the model may have changed since they were made."""
    logged = line.ledger.predictions.of_case(case.case_id, model_digest)
    if {one.series_id for one in logged} != set(case.series_ids):
        raise Transient(
            "prediction-stale",
            "The model changed after it had predicted; it predicts again.",
            retry_after=timedelta(seconds=1),
        )
    return logged


def _written(pipeline: ReadyPipeline, analysis: Analysis) -> tuple[ResultObject, ...]:
    made: tuple[ResultObject, ...] = ()
    for writer in pipeline.writers:
        made = (*made, *writer.write(analysis, made))
    return made


def deliver(line: Line, case: Case) -> None:
    """Send to each destination what it has not accepted yet.

    One destination that is down does not keep the results from the others.

    Raises
    ------
    Transient
        A destination is out of reach, or rejected an object; what was accepted is remembered.

    """
    pipeline = line.pipeline(case.pipeline)
    if _superseded(line, case, line.archive.study(case.study_id)):
        return
    if not line.ledger.deliveries.results(case.case_id):
        raise Defect("nothing-to-deliver", "The case has no result object, so it is not delivered.")
    hindrances = tuple(
        hindrance
        for name, destination in pipeline.destinations
        if (hindrance := _deliver_to(line, case, destination, name=name))
    )
    if hindrances:
        raise hindrances[0]


def _deliver_to(line: Line, case: Case, destination: Destination, *, name: str) -> Transient | None:
    accepted = {
        receipt.sop_instance_uid
        for receipt in line.ledger.deliveries.receipts(case.case_id)
        if receipt.destination == name and receipt.accepted
    }
    missing = [
        line.archive.result(row.sop_instance_uid, row.kind)
        for row in line.ledger.deliveries.results(case.case_id)
        if row.sop_instance_uid not in accepted
    ]
    if not missing:
        return None
    try:
        receipts = destination.deliver(missing)
    except Transient as hindrance:
        return hindrance
    line.ledger.deliveries.receive(receipts)
    for receipt in receipts:
        telemetry.receipt_came(case_id=case.case_id, destination=name, accepted=receipt.accepted)
    rejected = [receipt for receipt in receipts if not receipt.accepted]
    if len(receipts) == len(missing) and not rejected:
        return None
    statuses = ", ".join(sorted({receipt.status for receipt in rejected})) or "no answer"
    return Transient(
        "destination-rejected",
        f"{name} took {len(receipts) - len(rejected)} of {len(missing)} objects ({statuses}).",
    )


def finish(line: Line, case: Case) -> None:
    """Close the case as delivered."""
    line.ledger.cases.close(case, CaseState.DELIVERED)


def _superseded(line: Line, case: Case, study: StudySummary) -> bool:
    """Whether the series grew since routing; then a case on the whole takes this one's place."""
    pipeline = line.pipeline(case.pipeline)
    proposed = propose(study, (pipeline.settings,))
    if case.case_id in {now.case_id for now in proposed}:
        return False
    if case.pipeline not in {now.pipeline for now in proposed}:
        raise Refusal("series-gone", "The series that the rule took is not in the study any more.")
    for now in proposed:
        line.ledger.cases.admit(now)
    line.ledger.cases.close(case, CaseState.SUPERSEDED, reason="late images made a new case")
    return True


class _Clock:
    """Seconds since the last reading, kept as features."""

    def __init__(self) -> None:
        self._last = perf_counter()
        self.features: tuple[Feature, ...] = ()

    def __call__(self, name: str, value: _T) -> _T:
        now = perf_counter()
        self.features += (Feature(name=f"seconds.{name}", number=now - self._last),)
        self._last = now
        return value


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
