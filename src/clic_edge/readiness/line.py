"""One synthetic study through the whole line: from C-STORE to the object that is delivered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from clic_edge.config.protocol import load_protocols
from clic_edge.constancy.running import explore, model_of
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError, Defect
from clic_edge.ledger.database import require_ledger
from clic_edge.readiness.finding import Finding, Verdict, found

if TYPE_CHECKING:
    from clic_edge.app import Appliance
    from clic_edge.config.protocol import Protocol
    from clic_edge.constancy.chain import Chain
    from clic_edge.domain.standing import Placement

_WHAT: Final = "one study through the line"
_NAME: Final = "site-check"
"""Of the run, so that no protocol is taken for having been run."""
_CASE_MINUTES: Final = 10.0
_STARTING: Final = timedelta(seconds=60)
"""How long a worker that has just been started may take until it has told of its models."""


def whole_line(appliance: Appliance) -> Finding:
    """Send the first phantom of the first protocol, and return what came of it.

    It is a constancy study: no destination of patients gets it, and nothing of it stays.
    """
    known, folder = (
        {one.name for one in appliance.pipelines},
        appliance.settings.constancy.protocols,
    )
    protocols = [one for one in load_protocols(folder) if one.pipeline in known]
    if not protocols:
        return Finding(
            what=_WHAT,
            seen=f"nothing was sent: {folder} has no protocol of a pipeline",
            verdict=Verdict.LOOK,
            to_do="write a constancy protocol, or send a study of a phantom by hand",
        )

    def look() -> str:
        require_ledger(appliance.engine)
        return _sent(appliance.chain(), protocols[0])

    return found(
        _WHAT,
        look,
        to_do="journalctl -u 'clic-edge*'; `clic-edge cases list`",
    )


def _sent(chain: Chain, protocol: Protocol) -> str:
    """Return what was delivered of one study. Raises Defect ``line-broken``; as `explore`."""
    one = protocol.model_copy(update={"name": _NAME, "cases": protocol.cases[:1]})
    patience = {"give_way_minutes": 0.0, "case_minutes": _CASE_MINUTES}
    constancy = chain.settings.constancy.model_copy(update=patience)
    hasty = replace(chain, settings=chain.settings.model_copy(update={"constancy": constancy}))
    ran = explore(hasty, one, _model(chain, protocol.pipeline), by="clic-edge check")
    (outcome,) = ran.outcomes.values()
    if outcome.state != CaseState.DELIVERED:
        why = f" ({outcome.code})" if outcome.code else ""
        raise Defect(
            "line-broken",
            f"The phantom of {protocol.name} went in, and its case is {outcome.state}{why}.",
        )
    kinds = ", ".join(outcome.objects)
    return (
        f"{protocol.pipeline}: {kinds} delivered after {outcome.seconds:.0f} s on {outcome.device}"
    )


def _model(chain: Chain, pipeline: str) -> Placement:
    """Return the model of a pipeline as soon as the worker has told of it. Raises as `model_of`."""
    begun = datetime.now(UTC)
    while True:
        try:
            return model_of(chain, pipeline)
        except ConfigError:
            if datetime.now(UTC) - begun > _STARTING:
                raise
        chain.stop.wait(1)
