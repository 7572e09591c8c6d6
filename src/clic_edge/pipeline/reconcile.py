"""The archive's change log is the truth: what an event missed is found here, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.errors import Refusal
from clic_edge.pipeline.intake import taken_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from clic_edge.config import Pipeline
    from clic_edge.domain.study import StudySummary
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.transport import Archive

CURSOR = "archive-changes"


def reconcile(
    pipelines: tuple[Pipeline, ...],
    *,
    archive: Archive,
    ledger: Ledger,
    also: Callable[[StudySummary], object] | None = None,
) -> int:
    """Take in every study that changed since the durable cursor; return how many there were.

    `also` is called for each of them, behind its intake.

    The cursor moves on only after a page of changes has been taken in, so a crash repeats a page
    and misses none; taking a study in twice admits nothing new.
    """
    studies = 0
    while True:
        changes = archive.changes(ledger.records.cursor(CURSOR))
        for study_id in changes.study_ids:
            try:
                study = archive.study(study_id)
            except Refusal:
                continue  # it was deleted since
            taken_in(study, pipelines, archive=archive, ledger=ledger)
            if also:
                also(study)
        ledger.records.advance(CURSOR, changes.cursor)
        studies += len(changes.study_ids)
        if changes.done:
            return studies
