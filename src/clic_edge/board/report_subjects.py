"""Which models there is something to report of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clic_edge.board.report import Subject
from clic_edge.domain.standing import ModelState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clic_edge.board.report import Period
    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.domain.standing import Placement, StateEvent
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.periods import Span

_AT_WORK: Final = {ModelState.ACTIVE, ModelState.SHADOW, ModelState.SUSPENDED}


def subjects(
    ledger: Ledger, period: Period, packages: Iterable[ModelIdentity]
) -> tuple[Subject, ...]:
    """Return each version that predicted in a period, or was in use in it, by id and version.

    What a version is called and meant for is told by the packages that are there.
    """
    span = period.span
    found = {digest: (name, version) for name, version, digest in ledger.periods.versions(span)}
    for placed in _in_use(ledger.standing.history(), span):
        found[placed.digest] = (placed.model_id, placed.version)
    known = {one.digest: one for one in packages}
    ordered = sorted((*named, digest) for digest, named in found.items())
    return tuple(
        _subject(name, version, known.get(digest), digest=digest)
        for name, version, digest in ordered
    )


def _in_use(events: Iterable[StateEvent], span: Span) -> Iterator[Placement]:
    """Yield what was in use when a span began, or came into use within it."""
    before: dict[Placement, ModelState] = {}
    for event in events:
        if event.at < span.since:
            before[event.placement] = event.now
        elif event.at < span.until and event.now in _AT_WORK:
            yield event.placement
    yield from (placed for placed, state in before.items() if state in _AT_WORK)


def _subject(model_id: str, version: str, known: ModelIdentity | None, *, digest: str) -> Subject:
    if known is None:
        return Subject(model_id=model_id, version=version, digest=digest)
    return Subject(
        model_id=model_id,
        version=version,
        digest=digest,
        title=known.title,
        manufacturer=known.manufacturer,
        intended_use=known.intended_use,
    )
