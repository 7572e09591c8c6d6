"""The stage that tells: predictions and refusals become result objects, proven and kept."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect, Transient
from clic_edge.results.check import check
from clic_edge.results.check_summary import check_told
from clic_edge.results.rejection import write_rejection
from clic_edge.results.summary import write_summary
from clic_edge.results.writer import Analysis, SeriesStory, Story

if TYPE_CHECKING:
    from datetime import datetime

    from clic_edge.domain.case import Case
    from clic_edge.domain.result import ResultObject
    from clic_edge.ledger.predictions import LoggedPrediction
    from clic_edge.pipeline.line import Line, ReadyPipeline


def write(line: Line, case: Case) -> None:
    """Make the result objects, prove them, and keep them beside their source.

    The last of them is the root: what was made of which series, or why nothing was.
    """
    deliveries = line.ledger.deliveries
    if any(row.kind is not ResultKind.ASSESSMENT for row in deliveries.results(case.case_id)):
        return
    story = _story(line, case)
    results = (*story.results, *_told(line.pipeline(case.pipeline), story))
    line.archive.keep(results)
    told_of = {
        result.sop_instance_uid: part.prediction_id
        for part in story.parts
        for result in part.results
    }
    deliveries.record(case.case_id, results, told_of=told_of)


def _story(line: Line, case: Case) -> Story:
    """Return what became of each series, with what was written of it."""
    if case.started_at is None:
        raise Defect("case-not-started", "The case has no start; results would carry no time.")
    pipeline = line.pipeline(case.pipeline)
    model = pipeline.runtime().model
    study = line.archive.study(case.study_id)
    numbers = {one.series_id: one.series_number for one in study.series}
    parts: dict[str, SeriesStory] = {}
    for logged in _predictions(line, case, model.digest):
        parts[logged.series_id] = SeriesStory(
            series_number=numbers[logged.series_id],
            prediction_id=logged.prediction_id,
            prediction=logged.prediction,
            results=_written(pipeline, _analysis(line, case.started_at, logged)),
        )
    for refusal in line.ledger.deliveries.refusals(case.case_id, model.digest):
        number = numbers[refusal.series_id]
        parts[refusal.series_id] = SeriesStory(series_number=number, refusal=refusal)
    return Story(
        case_id=case.case_id,
        started_at=case.started_at,
        series=line.archive.series(case.series_ids[0]),
        pipeline_title=pipeline.settings.title,
        model=model,
        parts=tuple(parts[series_id] for series_id in case.series_ids),
        predecessors=line.ledger.deliveries.replaced(case.case_id),
        language=line.language,
        link=line.link(case.case_id),
    )


def _analysis(line: Line, started_at: datetime, logged: LoggedPrediction) -> Analysis:
    return Analysis(
        case_id=logged.case_id,
        started_at=started_at,
        series=line.archive.series(logged.series_id),
        slices=logged.slices,
        prediction=logged.prediction,
        language=line.language,
        link=line.link(logged.case_id),
    )


def _predictions(line: Line, case: Case, model_digest: str) -> tuple[LoggedPrediction, ...]:
    """Return one for each series but the refused; the model may have changed since."""
    logged = line.ledger.predictions.of_case(case.case_id, model_digest)
    refused = line.ledger.deliveries.refusals(case.case_id, model_digest)
    done = {one.series_id for one in logged} | {one.series_id for one in refused}
    if done != set(case.series_ids):
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
    check(made, analysis)
    return made


def _told(pipeline: ReadyPipeline, story: Story) -> tuple[ResultObject, ...]:
    """Return what is written once for a case, where a destination takes it."""
    told: tuple[ResultObject, ...] = ()
    if ResultKind.SUMMARY in pipeline.takes:
        told = (write_summary(story),)
    if ResultKind.REJECTION in pipeline.takes and story.predecessors:
        told = (*told, write_rejection(story))
    check_told(told, story)
    return told
