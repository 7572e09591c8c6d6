"""The stages up to the prediction. Each can be run again: what it made is found, not made twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from clic_edge import telemetry
from clic_edge.deid import deidentify
from clic_edge.dicom.acquisition import acquisition_of
from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.reading import read_header
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.case import Case
from clic_edge.domain.feature import Feature
from clic_edge.domain.result import SeriesRefusal
from clic_edge.drift.features import agreement_features, input_features, output_features
from clic_edge.errors import ClicEdgeError, Defect, Refusal
from clic_edge.ledger.predictions import LoggedPrediction
from clic_edge.ledger.shadows import ShadowFailure
from clic_edge.pipeline.completeness import require_complete
from clic_edge.pipeline.line import Line, ReadyPipeline
from clic_edge.pipeline.supersession import superseded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.study import Series
    from clic_edge.domain.volume import Volume

_T = TypeVar("_T")
ASKED_OF_ORIGINAL = frozenset({"suv_bw_factor", "contrast", "age_years", "sex"})
"""Fields of `Acquisition` that a cleaned image no longer tells."""
Stage = Callable[[Line, Case], None]


def accept(line: Line, case: Case) -> None:
    """Let a case in whose study is complete and still what was routed."""
    pipeline = line.pipeline(case.pipeline)
    study = line.archive.study(case.study_id)
    if not superseded(line, case, study) and not case.expedited:
        require_complete(study, pipeline)


def predict(line: Line, case: Case) -> None:
    """Predict each series that is neither in the log yet nor refused.

    A series that can't be analysed does not keep the others from it: why is told in the results.

    Raises
    ------
    Refusal, Defect
        As `require_told`, where no series can be analysed.

    """
    pipeline = line.pipeline(case.pipeline)
    ledger = line.ledger
    if ledger.deliveries.results(case.case_id):
        return
    if pipeline.silence:
        _watch(line, case, pipeline)
        keep_silent(line, case, pipeline)
        return
    digest = pipeline.runtime().model.digest
    refused = {one.series_id: one for one in ledger.deliveries.refusals(case.case_id, digest)}
    for series_id in case.series_ids:
        prediction_id = _digest(case.case_id, series_id, digest)
        if series_id in refused or ledger.predictions.has(prediction_id):
            continue
        clock = _Clock()
        try:
            seen = _see(line, case, series_id, pipeline=pipeline, clock=clock)
            _predict_series(line, seen, clock)
            ledger.deliveries.forgive(case.case_id, series_id)
        except (Refusal, Defect) as why:
            refused[series_id] = refuse(line, case, series_id, why=why, digest=digest)
    if refused.keys() == set(case.series_ids):
        require_told(refused.values(), told=pipeline.tells_refusals)


def keep_silent(line: Line, case: Case, pipeline: ReadyPipeline) -> None:
    """Refuse every series of a pipeline in which no model speaks, so that the reader is told.

    Raises
    ------
    Refusal
        ``model-in-shadow``, ``no-active-model``: there is nothing to tell a reader; or the
        pipeline keeps refusals to itself.

    """
    silence = pipeline.silence
    if silence is None:
        return
    if silence.suspended is None:
        raise silence.why
    digest = silence.suspended.digest
    refused = [
        refuse(line, case, series_id, why=silence.why, digest=digest)
        for series_id in case.series_ids
    ]
    require_told(refused, told=pipeline.tells_refusals)


def _watch(line: Line, case: Case, pipeline: ReadyPipeline) -> None:
    """Let what runs in the shadow see a case of which no model speaks."""
    if not pipeline.challengers:
        return
    for series_id in case.series_ids:
        clock = _Clock()
        try:
            seen = _see(line, case, series_id, pipeline=pipeline, clock=clock)
        except (Refusal, Defect) as why:
            telemetry.challenger_failed(case_id=case.case_id, code=why.code)
        else:
            _challenge(line, seen, None)


def refuse(
    line: Line, case: Case, series_id: str, *, why: Refusal | Defect, digest: str
) -> SeriesRefusal:
    """Remember why a model has no result for a series, and return it."""
    refusal = SeriesRefusal(
        series_id=series_id,
        code=why.code,
        reason=why.sentence,
        withheld=isinstance(why, Defect),
    )
    line.ledger.deliveries.refuse(case.case_id, refusal, model_digest=digest)
    return refusal


def require_told(refusals: Iterable[SeriesRefusal], *, told: bool) -> None:
    """Return where all series of a case are refused and the reader is to be told why.

    Raises
    ------
    Defect
        One of them is broken: a person looks at it before anything leaves.
    Refusal
        The pipeline keeps refusals to itself.

    """
    given = list(refusals)
    for one in given:
        if one.withheld:
            raise Defect(one.code, one.reason)
    if not told:
        raise Refusal(given[0].code, given[0].reason)


def _see(
    line: Line, case: Case, series_id: str, *, pipeline: ReadyPipeline, clock: _Clock
) -> _Seen:
    series = clock("fetch", line.archive.series(series_id))
    pseudonym = line.key.pseudonym(series.patient_id, series.issuer_of_patient_id)
    clean = clock("deidentify", deidentify(series, pipeline.profile, pseudonym))
    volume = clock("volume", build_volume(clean, pipeline.volume_policy))
    return _Seen(
        case=case,
        pipeline=pipeline,
        series_id=series_id,
        series=series,
        volume=volume,
    )


def _predict_series(line: Line, seen: _Seen, clock: _Clock) -> None:
    runtime = seen.pipeline.runtime()
    seen = seen.told(runtime.needs)
    prediction = clock("predict", runtime.predict(seen.volume.narrowed(runtime.needs)))
    _log(line, seen, prediction, read=clock.features)
    _challenge(line, seen, prediction)


def told_by(series: Series, volume: Volume, needs: frozenset[str]) -> Volume:
    """Return the volume with what its package asks of the patient, read from the original.

    De-identification takes dose, weight, age and times away, and rightly so: what a package
    declares that it needs is worked out on this side, and only the answer goes on.
    """
    asked = ASKED_OF_ORIGINAL & needs
    if not asked:
        return volume
    header = read_header(series.instances[volume.slices[0].instance_index].content)
    told = acquisition_of(Attributes(dataset=header, where="the original"))
    answers = {name: getattr(told, name) for name in asked}
    return replace(volume, acquisition=replace(volume.acquisition, **answers))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One volume of a case, as every model of its pipeline sees it."""

    case: Case
    pipeline: ReadyPipeline
    series_id: str
    series: Series
    volume: Volume

    def told(self, needs: frozenset[str]) -> _Seen:
        """Return the same with what a package asks of the patient."""
        return replace(self, volume=told_by(self.series, self.volume, needs))


