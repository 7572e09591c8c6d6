"""What the running configuration makes the appliance say and take over DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.config import (
    DicomwebDestination,
    DimseDestination,
    FolderDestination,
    destination_profile,
    kinds_of,
)
from clic_edge.config.destination import ASSESSMENT, REJECTION
from clic_edge.config.settings import DestinationTls
from clic_edge.pacs.probe import SOP_CLASSES, SopClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.config import Destination, DestinationProfile, Pipeline, Settings
    from clic_edge.pacs.acceptor import Acceptor

_LIKE = {REJECTION: "ko", ASSESSMENT: "sr"}
"""Kinds that come as the class of another kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One kind of result that a destination gets."""

    kind: str
    sop_class: SopClass
    compression: str
    """As the profile asks: ``none``, ``deflated``, ``rle`` or ``jpeg-2000``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A destination, as its administrator needs to know it."""

    name: str
    kind: str
    """``dimse``, ``dicomweb`` or ``folder``."""
    calling_ae_title: str = ""
    called_ae_title: str = ""
    tls: str = ""
    """Which TLS, and who shows a certificate; empty in the clear."""
    character_set: str
    commitment: str
    """``none``, ``same-association`` or ``own-association``."""
    report_port: int | None
    confirm: str
    """``none``, ``c-find`` or ``qido``."""
    is_asked_for_counts: bool
    """Whether a pipeline asks it how many instances a study has."""
    sent: tuple[Sent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the statement is made from."""

    site: str
    version: str
    recipients: tuple[Recipient, ...]
    pipelines: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Name, title and destinations."""
    incoming_tls: str
    """Which TLS the archive speaks, and who shows a certificate; empty in the clear."""
    acceptor: Acceptor | None
    """None where the archive was not asked, or did not answer."""


def facts(
    settings: Settings,
    pipelines: tuple[Pipeline, ...],
    *,
    version: str,
    acceptor: Acceptor | None,
) -> Facts:
    """Return what the settings say. Raises ConfigError as `destination_profile`."""
    return Facts(
        site=settings.appliance.name,
        version=version,
        recipients=tuple(_recipients(settings, pipelines)),
        pipelines=tuple((one.name, one.title, one.destinations) for one in pipelines),
        incoming_tls=_incoming(settings),
        acceptor=acceptor,
    )


def _recipients(settings: Settings, pipelines: tuple[Pipeline, ...]) -> Iterator[Recipient]:
    asked = {one.completeness.expected_from for one in pipelines}
    for name, destination in settings.destinations.items():
        ours = [one for one in pipelines if name in one.destinations]
        if not ours and name not in asked:
            continue
        profile = destination_profile(settings, name)
        calling = called = ""
        if isinstance(destination, DimseDestination):
            calling, called = destination.calling_ae_title, destination.called_ae_title
        is_folder = isinstance(destination, FolderDestination)
        assert is_folder or isinstance(destination, DimseDestination | DicomwebDestination)  # noqa: S101 - of the settings' union
        yield Recipient(
            name=name,
            kind=destination.kind,
            calling_ae_title=calling,
            called_ae_title=called,
            tls=_tls(destination),
            character_set=profile.character_set,
            commitment=profile.commitment.way,
            report_port=profile.commitment.port,
            confirm=profile.confirm,
            is_asked_for_counts=name in asked,
            sent=tuple(_sent(profile, ours)),
        )


def _incoming(settings: Settings) -> str:
    tls = settings.orthanc.tls
    return _shown(both=tls.senders == "certified") if tls else ""


def _tls(destination: Destination) -> str:
    match destination:
        case DimseDestination(tls=DestinationTls() as tls):
            return _shown(both=tls.certificate is not None)
        case DicomwebDestination(url=url) if url.startswith("https:"):
            return _shown(both=False)
        case _:
            return ""


def _shown(*, both: bool) -> str:
    return "TLS 1.2 or 1.3; certificates: " + ("both" if both else "who accepts")


def _sent(profile: DestinationProfile, pipelines: list[Pipeline]) -> Iterator[Sent]:
    kinds: dict[str, None] = {}
    for one in pipelines:
        kinds |= dict.fromkeys(kinds_of(profile, one.writers))
    for kind in kinds:
        for sop_class in SOP_CLASSES:
            if _LIKE.get(kind, kind) in sop_class.kinds:
                yield Sent(
                    kind=kind,
                    sop_class=sop_class,
                    compression=profile.compression.get(kind, "none"),  # type: ignore[call-overload] # a kind of its own has no compression
                )
