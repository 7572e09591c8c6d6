"""A study becomes cases: the same study, in the same state, becomes the same cases."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clic_edge.domain.case import Priority
from clic_edge.domain.constancy import clinical_name
from clic_edge.domain.study import digest_of
from clic_edge.errors import Refusal
from clic_edge.ledger.cases import Admission
from clic_edge.pipeline.deadlines import due_at
from clic_edge.pipeline.phantoms import for_constancy
from clic_edge.pipeline.routing import OWN_MANUFACTURER, route

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    return taken_in(study, pipelines, archive=archive, ledger=ledger, expedited=expedited)


def taken_in(
    study: StudySummary,
    pipelines: tuple[Pipeline, ...],
    *,
    archive: Archive,
    ledger: Ledger,
    expedited: bool = False,
) -> tuple[Case, ...]:
    """Return the cases of a study that was looked at just now; else as `intake`."""
    digest = digest_of([study.study_instance_uid])
    if not expedited and ledger.batches.has(digest, foreign_instances(study)):
        return ()  # a batch brought it, and says itself which pipeline runs
    admissions = proposals(study, pipelines, ledger=ledger, expedited=expedited)
    gone = told_apart(study, archive=archive, ledger=ledger).gone if admissions else ()
    return tuple(
        ledger.cases.admit(replace(admission, moved_from=gone)) for admission in admissions
    )


def foreign_instances(study: StudySummary) -> int:
    """Return how many instances a study has that others made."""
    return sum(one.number_of_instances for one in study.series if not _is_ours(one))


def _is_ours(series: SeriesSummary) -> bool:
    return series.manufacturer.strip().casefold() == OWN_MANUFACTURER


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherHandles:
    """The handles that a study had under other patients, as far as cases know."""

    there: tuple[str, ...]
    """Those under which it still lies: which patient is the right one, a person knows."""
    gone: tuple[str, ...]
    """Those from which it was moved here."""


def told_apart(study: StudySummary, *, archive: Archive, ledger: Ledger) -> OtherHandles:
    """Return under which other patients a study lies, or lay. Raises Transient as the archive."""
    digest = digest_of([study.study_instance_uid])
    handles = ledger.cases.other_handles(digest, study.study_id)
    gone = tuple(handle for handle in handles if _is_gone(archive, handle))
    return OtherHandles(there=tuple(one for one in handles if one not in gone), gone=gone)


def _is_gone(archive: Archive, study_id: str) -> bool:
    try:
        archive.study(study_id)
    except Refusal:
        return True
    return False


def proposals(
    study: StudySummary,
    pipelines: tuple[Pipeline, ...],
    *,
    ledger: Ledger,
    expedited: bool = False,
) -> tuple[Admission, ...]:
    """Return the cases that a study asks for; of a phantom, the one that constancy announced.

    A phantom that nobody announced is refused, whatever the rules say.
    """
    is_phantom = any(one.is_constancy for one in study.series)
    announced = ledger.constancy.announced(study.study_id) if is_phantom else ()
    if not announced:
        return propose(study, pipelines, expedited=expedited)
    (phantom,) = announced
    clinical, _ = clinical_name(phantom.pipeline)
    own = tuple(for_constancy(one, phantom.pipeline) for one in pipelines if one.name == clinical)
    proposed = propose(study, own, expedited=expedited)
    return tuple(replace(one, pipeline=phantom.pipeline) for one in proposed)


def propose(
    study: StudySummary, pipelines: tuple[Pipeline, ...], *, expedited: bool = False
) -> tuple[Admission, ...]:
    """Return the cases that a study asks for as it is now."""
    if study.unread:
        return (_refused(study, (), code=study.unread.code, reason=study.unread.sentence),)
    foreign = [one for one in study.series if not _is_ours(one)]
    if not foreign:
        return ()
    study_digest = digest_of([study.study_instance_uid])
    routing = route(study, pipelines)
    by_name = {one.name: one for one in pipelines}
    if not routing.taken:
        unread = next((series.unread for series in foreign if series.unread), None)
        code = unread.code if unread else "no-pipeline"
        reason = routing.why_not or "no pipeline is configured"
        return (_refused(study, foreign, code=code, reason=reason),)
    return tuple(
        Admission(
            case_id=_case_id(study.study_id, taken.pipeline, taken.taken),
            study_id=study.study_id,
            pipeline=taken.pipeline,
            series_ids=tuple(series.series_id for series in taken.taken),
            study_digest=study_digest,
            expedited=expedited,
            priority=Priority(by_name[taken.pipeline].priority),
            due_at=due_at(by_name[taken.pipeline].deadline, study, datetime.now(UTC)),
        )
        for taken in routing.taken
    )


def _refused(
    study: StudySummary, series: Sequence[SeriesSummary], *, code: str, reason: str
) -> Admission:
    """Return the case of a study that no pipeline takes, refused from the beginning."""
    return Admission(
        case_id=_case_id(study.study_id, NO_PIPELINE, series),
        study_id=study.study_id,
        pipeline=NO_PIPELINE,
        series_ids=(),
        study_digest=digest_of([study.study_instance_uid]),
        code=code,
        reason=reason,
    )


def _case_id(study_id: str, pipeline: str, series: Iterable[SeriesSummary]) -> str:
    """Return a digest that changes when an instance is added or the patient corrected, and only then."""
    content = sorted((*sorted(one.instance_ids), one.identity_digest) for one in series)
    text = "\n".join((study_id, pipeline, *(part for one in content for part in one)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