def _log(
    line: Line,
    seen: _Seen,
    prediction: Prediction,
    *,
    read: tuple[Feature, ...],
    speaks: bool = True,
) -> None:
    case, volume = seen.case, seen.volume
    logged = LoggedPrediction(
        prediction_id=_digest(case.case_id, seen.series_id, prediction.model.digest),
        case_id=case.case_id,
        series_id=seen.series_id,
        subject_id=volume.subject_id,
        series_uid=volume.series_uid,
        prediction=prediction,
        slices=volume.slices,
    )
    forward = Feature(name="seconds.forward", number=prediction.forward_seconds)
    features = (*input_features(volume), *output_features(prediction), *read, forward)
    line.ledger.predictions.log(logged, features, with_mask=speaks)
    telemetry.prediction_made(
        case_id=case.case_id,
        pipeline=case.pipeline,
        model=f"{prediction.model.model_id} {prediction.model.version}",
        device=prediction.device,
    )


def _challenge(line: Line, seen: _Seen, active: Prediction | None) -> None:
    """Let every challenger see the volume too; what goes wrong with it is nobody's loss.

    The active model's prediction is in the log by then, so a challenger that takes the worker
    down costs the case nothing but itself: the next attempt finds the prediction made.
    """
    for challenger in seen.pipeline.challengers:
        digest, clock = "", _Clock()
        try:
            runtime = challenger()
            digest = runtime.model.digest
            told = seen.told(runtime.needs)
            found = clock("predict", runtime.predict(told.volume.narrowed(runtime.needs)))
        except ClicEdgeError as why:
            _note_failure(line, seen, digest, why=why)
            continue
        agreement = agreement_features(found, active) if active else ()
        _log(line, told, found, read=(*clock.features, *agreement), speaks=False)


def _note_failure(line: Line, seen: _Seen, digest: str, *, why: ClicEdgeError) -> None:
    case_id = seen.case.case_id
    telemetry.challenger_failed(case_id=case_id, code=why.code)
    failure = ShadowFailure(
        case_id=case_id,
        series_id=seen.series_id,
        model_digest=digest,
        code=why.code,
        refused=isinstance(why, Refusal),
    )
    line.ledger.shadows.failed(failure)


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
