"""References of a model and the designs of their charts, kept: a reference never changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - FastAPI reads the annotations
from typing import TYPE_CHECKING

from clic_edge.domain.monitoring import Channel, Direction, Stratum  # noqa: TC001 - as above
from clic_edge.drift.design import is_provisional
from clic_edge.drift.plan import plan_charts
from clic_edge.drift.reference import channel_of

if TYPE_CHECKING:
    from clic_edge.domain.monitoring import Reference
    from clic_edge.drift.plan import Chart, Policy
    from clic_edge.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceHead:
    """A reference without its numbers."""

    reference_id: str
    name: str
    version: int
    stratum: Stratum
    first_at: datetime
    last_at: datetime
    frozen_at: datetime
    frozen_by: str
    observations: int
    calibrated: bool
    provisional: bool
    """Too small: its alarms are advisory."""
    newest: bool
    """It is charted; an earlier one of the same scanner is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How many points a chart needs, on average, to see a change."""

    change: float
    """In sd of one point; of a rate, the rate that it changes to."""
    points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartDesign:
    """One side of a chart as it was designed."""

    chart: str
    feature: str
    word: str
    """Of events; empty for numbers."""
    channel: Channel
    direction: Direction
    limit: float
    mean: float
    """Of the reference."""
    false_alarms_per_year: float
    delays: tuple[Expected, ...]
    provisional: bool


class ReferenceBook:
    """What is known of references, read once from the ledger and kept while the process lives."""

    def __init__(self, ledger: Ledger, policy: Policy) -> None:
        """Design charts by a site's policy."""
        self._ledger = ledger
        self._policy = policy
        self._heads: dict[str, ReferenceHead] = {}
        self._designs: dict[str, tuple[ChartDesign, ...]] = {}

    @property
    def policy(self) -> Policy:
        """What the site decides on its charts."""
        return self._policy

    def heads(self, digest: str) -> tuple[ReferenceHead, ...]:
        """Return the references of a model by scanner, of each the newest first.

        Raises
        ------
        Defect
            ``reference-changed``: one is not what was sealed.

        """
        ids = self._ledger.charted.reference_ids(digest)
        for reference_id in ids:
            if reference_id not in self._heads and (one := self.whole(reference_id)):
                self._keep(one)
        last = {self._heads[one].stratum: one for one in ids}
        charted = set(last.values())
        found = [replace(self._heads[one], newest=one in charted) for one in ids]
        return tuple(sorted(found, key=lambda one: (str(one.stratum), -one.version)))

    def designs(self, reference_id: str) -> tuple[ChartDesign, ...]:
        """Return the charts of a reference that `heads` has named."""
        return self._designs[reference_id]

    def whole(self, reference_id: str) -> Reference | None:
        """Return a reference with its numbers, None where there is none; raises as `heads`."""
        return self._ledger.monitoring.reference(reference_id)

    def _keep(self, reference: Reference) -> None:
        reference_id = reference.reference_id
        plan = plan_charts(reference, self._policy)
        self._designs[reference_id] = tuple(_design(one) for one in plan.charts)
        self._heads[reference_id] = ReferenceHead(
            reference_id=reference_id,
            name=reference.name,
            version=reference.version,
            stratum=reference.stratum,
            first_at=reference.first_at,
            last_at=reference.last_at,
            frozen_at=reference.frozen_at,
            frozen_by=reference.frozen_by,
            observations=reference.observations,
            calibrated=reference.calibrated,
            provisional=is_provisional(reference.observations),
            newest=False,
        )


def _design(chart: Chart) -> ChartDesign:
    return ChartDesign(
        chart=chart.name,
        feature=chart.feature,
        word=chart.word or "",
        channel=channel_of(chart.feature),
        direction=chart.direction,
        limit=chart.limit,
        mean=float(chart.baseline.mean()),
        false_alarms_per_year=chart.design.false_alarms_per_year,
        delays=tuple(Expected(change=one.change, points=one.points) for one in chart.design.delays),
        provisional=chart.design.provisional,
    )
