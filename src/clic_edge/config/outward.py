"""Whom the worker has to reach, by the settings: what a firewall lets through, and nobody else."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from clic_edge.config.runtimes import LOOPBACK
from clic_edge.config.settings import DicomwebDestination, DimseDestination, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A machine that the settings name."""

    what: str
    """The place in the settings, e.g. ``destinations.pacs``."""
    host: str
    """Name or address, as it stands there."""


def peers(settings: Settings) -> tuple[Peer, ...]:
    """Return every machine but this one that the worker connects to, in the order of the settings."""
    return tuple(
        Peer(what=what, host=host)
        for what, host in _named(settings)
        if host and host not in LOOPBACK and not host.startswith("/")
    )


def _named(settings: Settings) -> Iterator[tuple[str, str | None]]:
    database = urlsplit(settings.appliance.database)
    if database.scheme.startswith("postgresql"):
        yield "appliance.database", database.hostname
        for host in parse_qs(database.query).get("host", ()):
            yield "appliance.database", host
    yield "orthanc.url", urlsplit(settings.orthanc.url).hostname
    for name, destination in settings.destinations.items():
        if isinstance(destination, DimseDestination):
            yield f"destinations.{name}", destination.host
        elif isinstance(destination, DicomwebDestination):
            yield f"destinations.{name}", urlsplit(destination.url).hostname
    for name, server in settings.runtimes.servers.items():
        yield f"runtimes.servers.{name}", urlsplit(server.url).hostname
    notify = settings.notify
    if notify.email:
        yield "notify.email", notify.email.host
    if notify.webhook:
        yield "notify.webhook", urlsplit(notify.webhook.url).hostname
    if notify.syslog and notify.syslog.transport != "local":
        yield "notify.syslog", notify.syslog.host
