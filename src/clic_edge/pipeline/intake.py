"""A study becomes cases: the same study, in the same state, becomes the same cases."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from clic_edge.errors import Refusal
from clic_edge.ledger.cases import Admission
from clic_edge.pipeline.routing import OWN_MANUFACTURER, route

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.config import Pipeline
    from clic_edge.domain.case import Case
    from clic_edge.domain.study import SeriesSummary, StudySummary
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.transport import Archive

NO_PIPELINE = "-"
"""Stands for the pipeline of a study that none takes, so that it, too, ends somewhere."""


def intake(
    study_id: str,
    pipelines: tuple[Pipeline, ...],
    *,
    archive: Archive,
    ledger: Ledger,
    expedited: bool = False,
) -> tuple[Case, ...]:
    """Admit one case for each pipeline that takes a series; a refused one if none does.

    Nothing is admitted for a study that is gone, empty, or holds only what we wrote ourselves.
    """
    try:
        study = archive.study(study_id)
    except Refusal:
        return ()
    admissions = propose(study, pipelines, expedited=expedited)
    return tuple(ledger.cases.admit(admission) for admission in admissions)


def propose(
    study: StudySummary, pipelines: tuple[Pipeline, ...], *, expedited: bool = False
) -> tuple[Admission, ...]:
    """Return the cases that a study asks for as it is now."""
    foreign = [s for s in study.series if s.manufacturer.strip().casefold() != OWN_MANUFACTURER]
    if not foreign:
        return ()
    routing = route(study, pipelines)
    if not routing.taken:
        return (
            Admission(
                case_id=_case_id(study.study_id, NO_PIPELINE, foreign),
                study_id=study.study_id,
                pipeline=NO_PIPELINE,
                series_ids=(),
                code="no-pipeline",
                reason=routing.why_not or "no pipeline is configured",
            ),
        )
    return tuple(
        Admission(
            case_id=_case_id(study.study_id, taken.pipeline, taken.taken),
            study_id=study.study_id,
            pipeline=taken.pipeline,
            series_ids=tuple(series.series_id for series in taken.taken),
            expedited=expedited,
        )
        for taken in routing.taken
    )


def _case_id(study_id: str, pipeline: str, series: Iterable[SeriesSummary]) -> str:
    """Return a digest that changes when an instance is added, and with nothing else."""
    instances = sorted(instance for one in series for instance in one.instance_ids)
    text = "\n".join((study_id, pipeline, *instances))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
