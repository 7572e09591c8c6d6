"""The composition root: settings in, a running appliance out.

Light at import, for Orthanc's plugin: what a worker needs loads when a worker starts.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from clic_edge.config import cross_check, load_pipelines, load_settings, read_secret
from clic_edge.domain.limits import StudyLimits
from clic_edge.domain.standing import Serving
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import migrate, open_engine
from clic_edge.pacs.orthanc import OrthancArchive
from clic_edge.pacs.rest import HttpRest, OrthancPeer
from clic_edge.pipeline.queue import DurableQueue

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from clic_edge.accounting.books import Books
    from clic_edge.config import Pipeline, Settings
    from clic_edge.constancy.chain import Chain
    from clic_edge.pacs.acceptor import Acceptor
    from clic_edge.pacs.cohort import OrthancCohort
    from clic_edge.pacs.gateway import ArchiveGateway
    from clic_edge.pipeline.presence import Presence
    from clic_edge.pipeline.process import Step
    from clic_edge.pipeline.worker import Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """Settings that were checked, and the ledger that they name."""

    settings: Settings
    pipelines: tuple[Pipeline, ...]
    engine: Engine = field(repr=False)
    queue: DurableQueue
    ledger: Ledger

    @classmethod
    def open(cls, settings_path: Path) -> Appliance:
        """Return the appliance of a settings file; the database need not be there yet.

        Raises
        ------
        ConfigError
            A setting is wrong, or a name in a pipeline means nothing.

        """
        settings = load_settings(settings_path)
        pipelines = load_pipelines(settings.appliance.pipelines)
        cross_check(settings, pipelines, writers=writer_names())
        engine = open_engine(settings.appliance.database)
        queue = DurableQueue(engine)
        return cls(
            settings=settings,
            pipelines=pipelines,
            engine=engine,
            queue=queue,
            ledger=Ledger.on(engine, queue),
        )

    def archive(self) -> OrthancArchive:
        """Return the appliance's Orthanc over HTTP."""
        return OrthancArchive(HttpRest(self._peer()), self.limits)

    @property
    def limits(self) -> StudyLimits:
        """How much one study may ask of the appliance."""
        limits = self.settings.limits
        return StudyLimits(
            study_series=limits.study_series,
            series_instances=limits.series_instances,
            series_mib=limits.series_mib,
        )

    def cohort(self) -> OrthancCohort:
        """Return the studies of the appliance's Orthanc, to be chosen from."""
        from clic_edge.pacs.cohort import OrthancCohort  # noqa: PLC0415 - the plugin needs it not

        return OrthancCohort(self._peer())

    def gateway(self) -> ArchiveGateway:
        """Return what the pages read of the appliance's Orthanc."""
        from clic_edge.pacs.gateway import ArchiveGateway  # noqa: PLC0415 - as above

        return ArchiveGateway(self._peer())

    def chain(self) -> Chain:
        """Return the appliance as constancy uses it."""
        from clic_edge.constancy.chain import Chain  # noqa: PLC0415 - the plugin needs it not
        from clic_edge.pacs.phantoms import PhantomShelf  # noqa: PLC0415 - as above
        from clic_edge.transports import orthanc_tls  # noqa: PLC0415 - as above

        return Chain(
            settings=self.settings,
            pipelines=self.pipelines,
            ledger=self.ledger,
            archive=self.archive(),
            shelf=PhantomShelf(self._peer(), orthanc_tls(self.settings.orthanc)),
        )

    def acceptor(self) -> Acceptor:
        """Return what the appliance's Orthanc takes from senders. Raises as `pacs.acceptor`."""
        from clic_edge.pacs.acceptor import acceptor  # noqa: PLC0415 - as above
        from clic_edge.transports import orthanc_tls  # noqa: PLC0415 - as above

        peer, tls = self._peer(), orthanc_tls(self.settings.orthanc)
        with closing(HttpRest(peer)) as rest:
            return acceptor(rest, host=urlsplit(peer.url).hostname or "127.0.0.1", tls=tls)

    def books(self) -> Books:
        """Return what the account of a day compares. Raises ConfigError ``no-secret``."""
        from clic_edge.accounting.books import Books, Peer  # noqa: PLC0415 - the plugin needs it not
        from clic_edge.pacs.content import OrthancContent  # noqa: PLC0415 - as above
        from clic_edge.transports import make_holdings  # noqa: PLC0415 - as above

        names = {name for pipeline in self.pipelines for name in pipeline.destinations}
        asked = sorted(names - set(self.settings.accounting.leave_out))
        found = ((name, make_holdings(self.settings.destinations[name])) for name in asked)
        return Books(
            ledger=self.ledger,
            archive=self.archive(),
            content=OrthancContent(HttpRest(self._peer())),
            peers=tuple(Peer(name=name, holdings=one) for name, one in found if one),
            rules=self.pipelines,
        )

    def rest(self) -> HttpRest:
        """Return a connection to the appliance's Orthanc."""
        return HttpRest(self._peer())

    def _peer(self) -> OrthancPeer:
        orthanc = self.settings.orthanc
        password = read_secret(orthanc.password_file) if orthanc.password_file else ""
        return OrthancPeer(
            url=orthanc.url,
            user=orthanc.username,
            password=password,
            timeout_s=orthanc.timeout_s,
        )


