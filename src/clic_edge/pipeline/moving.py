"""A person moves a model, on a page: as the commands do, and under the same rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from clic_edge.domain.standing import ModelState
from clic_edge.errors import ConfigError
from clic_edge.pipeline.acceptance import promote
from clic_edge.pipeline.acceptance_report import read_report
from clic_edge.pipeline.standing import move

if TYPE_CHECKING:
    from collections.abc import Callable

    from clic_edge.deid.page_key import PageKey
    from clic_edge.domain.standing import StateEvent
    from clic_edge.ledger.standing import StandingStore


Line = Annotated[str, Field(max_length=400, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""What fits on a line; PostgreSQL takes no zero byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person wants of a model."""

    pipeline: Line
    digest: Line
    to: ModelState
    reason: Line
    report: Annotated[str, Field(max_length=200_000)] = ""
    """The acceptance report, as JSON; active takes one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """Moves models of one ledger, with the site's key to check reports by."""

    standing: StandingStore
    key: Callable[[], PageKey]
    """Raises where the site has no key; asked for only where a report is looked at."""

    def __call__(self, wish: Wish, *, person: str) -> StateEvent:
        """Return the move.

        Raises
        ------
        ConfigError
            ``model-unknown``: the history does not know it. As `move` and `promote`.

        """
        known = self.standing.standing(wish.pipeline).get(wish.digest)
        if known is None:
            raise ConfigError("model-unknown", "No model of that pipeline has that digest.")
        if wish.to is not ModelState.ACTIVE:
            return move(self.standing, known.placement, wish.to, person=person, reason=wish.reason)
        if not wish.report.strip():
            raise ConfigError(
                "acceptance-missing",
                "A model becomes active on an acceptance report; `clic-edge models accept` makes it.",
            )
        return promote(
            self.standing,
            known.placement,
            read_report(wish.report),
            key=self.key(),
            person=person,
            reason=wish.reason,
        )
