"""Settings that are each sound, and do not work together or with what lies in the folders."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clic_edge.assembly import commitment_ports
from clic_edge.config import DicomwebDestination
from clic_edge.config.openid import LOOPBACK
from clic_edge.config.protocol import load_protocols
from clic_edge.deid.profile import load_profile
from clic_edge.errors import ConfigError
from clic_edge.readiness.finding import Finding, Verdict, failed, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.app import Appliance
    from clic_edge.config import Pipeline, Settings


def together(appliance: Appliance) -> Iterator[Finding]:
    """Yield whether what the settings name in several places goes together."""
    settings = appliance.settings
    yield ports(settings, appliance.pipelines)
    yield constancy(settings, appliance.pipelines)
    yield from passwords(settings)
    if settings.retraining.allowed:
        profile = settings.retraining.deid_profile
        yield found(
            "retraining",
            lambda: load_profile(settings.appliance.deid_profiles / f"{profile}.toml").name,
            to_do="correct retraining.deid_profile",
        )


def ports(settings: Settings, pipelines: tuple[Pipeline, ...]) -> Finding:
    """Return whether one port of this machine is meant for several."""
    what, users = "ports", defaultdict[int, list[str]](list)
    try:
        reports = commitment_ports(settings, pipelines)
    except ConfigError as error:
        return failed(what, error, to_do="correct the destination's profile")
    orthanc = urlsplit(settings.orthanc.url)
    if orthanc.port and orthanc.hostname in LOOPBACK:
        users[orthanc.port].append("orthanc.url")
    users[settings.web.port].append("web.port")
    if settings.worker.metrics_port:
        users[settings.worker.metrics_port].append("worker.metrics_port")
    for port in reports:
        users[port].append("commitment.port")
    for port, keys in users.items():
        if len(keys) > 1:
            return Finding(
                what=what,
                seen=f"{port} is {' and '.join(keys)}",
                verdict=Verdict.LOOK,
                to_do="give each its own, unless each has a network of its own",
            )
    return Finding(what=what, seen="each is one thing's own")


def passwords(settings: Settings) -> Iterator[Finding]:
    """Yield where a password leaves this machine in the clear."""
    named = {"orthanc.url": settings.orthanc.url} if settings.orthanc.username else {}
    for name, one in settings.destinations.items():
        if isinstance(one, DicomwebDestination) and one.username:
            named[f"destinations.{name}"] = one.url
    for key, url in named.items():
        if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in LOOPBACK:
            yield Finding(
                what=f"password of {key}",
                seen="goes over the network in the clear",
                verdict=Verdict.LOOK,
                to_do="name an address with https://",
            )


def constancy(settings: Settings, pipelines: tuple[Pipeline, ...]) -> Finding:
    """Return whether each protocol can be read, and there is one to run where runs are asked for."""
    folder, known = settings.constancy.protocols, {one.name for one in pipelines}
    try:
        named = [one.pipeline for one in load_protocols(folder)]
    except ConfigError as error:
        return failed("constancy", error, to_do="correct it")
    seen = f"{len(named)} protocols"
    if missing := sorted({*named} - known):
        seen += f", and no pipeline {', '.join(missing)}"
    if missing or (settings.constancy.at and not named):
        to_do = f"constancy.at or what lies in {folder} is of no use: correct one"
        return Finding(what="constancy", seen=seen, verdict=Verdict.LOOK, to_do=to_do)
    return Finding(what="constancy", seen=seen)
