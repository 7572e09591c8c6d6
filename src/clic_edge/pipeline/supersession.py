"""Is a case still what its study asks for, and of one patient?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from clic_edge.domain.case import CaseState
from clic_edge.errors import Defect, Refusal, Transient
from clic_edge.pipeline.intake import propose, told_apart

if TYPE_CHECKING:
    from clic_edge.domain.case import Case
    from clic_edge.domain.study import StudySummary
    from clic_edge.pipeline.line import Line


def superseded(line: Line, case: Case, study: StudySummary) -> bool:
    """Whether the study changed since routing; then a case on what it is now takes this one's place.

    Also where it changed and is again what it was: a later case speaks for it then.

    Raises
    ------
    Refusal
        ``series-gone``: the rule takes nothing of the study any more; ``study-too-large``.

    """
    if study.unread:
        raise Refusal(study.unread.code, study.unread.sentence)
    proposed = propose(study, (line.pipeline(case.pipeline).settings,))
    is_same = case.content_id in {now.case_id for now in proposed}
    if is_same and not line.ledger.cases.is_superseded(case.case_id):
        return False
    if case.pipeline not in {now.pipeline for now in proposed}:
        raise Refusal("series-gone", "The series that the rule took is not in the study any more.")
    for now in proposed:
        line.ledger.cases.admit(now)
    line.ledger.cases.close(case, CaseState.SUPERSEDED, reason="late images made a new case")
    return True


def require_unchanged(line: Line, case: Case) -> None:
    """Return where the study still is what was routed.

    A prediction names images by their place in the series: one more, and it is about others.

    Raises
    ------
    Transient
        ``study-changed``: the next attempt finds what takes the case's place.
    Refusal
        ``study-gone``.

    """
    study = line.archive.study(case.study_id)
    proposed = propose(study, (line.pipeline(case.pipeline).settings,))
    if case.content_id not in {now.case_id for now in proposed}:
        raise Transient(
            "study-changed",
            "The study changed while its results were made; it is looked at again.",
            retry_after=timedelta(seconds=1),
        )


def require_one_patient(line: Line, study: StudySummary) -> None:
    """Return where the archive has the Study Instance UID of a study under one patient only.

    A PACS files by that UID: what is found in one patient's images could be read as another's.

    Raises
    ------
    Defect
        ``study-of-two-patients``: which of them is the right one, a person knows.

    """
    if told_apart(study, archive=line.archive, ledger=line.ledger).there:
        raise Defect(
            "study-of-two-patients",
            "The archive has the study under another patient too; delete the wrong one there.",
        )
