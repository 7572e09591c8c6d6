"""What became of a study: its cases, and which series no pipeline takes, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.pipeline.routing import route

if TYPE_CHECKING:
    from clic_edge.config import Pipeline
    from clic_edge.domain.case import Case
    from clic_edge.domain.result import Receipt
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.transport import Archive


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseStatus:
    """A case and the answers to its results so far."""

    case: Case
    stages: tuple[tuple[str, float], ...]
    """Finished stages and their seconds."""
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStatus:
    """What one pipeline does with one series; `reason` is empty when it takes it."""

    series_number: int | None
    number_of_instances: int
    pipeline: str
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """All that is known of a study, without an identity."""

    study_id: str
    cases: tuple[CaseStatus, ...]
    series: tuple[SeriesStatus, ...]


def study_status(
    study_id: str, pipelines: tuple[Pipeline, ...], *, archive: Archive, ledger: Ledger
) -> StudyStatus:
    """Return the status of a study. Raises Refusal ``study-gone`` and Transient as the archive."""
    routing = route(archive.study(study_id), pipelines)
    return StudyStatus(
        study_id=study_id,
        cases=tuple(
            CaseStatus(
                case=case,
                stages=ledger.records.stages(case.case_id),
                receipts=ledger.deliveries.receipts(case.case_id),
            )
            for case in ledger.cases.of_study(study_id)
        ),
        series=tuple(
            SeriesStatus(
                series_number=one.series.series_number,
                number_of_instances=one.series.number_of_instances,
                pipeline=routed.pipeline,
                taken=one.verdict.taken,
                reason=one.verdict.sentence,
            )
            for routed in routing.pipelines
            for one in routed.series
        ),
    )
