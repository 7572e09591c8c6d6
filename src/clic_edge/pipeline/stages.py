"""The stages up to the prediction. Each can be run again: what it made is found, not made twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.domain.case import Case
from clic_edge.domain.feature import Feature
from clic_edge.domain.image import InputKind
from clic_edge.domain.result import SeriesRefusal
from clic_edge.drift.features import agreement_features, input_features, output_features
from clic_edge.errors import ClicEdgeError, Defect, Refusal, Transient
from clic_edge.ledger.predictions import LoggedPrediction
from clic_edge.ledger.shadows import ShadowFailure
from clic_edge.pipeline.completeness import require_complete
from clic_edge.pipeline.line import Line, ReadyPipeline
from clic_edge.pipeline.seeing import Clock, Part, free_texts, parts_of, read_series
from clic_edge.pipeline.supersession import require_one_patient, superseded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clic_edge.domain.prediction import Prediction
    from clic_edge.pipeline.seeing import Seen

Stage = Callable[[Line, Case], None]


def accept(line: Line, case: Case) -> None:
    """Let a case in whose study is complete, of one patient, and still what was routed."""
    pipeline = line.pipeline(case.pipeline)
    study = line.archive.study(case.study_id)
    if superseded(line, case, study):
        return
    require_one_patient(line, study)
    if not case.expedited:
        require_complete(study, pipeline)


def predict(line: Line, case: Case) -> None:
    """Predict each series, or each image of it, that is neither in the log yet nor refused.

    One that can't be analysed does not keep the others from it: why is told in the results.

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
    runtime = pipeline.runtime()
    digest = runtime.model.digest
    refused = {part_of(one): one for one in ledger.deliveries.refusals(case.case_id, digest)}
    wanted = parts_of(line, case, runtime.takes)
    for series_id, parts in wanted.items():
        left = [] if Part(series_id) in refused else [one for one in parts if one not in refused]
        missing = [one for one in left if not ledger.predictions.has(_name(case, one, digest))]
        new = _predict_series(line, case, series_id, pipeline=pipeline, parts=missing)
        refused |= {part_of(one): one for one in new}
    if all(refused.keys() & {Part(one.series_id), one} for own in wanted.values() for one in own):
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
    if silence.stopped is None:
        raise silence.why
    digest = silence.stopped.digest
    refused = [
        refuse(line, case, Part(series_id), why=silence.why, digest=digest)
        for series_id in case.series_ids
    ]
    require_told(refused, told=pipeline.tells_refusals)


def _watch(line: Line, case: Case, pipeline: ReadyPipeline) -> None:
    """Let what runs in the shadow see a case of which no model speaks."""
    if not pipeline.challengers:
        return
    kind = _kind(pipeline)
    for series_id, parts in parts_of(line, case, kind).items():
        try:
            read = read_series(line, case, series_id, pipeline=pipeline, kind=kind)
            for part in parts:
                _challenge(line, read.see(part), None)
        except (Refusal, Defect) as why:
            telemetry.challenger_failed(case_id=case.case_id, code=why.code)


def _kind(pipeline: ReadyPipeline) -> InputKind:
    """Return what the challengers look at, as the first of them says that loads."""
    for challenger in pipeline.challengers:
        try:
            return challenger().takes
        except ClicEdgeError:
            continue  # that is told when its turn comes
    return InputKind.VOLUME


def part_of(refusal: SeriesRefusal) -> Part:
    """Return what a refusal is about."""
    return Part(refusal.series_id, refusal.image)


def refuse(
    line: Line, case: Case, part: Part, *, why: Refusal | Defect, digest: str
) -> SeriesRefusal:
    """Remember why a model has no result for a series, or an image, and return it."""
    refusal = SeriesRefusal(
        series_id=part.series_id,
        image=part.image,
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


def _predict_series(
    line: Line,
    case: Case,
    series_id: str,
    *,
    pipeline: ReadyPipeline,
    parts: Sequence[Part],
) -> list[SeriesRefusal]:
    """Predict some parts of a series, and return why others of them can't be."""
    runtime = pipeline.runtime()
    digest = runtime.model.digest
    refused: list[SeriesRefusal] = []
    if not parts:
        return refused
    try:
        read = read_series(line, case, series_id, pipeline=pipeline, kind=runtime.takes)
    except (Refusal, Defect) as why:
        return [refuse(line, case, Part(series_id), why=why, digest=digest)]
    for part in parts:
        try:
            _predict_part(line, read.see(part))
            line.ledger.deliveries.forgive(case.case_id, series_id, image=part.image)
        except (Refusal, Defect) as why:
            refused.append(refuse(line, case, part, why=why, digest=digest))
    return refused


def _predict_part(line: Line, seen: Seen) -> None:
    runtime = seen.read.pipeline.runtime()
    told, clock = seen.by(runtime), Clock(seen.seconds)
    prediction = clock("predict", told.predicted(runtime))
    _log(line, told, prediction, read=clock.features)
    _challenge(line, seen, prediction)


def _log(
    line: Line,
    told: Seen,
    prediction: Prediction,
    *,
    read: tuple[Feature, ...],
    speaks: bool = True,
) -> None:
    case, seen = told.read.case, told.seen
    logged = LoggedPrediction(
        prediction_id=_name(case, told.part, prediction.model.digest),
        case_id=case.case_id,
        series_id=told.part.series_id,
        subject_id=seen.subject_id,
        series_uid=seen.series_uid,
        prediction=prediction,
        slices=seen.slices,
    )
    forward = Feature(name="seconds.forward", number=prediction.forward_seconds)
    texts = free_texts(told.read.series, seen, line.key)
    features = (*input_features(seen), *texts, *output_features(prediction), *read, forward)
    cleaned = told.read.certificate
    line.ledger.predictions.log(logged, features, with_mask=speaks, cleaned=cleaned)
    telemetry.prediction_made(
        case_id=case.case_id,
        pipeline=case.pipeline,
        model=f"{prediction.model.model_id} {prediction.model.version}",
        device=prediction.device,
    )


def _challenge(line: Line, seen: Seen, active: Prediction | None) -> None:
    """Let every challenger see the volume too; what goes wrong with it is nobody's loss.

    The active model's prediction is in the log by then, so a challenger that takes the worker
    down costs the case nothing but itself: the next attempt finds the prediction made.
    """
    for challenger in seen.read.pipeline.challengers:
        digest, clock = "", Clock()
        try:
            runtime = challenger()
            digest = runtime.model.digest
            told = seen.by(runtime)
            found = clock("predict", told.predicted(runtime))
        except ClicEdgeError as why:
            _note_failure(line, seen, digest, why=why)
            continue
        agreement = agreement_features(found, active) if active else ()
        _log(line, told, found, read=(*clock.features, *agreement), speaks=False)


def _note_failure(line: Line, seen: Seen, digest: str, *, why: ClicEdgeError) -> None:
    case_id = seen.read.case.case_id
    telemetry.challenger_failed(case_id=case_id, code=why.code)
    if isinstance(why, Transient):
        return  # the machine was busy, which says nothing of the model
    failure = ShadowFailure(
        case_id=case_id,
        series_id=seen.part.series_id,
        model_digest=digest,
        code=why.code,
        refused=isinstance(why, Refusal),
    )
    line.ledger.shadows.failed(failure)


def _name(case: Case, part: Part, model_digest: str) -> str:
    """Return the prediction's id: the same part of a case and the same model have the same."""
    told = "\n".join((case.case_id, *part.names, model_digest))
    return hashlib.sha256(told.encode()).hexdigest()[:32]
