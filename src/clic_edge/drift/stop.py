"""Stop rules: what the alarms of a model ask to be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.domain.monitoring import Response, Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from clic_edge.domain.monitoring import Alarm
    from clic_edge.drift.plan import Policy

_MILDEST_FIRST = list(Response)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is to be done with a model, and why."""

    model_id: str
    model_digest: str
    response: Response
    alarms: tuple[Alarm, ...]
    """Those that ask for it."""

    @property
    def reason(self) -> str:
        """The first alarm's sentence, for the history of the model and for readers."""
        return self.alarms[0].sentence


def demands(
    alarms: Iterable[Alarm], policy: Policy, *, acknowledged: Collection[str]
) -> tuple[Demand, ...]:
    """Return the strongest response for each model that its alarms to act on ask for.

    What a person has acknowledged asks for nothing more, and neither do warnings and what a
    provisional reference says. One that has closed asks where no stop rule has seen it yet.
    """
    responses = dict(policy.responses)
    asking: dict[str, list[tuple[Response, Alarm]]] = {}
    for one in alarms:
        is_over = one.closed_at is not None and one.acted_at is not None
        is_seen = is_over or one.alarm_id in acknowledged
        if one.severity is Severity.ACTION and not is_seen:
            response = responses.get(one.channel, Response.WARN)
            asking.setdefault(one.model_digest, []).append((response, one))
    return tuple(_strongest(given) for given in asking.values())


def _strongest(given: list[tuple[Response, Alarm]]) -> Demand:
    strongest = max((response for response, _ in given), key=_MILDEST_FIRST.index)
    alarms = tuple(alarm for response, alarm in given if response is strongest)
    return Demand(
        model_id=alarms[0].model_id,
        model_digest=alarms[0].model_digest,
        response=strongest,
        alarms=alarms,
    )
