"""The stage that tells: predictions and refusals become result objects, proven and kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from clic_edge.dicom.slides import pictures_only
from clic_edge.domain.image import InputKind
from clic_edge.domain.result import ResultKind
from clic_edge.domain.standing import is_reserved
from clic_edge.errors import Defect, Transient
from clic_edge.pipeline.seeing import Part, parts_of
from clic_edge.pipeline.stages import keep_silent, part_of, refuse, require_told
from clic_edge.pipeline.supersession import require_unchanged
from clic_edge.results.check import check
from clic_edge.results.check_summary import check_told
from clic_edge.results.rejection import write_rejection
from clic_edge.results.source import image_name
from clic_edge.results.summary import summary_uid, write_summary
from clic_edge.results.writer import Analysis, SeriesStory, Story

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from clic_edge.domain.case import Case
    from clic_edge.domain.result import ResultObject, ResultReference
    from clic_edge.domain.study import Series
    from clic_edge.ledger.predictions import LoggedPrediction
    from clic_edge.pipeline.line import Line, ReadyPipeline


def write(line: Line, case: Case) -> None:
    """Make the result objects, prove them, and keep them beside their source.

    The last of them is the root: what was made of which series, or why nothing was. A series
    whose results can't be made or proven has none, and does not keep the others from theirs.

    Raises
    ------
    Refusal, Defect
        As `require_told`, where no series has results.
    Transient
        ``prediction-stale``, ``study-changed``.

    """
    deliveries = line.ledger.deliveries
    if any(row.kind is not ResultKind.ASSESSMENT for row in deliveries.results(case.case_id)):
        return
    pipeline = line.pipeline(case.pipeline)
    keep_silent(line, case, pipeline)
    story = _replacing(_story(line, case, pipeline), deliveries.replaced(case.case_id))
    results = (*story.results, *_told(pipeline, story))
    require_unchanged(line, case)
    line.require_held(case)
    line.archive.keep(results)
    line.require_held(case)
    told_of = {
        result.sop_instance_uid: part.prediction_id
        for part in story.parts
        for result in part.results
    }
    deliveries.record(case.case_id, results, told_of=told_of)


def _story(line: Line, case: Case, pipeline: ReadyPipeline) -> Story:
    """Return what became of each series, with what was written of it."""
    if case.started_at is None:
        raise Defect("case-not-started", "The case has no start; results would carry no time.")
    model = pipeline.model
    alarm = None if pipeline.silence else _alarm_since(line, case, model.digest)
    study = line.archive.study(case.study_id)
    numbers = {one.series_id: one.series_number for one in study.series}
    refused = {
        part_of(one): one for one in line.ledger.deliveries.refusals(case.case_id, model.digest)
    }
    # The images of a series come one after another, and each is told from all of the series.
    read = lru_cache(maxsize=1)(partial(_series, line))
    parts: dict[Part, SeriesStory] = {}
    predictions = () if pipeline.silence else _predictions(line, case, model.digest)
    for logged in predictions:
        part = _part_of(logged)
        if part in refused:
            continue
        try:
            series = read(logged.series_id, on_slide=logged.prediction.geometry.on_slide)
            analysis = _analysis(line, case.started_at, logged, series=series, alarm=alarm)
            results = _written(pipeline, analysis)
        except Defect as why:
            require_unchanged(line, case)  # or it is no defect
            refused[part] = refuse(line, case, part, why=why, digest=model.digest)
            continue
        parts[part] = replace(
            _named(part, numbers[part.series_id], analysis.series),
            prediction_id=logged.prediction_id,
            prediction=logged.prediction,
            results=results,
        )
    if not parts:
        require_told(refused.values(), told=pipeline.tells_refusals)
    for part, refusal in refused.items():
        images = read(part.series_id, on_slide=False) if part.image else None
        parts[part] = replace(_named(part, numbers[part.series_id], images), refusal=refusal)
    return Story(
        case_id=case.case_id,
        started_at=case.started_at,
        series=_first_told(read, case, parts),
        pipeline_title=pipeline.settings.title,
        model=model,
        parts=tuple(parts[part] for part in _in_order(case, parts)),
        language=line.language,
        link=line.link(case.case_id),
        edition=line.ledger.deliveries.taken_back(case.case_id),
        alarm_since=alarm,
    )


def _alarm_since(line: Line, case: Case, digest: str) -> datetime | None:
    """Return since when an alarm on the model stands that no person has answered; once for all."""
    active = line.ledger.standing.standing(case.pipeline).get(digest)
    by_person = active is not None and not is_reserved(active.person)
    answered_at = active.at if active and by_person else None
    return line.ledger.alarms.told(case.case_id, model_digest=digest, answered_at=answered_at)


def _in_order(case: Case, parts: Mapping[Part, SeriesStory]) -> list[Part]:
    """Return the parts in the order of the case's series, images as their numbers say."""

    def place(part: Part) -> tuple[int, int, int]:
        number = parts[part].image_number
        return case.series_ids.index(part.series_id), number or 0, part.image

    return sorted(parts, key=place)