def serve(appliance: Appliance, stop: threading.Event, step: Step | None = None) -> None:
    """Run the worker until `stop` is set. Raises ConfigError instead of starting half-way."""
    from clic_edge import telemetry  # noqa: PLC0415 - the plugin needs none of these
    from clic_edge.assembly import build_line, commitment_ports, monthly_reports  # noqa: PLC0415 - as above
    from clic_edge.constancy.night import nights  # noqa: PLC0415 - as above
    from clic_edge.metrics import LedgerCollector  # noqa: PLC0415 - as above
    from clic_edge.notify.post import delivering  # noqa: PLC0415 - as above
    from clic_edge.pacs.commitment import Reports, listening  # noqa: PLC0415 - as above
    from clic_edge.pipeline.monitoring import policy_of  # noqa: PLC0415 - as above
    from clic_edge.pipeline.standing import enrol  # noqa: PLC0415 - as above
    from clic_edge.pipeline.worker import Worker, durably  # noqa: PLC0415 - as above
    from clic_edge.reporting.monthly import reporting  # noqa: PLC0415 - as above

    settings = appliance.settings
    settings.appliance.state_dir.mkdir(parents=True, exist_ok=True)
    migrate(appliance.engine)
    reports = Reports()
    archive, ledger = appliance.archive(), appliance.ledger
    line = build_line(
        settings, appliance.pipelines, archive=archive, ledger=ledger, reports=reports
    )
    serving = Serving(instance=uuid4().hex, name=settings.appliance.name)
    for pipeline in line.pipelines:
        enrol(pipeline, ledger.standing, by=serving)
    if settings.worker.metrics_port:
        collector = LedgerCollector(ledger, settings.appliance.state_dir, settings.web.certificate)
        telemetry.serve_metrics(settings.worker.metrics_port, collector)
    worker = Worker(
        line,
        engine=appliance.engine,
        presence=_presence(appliance, serving.instance),
        pace=_pace(settings, serving.instance),
        crosswalks=settings.appliance.crosswalks,
        policy=policy_of(settings),
    )
    with ExitStack() as beside:
        for port, tls in commitment_ports(settings, appliance.pipelines).items():
            beside.enter_context(listening(port, reports, tls))
        beside.enter_context(delivering(settings, ledger))
        beside.enter_context(reporting(monthly_reports(settings, ledger)))
        beside.enter_context(nights(appliance.chain()))
        beside.enter_context(_accounting(appliance))
        worker.run(stop, step or durably)


def _presence(appliance: Appliance, instance: str) -> Presence:
    from clic_edge.pipeline.deadlines import watch_deadlines  # noqa: PLC0415 - not for the plugin
    from clic_edge.pipeline.presence import Presence, this_run  # noqa: PLC0415 - as above

    settings = appliance.settings
    slots = settings.worker.concurrent_cases
    return Presence(
        appliance.ledger,
        appliance.queue,
        this_run(settings.appliance.name, instance, slots=slots),
        lost_after=timedelta(seconds=settings.worker.lost_after_seconds),
        also=partial(watch_deadlines, appliance.ledger, appliance.pipelines),
    )


def _accounting(appliance: Appliance) -> AbstractContextManager[None]:
    from clic_edge.accounting.night import keeping_accounts  # noqa: PLC0415 - not for the plugin

    settings = appliance.settings
    if settings.accounting.at is None:
        return nullcontext()
    every = settings.worker.reconcile_seconds
    return keeping_accounts(appliance.books(), at=settings.accounting.at, every_seconds=every)


def _pace(settings: Settings, instance: str) -> Pace:
    from clic_edge.pipeline.retention import retention_of  # noqa: PLC0415 - not for the plugin
    from clic_edge.pipeline.worker import Pace  # noqa: PLC0415 - as above

    return Pace(
        name=settings.appliance.name,
        instance=instance,
        concurrent_cases=settings.worker.concurrent_cases,
        reconcile_seconds=settings.worker.reconcile_seconds,
        watch_seconds=60 * settings.monitoring.every_minutes,
        retention=retention_of(settings),
    )


def writer_names() -> tuple[str, ...]:
    """Return the names of every writer that is installed, ours and others'."""
    return tuple(sorted({point.name for point in entry_points(group="clic_edge.writers")}))
