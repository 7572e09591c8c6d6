"""What a person does with a case: it is in the audit with the person's name and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.pipeline.standing import in_one_line, require_signed

if TYPE_CHECKING:
    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger


def retry(ledger: Ledger, case_id: str, *, person: str, reason: str) -> Case:
    """Run a case again now and return it.

    Raises
    ------
    ConfigError
        ``person-unnamed``, ``reason-missing``; ``no-such-case``, ``case-not-retryable``.

    """
    require_signed(person, reason)
    return ledger.cases.retry(case_id, person=person.strip(), reason=in_one_line(reason))
