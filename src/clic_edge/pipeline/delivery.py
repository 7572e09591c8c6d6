"""The stages behind the results: sent, proven to be held, and the case closed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.domain.case import CaseState
from clic_edge.domain.confirmation import is_proven
from clic_edge.domain.standing import ModelState
from clic_edge.errors import Defect, Refusal, Transient
from clic_edge.pipeline.supersession import require_one_patient, superseded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.domain.case import Case
    from clic_edge.domain.result import Receipt, ResultKind, ResultObject
    from clic_edge.ledger.deliveries import ResultRow
    from clic_edge.pipeline.line import Line, ReadyDestination


def deliver(line: Line, case: Case) -> None:
    """Send to each destination what it takes and has not accepted yet.

    One destination that is down does not keep the results from the others.

    Raises
    ------
    Transient
        A destination is out of reach, or rejected an object; what was accepted is remembered.
        ``model-moved``: the model that made the results does not speak any more.
        ``case-elsewhere``: another worker has the case.

    """
    study = line.archive.study(case.study_id)
    if superseded(line, case, study):
        return
    require_one_patient(line, study)
    _require_speaker(line, case)
    if not line.ledger.deliveries.results(case.case_id):
        raise Defect("nothing-to-deliver", "The case has no result object, so it is not delivered.")
    destinations = line.pipeline(case.pipeline).destinations
    _raise_first(_deliver_to(line, case, destination) for destination in destinations)


def _require_speaker(line: Line, case: Case) -> None:
    """Return where the results are those of the model that speaks now; else they are set aside."""
    pipeline, deliveries = line.pipeline(case.pipeline), line.ledger.deliveries
    if not pipeline.candidates:
        return
    if pipeline.speaker or pipeline.silence:
        speaks = {pipeline.speaker.digest} if pipeline.speaker else set()
    else:  # the file's package is broken, and only the history tells who may speak
        standing = line.ledger.standing.standing(case.pipeline)
        speaks = {digest for digest, one in standing.items() if one.now is ModelState.ACTIVE}
    if deliveries.models(case.case_id) <= speaks:
        return
    deliveries.set_aside(case.case_id)
    raise Transient(
        "model-moved",
        "Another model speaks in this pipeline now, or none; the case runs again.",
        retry_after=timedelta(seconds=1),
    )


def deliver_kind(line: Line, case: Case, kind: ResultKind) -> None:
    """Send to each destination what it takes of one kind, of a case that has ended.

    Raises
    ------
    Transient
        As `deliver`.

    """
    destinations = line.pipeline(case.pipeline).destinations
    _raise_first(_deliver_to(line, case, destination, kind=kind) for destination in destinations)


def deliver_again(line: Line) -> None:
    """Send what a person asked to be sent anew; where a destination is down, at the next turn.

    What must not go out is not asked for any more, and its receipts say why.
    """
    away, now = set[str](), datetime.now(UTC)
    for case_id in line.ledger.deliveries.to_send_again():
        try:
            _send_anew(line, case_id, away)
        except Transient:
            continue  # a receipt, or the next account, tells
        except (Refusal, Defect) as error:
            line.ledger.deliveries.keep_here(case_id, error.code, asked_before=now)


def _send_anew(line: Line, case_id: str, away: set[str]) -> None:
    case = line.ledger.cases.case(case_id)
    if case.state is not CaseState.DELIVERED:
        return  # taken back or replaced, since the first of these was sent
    require_one_patient(line, line.archive.study(case.study_id))
    for destination in line.pipeline(case.pipeline).destinations:
        if destination.name in away:
            continue
        hindrance = _deliver_to(line, case, destination)
        if hindrance and hindrance.code != "destination-rejected":
            away.add(destination.name)  # the worker does not wait there for each case


def _deliver_to(
    line: Line, case: Case, destination: ReadyDestination, *, kind: ResultKind | None = None
) -> Transient | None:
    accepted = {
        uid for uid, receipt in _receipts(line, case, destination).items() if receipt.accepted
    }
    rows = [
        row
        for row in _rows(line, case, destination)
        if row.sop_instance_uid not in accepted and kind in {None, row.kind}
    ]
    if not rows:
        return None
    missing = [_kept(line, row) for row in rows]
    if not case.state.is_end:  # what is told of a case that has ended, any worker tells
        line.require_held(case)
    try:
        with line.turns.turn(destination.name, _queue(case)):
            receipts = destination.transport.deliver(missing)
    except Transient as hindrance:
        return hindrance
    line.ledger.deliveries.receive(receipts)
    for receipt in receipts:
        telemetry.receipt_came(
            case_id=case.case_id, destination=destination.name, accepted=receipt.accepted
        )
    rejected = [receipt for receipt in receipts if not receipt.accepted]
    if len(receipts) == len(missing) and not rejected:
        return None
    statuses = ", ".join(sorted({receipt.status for receipt in rejected})) or "no answer"
    return Transient(
        "destination-rejected",
        f"{destination.name} took {len(receipts) - len(rejected)} of {len(missing)} objects "
        f"({statuses}).",
    )


def confirm(line: Line, case: Case) -> None:
    """Ask each destination that can be asked whether it holds what it accepted.

    Raises
    ------
    Transient
        ``result-not-held``: an object is not there; it is sent again. Also as the witness raises,
        when it has not answered yet.

    """
    destinations = line.pipeline(case.pipeline).destinations
    _raise_first(_confirm_at(line, case, destination) for destination in destinations)


def _confirm_at(line: Line, case: Case, destination: ReadyDestination) -> Transient | None:
    if destination.witness is None:
        return None
    receipts = _receipts(line, case, destination)
    proven = {uid for uid, receipt in receipts.items() if is_proven(receipt)}
    asked = [row for row in _rows(line, case, destination) if row.sop_instance_uid not in proven]
    if not asked:
        return None
    study = line.archive.study(case.study_id)
    try:
        with line.turns.turn(f"{destination.name}, asked what it holds,", _queue(case)):
            confirmations = destination.witness.confirm(
                asked, study_instance_uid=study.study_instance_uid
            )
    except Transient as hindrance:
        return hindrance
    line.ledger.deliveries.receive(tuple(one.receipt for one in confirmations))
    lost = [one for one in confirmations if not one.held]
    if not lost:
        return None
    statuses = ", ".join(sorted({one.status for one in lost}))
    return Transient(
        "result-not-held",
        f"{destination.name} had accepted {len(lost)} of {len(asked)} objects that it does not "
        f"hold ({statuses}); they are sent again.",
    )


def finish(line: Line, case: Case) -> None:
    """Close the case as delivered.

    Raises
    ------
    Refusal
        No series was analysed; the reader has been told why.
    Defect
        One series is broken; the results of the others are delivered.

    """
    refusals = line.ledger.deliveries.refusals(case.case_id)
    for one in refusals:
        if one.withheld:
            raise Defect(one.code, one.reason)
    told = any(row.prediction_id for row in line.ledger.deliveries.results(case.case_id))
    if {one.series_id for one in refusals} == set(case.series_ids) and not told:
        raise Refusal(refusals[0].code, refusals[0].reason)
    line.ledger.cases.close(case, CaseState.DELIVERED)


def _raise_first(hindrances: Iterable[Transient | None]) -> None:
    """Go through all, then raise the first that there was."""
    for hindrance in [one for one in hindrances if one]:
        raise hindrance


def _rows(line: Line, case: Case, destination: ReadyDestination) -> list[ResultRow]:
    results = line.ledger.deliveries.results(case.case_id)
    return [row for row in results if row.kind in destination.takes]


def _queue(case: Case) -> str:
    """Return what tells the queues apart that a case may come from."""
    return f"{case.priority} {'again' if case.attempt else 'first'}"


def _receipts(line: Line, case: Case, destination: ReadyDestination) -> dict[str, Receipt]:
    return {
        receipt.sop_instance_uid: receipt
        for receipt in line.ledger.deliveries.receipts(case.case_id)
        if receipt.destination == destination.name
    }


def _kept(line: Line, row: ResultRow) -> ResultObject:
    """Return a result as it was checked, byte for byte."""
    result = line.archive.result(row.sop_instance_uid, row.kind)
    if hashlib.sha256(result.content).hexdigest() != row.digest:
        raise Defect(
            "result-changed",
            f"The {row.kind} in the archive is not the one that was checked; it was not sent.",
        )
    return result
