"""The worker's nights: what is due runs beside the cases, and nobody waits for it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.beside import beside
from clic_edge.config.protocol import load_protocols
from clic_edge.constancy.chain import sweep
from clic_edge.constancy.running import check, model_of, warn_of_change
from clic_edge.constancy.schedule import is_due
from clic_edge.domain.constancy import SCHEDULE
from clic_edge.errors import ClicEdgeError, ConfigError, Transient
from clic_edge.ledger.database import DatabaseFailed
from clic_edge.pipeline.clock import last_moment, local_zone

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime, tzinfo

    from clic_edge.config.protocol import Protocol
    from clic_edge.constancy.chain import Chain
    from clic_edge.domain.constancy import Run


def nights(chain: Chain) -> AbstractContextManager[None]:
    """Look for what is due in a thread of its own; a run in hand is given up at the end."""
    every = chain.settings.worker.reconcile_seconds
    look = Night(chain).look
    return beside("constancy", look, every_seconds=every, stop=chain.stop, to_its_end=True)


class Night:
    """Asked again and again what is due; runs it, one protocol after the other."""

    def __init__(self, chain: Chain, zone: tzinfo | None = None) -> None:
        self._chain = chain
        self._zone = zone or local_zone()
        self._given_up: dict[str, datetime] = {}
        """Since when a protocol can't be run: nobody tries that again every minute."""
        self._compared: set[str] = set()
        """Protocols whose machine was looked at: it stays the same while the process lives."""

    def look(self, now: datetime) -> None:
        """Remove what a killed run left behind, tell of a changed machine, and run what is due."""
        sweep(self._chain, now=now)
        self._compare()
        self._run(self.due(now), now)

    def _compare(self) -> None:
        if self._chain.settings.constancy.at is None:
            return
        for protocol in load_protocols(self._chain.settings.constancy.protocols):
            if protocol.name not in self._compared:
                with suppress(ConfigError):  # no model of the pipeline is there to be looked at
                    warn_of_change(self._chain, protocol)
                    self._compared.add(protocol.name)

    def due(self, now: datetime) -> list[Protocol]:
        """Return the protocols that are commissioned and due. Raises ConfigError as `load_protocols`."""
        constancy = self._chain.settings.constancy
        if constancy.at is None:
            return []
        moment = last_moment(constancy.at, now, self._zone)
        return [
            one
            for one in load_protocols(constancy.protocols)
            if one.name not in self._given_up or self._given_up[one.name] < moment
            if is_due(moment, self._runs(one), interval_days=one.interval_days)
            and self._chain.ledger.constancy.records(protocol=one.name)
        ]

    def _runs(self, protocol: Protocol) -> list[Run]:
        runs = self._chain.ledger.constancy.runs(pipeline=protocol.pipeline)
        return [one for one in runs if one.protocol == protocol.name]

    def _run(self, due: list[Protocol], now: datetime) -> None:
        for protocol in due:
            try:
                place = model_of(self._chain, protocol.pipeline)
                check(self._chain, protocol, place, by=SCHEDULE)
            except Transient as hindrance:
                telemetry.constancy_failed(code=hindrance.code)
                if self._chain.stop.is_set():
                    return
            except ClicEdgeError as error:
                self._given_up[protocol.name] = now
                telemetry.constancy_failed(code=error.code)
            except DatabaseFailed:
                telemetry.constancy_failed(code="database-away")
