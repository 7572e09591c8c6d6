"""A run that a person asks for on a page: it goes on in a thread, and nobody waits for it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.config.protocol import load_protocols
from clic_edge.constancy.running import check, model_of, record_for
from clic_edge.errors import ClicEdgeError, ConfigError, Transient
from clic_edge.ledger.database import DatabaseAway

if TYPE_CHECKING:
    from collections.abc import Callable

    from clic_edge.config.protocol import Protocol
    from clic_edge.constancy.chain import Chain
    from clic_edge.domain.standing import Placement

_LONGEST = timedelta(days=1)


class OnDemand:
    """Starts runs; where the process ends meanwhile, the worker clears up what is left."""

    def __init__(self, chain: Callable[[], Chain]) -> None:
        """Make a chain for each run."""
        self._chain = chain

    def __call__(self, name: str, person: str) -> None:
        """Start a run of a protocol in a person's name, and return at once.

        Raises
        ------
        ConfigError
            ``no-such-protocol``, ``not-commissioned``.
        Transient
            ``constancy-running``: another is under way.

        """
        chain = self._chain()
        protocol = protocol_named(chain, name)
        place = model_of(chain, protocol.pipeline)
        if record_for(chain, protocol, place.digest) is None:
            raise ConfigError(
                "not-commissioned",
                f"{protocol.name} {protocol.version} has no record; `clic-edge constancy "
                f"commission {protocol.name}` makes it.",
            )
        recent = chain.ledger.constancy.runs(since=datetime.now(UTC) - _LONGEST)
        if any(one.ended_at is None for one in recent):
            raise Transient(
                "constancy-running", "Another constancy run is under way; it ends by itself."
            )
        work = partial(_run, chain, protocol, place, person=person)
        threading.Thread(target=work, name="constancy on demand", daemon=True).start()


def protocol_named(chain: Chain, name: str) -> Protocol:
    """Return the site's protocol of a name. Raises ConfigError ``no-such-protocol``."""
    known = load_protocols(chain.settings.constancy.protocols)
    for one in known:
        if one.name == name:
            return one
    raise ConfigError(
        "no-such-protocol",
        f"There is no protocol {name} in {chain.settings.constancy.protocols}; there is "
        f"{', '.join(one.name for one in known) or 'none'}.",
    )


def _run(chain: Chain, protocol: Protocol, place: Placement, *, person: str) -> None:
    try:
        check(chain, protocol, place, by=person)
    except ClicEdgeError as error:
        telemetry.constancy_failed(code=error.code)
    except DatabaseAway:
        telemetry.constancy_failed(code="database-away")
