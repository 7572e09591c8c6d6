"""The straight line: one case from arrival to receipt, and what each kind of error does to it."""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from clic_edge import telemetry
from clic_edge.domain.case import CaseState
from clic_edge.errors import ClicEdgeError, Refusal, Transient
from clic_edge.ledger.database import DatabaseAway, database_away
from clic_edge.ledger.room import is_full
from clic_edge.pipeline.delivery import confirm, deliver, finish
from clic_edge.pipeline.stages import accept, predict
from clic_edge.pipeline.telling import write

if TYPE_CHECKING:
    from collections.abc import Callable

    from clic_edge.domain.case import Case
    from clic_edge.pipeline.line import Line
    from clic_edge.pipeline.stages import Stage

STAGES: tuple[Stage, ...] = (
    accept,  #  the study is complete, and still what was routed
    predict,  # series ▶ de-identify ▶ volume ▶ model ▶ prediction log
    write,  #   predictions, refusals ▶ SEG, SR, root ▶ checked ▶ kept beside the source
    deliver,  # kept results ▶ every destination ▶ receipts
    confirm,  # receipts ▶ storage commitment, or a query ▶ proof
    finish,  #  all held: the case is delivered, or refused and told
)


_DOUBLINGS = 20  # enough for a week from a second; more would not fit a timedelta


class Step(Protocol):
    """Runs a stage once: directly, or durably, so that a restart does not run it again."""

    def __call__(self, name: str, stage: Callable[[], str], /) -> str:
        """Return what the stage returned, now or before the restart."""
        ...


def directly(_name: str, stage: Callable[[], str]) -> str:
    """Run a stage without remembering it: for one folder on the command line."""
    return stage()


def process(case_id: str, attempt: int, *, line: Line, step: Step) -> CaseState:
    """Take one attempt of a case along the line; return the state in which it leaves it."""
    state = CaseState.RUNNING
    priority = line.ledger.cases.case(case_id).priority
    with ExitStack() as claim:
        claim.enter_context(line.precedence.claim(priority))
        for stage in STAGES:
            name = stage.__name__
            if stage is predict:
                line.precedence.give_way(priority)
            state = CaseState(step(name, partial(settle, stage, case_id, attempt, line=line)))
            if stage is predict:
                claim.close()  # whoever is less urgent need not wait for a PACS
            if state is not CaseState.RUNNING:
                break
    return state


def settle(stage: Stage, case_id: str, attempt: int, *, line: Line) -> str:
    """Run one stage and return the state that the case has now; no error leaves.

    Running a stage twice does no harm: each leaves behind what it made under a name that the
    same input gives again.
    """
    case = line.ledger.cases.begin(case_id, attempt)
    if case is None:  # it ended, or a newer attempt was asked for
        return line.ledger.cases.case(case_id).state
    begun = perf_counter()
    try:
        _run(stage, line, case)
    except Refusal as refusal:
        return _close(line, case, CaseState.REFUSED, error=refusal)
    except Transient as hindrance:
        return _wait(line, case, hindrance)
    except ClicEdgeError as defect:
        return _close(line, case, CaseState.QUARANTINED, error=defect)
    except Exception as error:  # noqa: BLE001 - the worker: no case ends it, whatever it holds
        return _close(line, case, CaseState.QUARANTINED, error=_unexpected(error))
    name, seconds = stage.__name__, perf_counter() - begun
    line.ledger.records.time_stage(case_id, name, seconds)
    telemetry.stage_finished(case_id=case_id, pipeline=case.pipeline, stage=name, seconds=seconds)
    state = line.ledger.cases.case(case_id).state
    if state is not CaseState.RUNNING:
        telemetry.case_moved(case_id=case_id, pipeline=case.pipeline, state=state)
    return state


def _run(stage: Stage, line: Line, case: Case) -> None:
    try:
        stage(line, case)
    except DatabaseAway as error:
        away = line.ledger.predictions.no_room() if is_full(error) else database_away()
        raise away from error


def _close(line: Line, case: Case, state: CaseState, *, error: ClicEdgeError) -> str:
    state = line.ledger.cases.close(case, state, code=error.code, reason=error.sentence)
    telemetry.case_moved(case_id=case.case_id, pipeline=case.pipeline, state=state, code=error.code)
    return state


def _wait(line: Line, case: Case, hindrance: Transient) -> str:
    patience = line.patience
    if datetime.now(UTC) - case.received_at > patience.give_up_after:
        return _close(line, case, CaseState.QUARANTINED, error=hindrance)
    doubled = patience.first * 2 ** min(case.attempt, _DOUBLINGS)
    delay = hindrance.retry_after or min(doubled, patience.longest)
    state = line.ledger.cases.wait(
        case, delay=delay, code=hindrance.code, reason=hindrance.sentence
    )
    telemetry.case_moved(
        case_id=case.case_id, pipeline=case.pipeline, state=state, code=hindrance.code
    )
    return state


def _unexpected(error: Exception) -> ClicEdgeError:
    # Its text may quote a dataset, so only its type and the place are told.
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{last.filename.rpartition('site-packages/')[2].rpartition('src/')[2]}:{last.lineno}"
    return ClicEdgeError(
        "unexpected-error",
        f"{type(error).__name__} at {place}; report this with the case id.",
    )
