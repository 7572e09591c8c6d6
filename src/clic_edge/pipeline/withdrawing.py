"""Results that a person took back: a rejection note goes to whoever takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.domain.prediction import ModelIdentity
from clic_edge.domain.result import ResultKind
from clic_edge.errors import ClicEdgeError, Defect, Refusal
from clic_edge.ledger.deliveries import was_taken
from clic_edge.ledger.withdrawals import STAYS
from clic_edge.pipeline.delivery import deliver_kind
from clic_edge.results.check_summary import check_told
from clic_edge.results.rejection import write_rejection
from clic_edge.results.writer import Story

if TYPE_CHECKING:
    from clic_edge.domain.case import Case
    from clic_edge.domain.result import ResultReference
    from clic_edge.ledger.withdrawals import Withdrawal
    from clic_edge.pipeline.line import Line


def send_withdrawals(line: Line) -> None:
    """Tell the destinations which results count no more; what hinders it is tried again next time."""
    for withdrawal in line.ledger.withdrawals.untold():
        try:
            _tell(line, withdrawal)
        except ClicEdgeError as problem:
            if problem.code != withdrawal.hindrance:
                line.ledger.withdrawals.tried(withdrawal.case_id, hindrance=problem.code)
        else:
            line.ledger.withdrawals.tried(withdrawal.case_id)


def _tell(line: Line, withdrawal: Withdrawal) -> None:
    """Write the note, prove it, keep it, and send it to each destination that takes one.

    The same withdrawal writes the same note, so a try that ended halfway is repeated whole.

    Raises
    ------
    Refusal
        ``no-rejection-notes``: no destination takes one; and as reading the images raises.

    """
    case = line.ledger.cases.case(withdrawal.case_id)
    if ResultKind.REJECTION not in line.pipeline(case.pipeline).takes:
        raise Refusal(
            "no-rejection-notes",
            "No destination of the pipeline takes rejection notes; remove the objects there.",
        )
    story = _story(line, case, withdrawal)
    note = write_rejection(story)
    check_told((note,), story)
    line.archive.keep([note])
    line.ledger.deliveries.record(case.case_id, (note,))
    deliver_kind(line, case, ResultKind.REJECTION)


def _story(line: Line, case: Case, withdrawal: Withdrawal) -> Story:
    return Story(
        case_id=case.case_id,
        started_at=withdrawal.at,
        series=line.archive.series(case.series_ids[0]),
        pipeline_title=line.pipeline(case.pipeline).settings.title,
        model=_model(line, case),
        parts=(),
        predecessors=_sent(line, case),
        language=line.language,
        edition=line.ledger.deliveries.taken_back(case.case_id),
    )


def _sent(line: Line, case: Case) -> tuple[ResultReference, ...]:
    """Return what counts of a case and a destination has accepted."""
    receipts = line.ledger.deliveries.receipts(case.case_id)
    taken = {one.sop_instance_uid for one in receipts if was_taken(one)}
    return tuple(
        row
        for row in line.ledger.deliveries.results(case.case_id)
        if row.kind not in STAYS and row.sop_instance_uid in taken
    )


def _model(line: Line, case: Case) -> ModelIdentity:
    """Return whose results they are: by its package, or where that is not there, by the log."""
    told = line.ledger.deliveries.models(case.case_id)
    try:
        model = line.pipeline(case.pipeline).model
    except ClicEdgeError:
        pass  # suspended, broken or gone: which may be just why its results are taken back
    else:
        if model.digest in told:
            return model
    for row in line.ledger.predictions.of_one_case(case.case_id):
        if row.model_digest in told:
            return ModelIdentity(
                model_id=row.model_id,
                version=row.model_version,
                title=row.model_id,
                manufacturer="unknown",
                digest=row.model_digest,
            )
    raise Defect("nothing-to-deliver", "No model's results of the case were delivered.")