def _named(part: Part, series_number: int | None, series: Series | None) -> SeriesStory:
    """Return a story that says of what it is: of an image its number and its side too."""
    if not part.image or series is None:
        return SeriesStory(series_number=series_number)
    number, side = image_name(series, part.image)
    return SeriesStory(series_number=series_number, image_number=number, side=side)


def _part_of(logged: LoggedPrediction) -> Part:
    """Return what was predicted: of an image, its position in the series."""
    one = logged.prediction.geometry.of_one_image
    return Part(logged.series_id, logged.slices[0].instance_index + 1 if one else 0)


def _first_told(
    read: Callable[..., Series], case: Case, parts: Mapping[Part, SeriesStory]
) -> Series:
    """Return the series of which the root copies whose it is: one with results, if there is one."""
    told = [part.series_id for part in _in_order(case, parts) if parts[part].results]
    seen = [one.prediction for one in parts.values() if one.prediction]
    on_slide = any(one.geometry.on_slide for one in seen)
    return read((told or list(case.series_ids))[0], on_slide=on_slide)


def _replacing(story: Story, accepted: tuple[ResultReference, ...]) -> Story:
    """Return the story with what it takes the place of: nothing takes the place of itself.

    A case that is run again and says what it said before makes the same objects, its root too.
    """
    own = {result.sop_instance_uid for result in story.results}
    earlier = [one for one in accepted if one.sop_instance_uid not in own]
    for root in (one for one in earlier if one.kind is ResultKind.SUMMARY):
        rest = tuple(one for one in earlier if one is not root)
        same = replace(story, predecessors=rest)
        if summary_uid(same) == root.sop_instance_uid:
            return same
    return replace(story, predecessors=tuple(earlier))


def _series(line: Line, series_id: str, *, on_slide: bool) -> Series:
    """Return a series as its model saw it: of a slide without its label."""
    series = line.archive.series(series_id)
    return pictures_only(series) if on_slide else series


def _analysis(
    line: Line,
    started_at: datetime,
    logged: LoggedPrediction,
    *,
    series: Series,
    alarm: datetime | None,
) -> Analysis:
    return Analysis(
        case_id=logged.case_id,
        started_at=started_at,
        series=series,
        slices=logged.slices,
        prediction=logged.prediction,
        language=line.language,
        link=line.link(logged.case_id),
        edition=line.ledger.deliveries.taken_back(logged.case_id),
        alarm_since=alarm,
    )


def _predictions(line: Line, case: Case, model_digest: str) -> tuple[LoggedPrediction, ...]:
    """Return one for each series, or image of it, but the refused; the model may have changed."""
    logged = line.ledger.predictions.of_case(case.case_id, model_digest)
    refused = line.ledger.deliveries.refusals(case.case_id, model_digest)
    done = {*map(_part_of, logged), *map(part_of, refused)}
    kind = InputKind.IMAGE if any(one.image for one in done) else InputKind.VOLUME
    wanted = parts_of(line, case, kind)
    if not all(done & {Part(one.series_id), one} for own in wanted.values() for one in own):
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
