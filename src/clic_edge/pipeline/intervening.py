"""What a person does with a case: it is in the audit with the person's name and reason."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clic_edge import telemetry
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError
from clic_edge.pipeline.standing import in_one_line, require_signed

if TYPE_CHECKING:
    from datetime import datetime

    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger


MOST_AT_ONCE: Final = 500
"""Cases that one press of a button runs again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldKind:
    """Cases that are in one state for one reason."""

    state: CaseState
    code: str
    refused_since: datetime
    """Of what was refused earlier nothing is run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What became of running a whole kind again."""

    begun: int
    more: bool
    """Whether there are others still."""


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


def send_again(ledger: Ledger, case_id: str, *, person: str, reason: str) -> int:
    """Let the worker send the results of a delivered case anew, to each place that had them.

    Raises
    ------
    ConfigError
        ``person-unnamed``, ``reason-missing``; ``no-such-case``, ``case-not-resendable``.

    """
    require_signed(person, reason)
    ledger.cases.case(case_id)
    return ledger.deliveries.send_again(case_id, person=person.strip(), reason=in_one_line(reason))


def retry_all(ledger: Ledger, kind: HeldKind, *, person: str, reason: str) -> Retried:
    """Run cases of one kind again now, those first that have waited longest.

    One that moved on meanwhile is left alone.

    Raises
    ------
    ConfigError
        ``person-unnamed``, ``reason-missing``.

    """
    require_signed(person, reason)
    held = ledger.attention.cases(
        kind.state, kind.code, refused_since=kind.refused_since, limit=MOST_AT_ONCE + 1
    )
    begun = 0
    for case in held[:MOST_AT_ONCE]:
        with suppress(ConfigError):
            retry(ledger, case.case_id, person=person, reason=reason)
            begun += 1
    return Retried(begun=begun, more=len(held) > MOST_AT_ONCE)
