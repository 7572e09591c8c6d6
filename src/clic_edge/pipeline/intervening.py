"""What a person does with a case: it is in the audit with the person's name and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.domain.case import CaseState
from clic_edge.pipeline.standing import in_one_line, require_signed

if TYPE_CHECKING:
    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger


def withdraw(ledger: Ledger, case_id: str, *, person: str, reason: str) -> None:
    """Let the results of a case count no more; the worker sends rejection notes of them.

    Raises
    ------
    ConfigError
        ``person-unnamed``, ``reason-missing``; ``no-such-case``, ``case-not-withdrawable``.

    """
    require_signed(person, reason)
    pipeline = ledger.cases.case(case_id).pipeline
    ledger.withdrawals.withdraw(case_id, person=person.strip(), reason=in_one_line(reason))
    telemetry.case_moved(case_id=case_id, pipeline=pipeline, state=CaseState.WITHDRAWN)


def retry(ledger: Ledger, case_id: str, *, person: str, reason: str) -> Case:
    """Run a case again now and return it.

    Raises
    ------
    ConfigError
        ``person-unnamed``, ``reason-missing``; ``no-such-case``, ``case-not-retryable``.

    """
    require_signed(person, reason)
    return ledger.cases.retry(case_id, person=person.strip(), reason=in_one_line(reason))
