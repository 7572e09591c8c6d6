"""Settings of destinations to transports: who takes results, who counts, who bears witness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.config import (
    DicomwebDestination,
    DimseDestination,
    FolderDestination,
    read_secret,
)
from clic_edge.domain.result import ResultKind
from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs import dicomweb, dimse, folder
from clic_edge.pacs.association import DimsePeer
from clic_edge.pacs.commitment import CommitmentTerms, CommitmentWitness
from clic_edge.pacs.encoding import Encoding
from clic_edge.pacs.holdings import DicomwebHoldings, DimseHoldings
from clic_edge.pacs.retrieval import DicomwebSource, DimseSource, HereSource
from clic_edge.pacs.tls import Tls, client_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.config import Destination as DestinationSettings
    from clic_edge.config import DestinationProfile
    from clic_edge.config.receiving import Orthanc
    from clic_edge.pacs.commitment import Reports
    from clic_edge.pacs.rest import Rest
    from clic_edge.pacs.transport import (
        Destination,
        Holdings,
        StudyCensus,
        StudySource,
        Witness,
    )


def make_destination(
    name: str, settings: DestinationSettings, profile: DestinationProfile
) -> Destination:
    """Return the transport to a destination; to a folder, objects go as they were written."""
    encoding = Encoding(
        compression=tuple(
            (ResultKind(kind.upper()), way) for kind, way in profile.compression.items()
        ),
        character_set=profile.character_set,
    )
    match settings:
        case DimseDestination():
            return dimse.DimseDestination(name, dimse_peer(settings), encoding)
        case DicomwebDestination():
            return dicomweb.DicomwebDestination(name, dicomweb_peer(settings), encoding)
        case FolderDestination():
            return folder.FolderDestination(name, settings.path)


def make_witness(
    name: str, settings: DestinationSettings, profile: DestinationProfile, *, reports: Reports
) -> Witness | None:
    """Return who says whether a destination holds what it accepted; None where nobody is asked."""
    match settings:
        case DimseDestination() if profile.commitment.way != "none":
            terms = CommitmentTerms(
                same_association=profile.commitment.way == "same-association",
                listens=profile.commitment.port is not None,
                timeout_s=profile.commitment.timeout_s,
            )
            return CommitmentWitness(name, dimse_peer(settings), terms=terms, reports=reports)
        case DimseDestination() if profile.confirm == "c-find":
            return dimse.DimseWitness(name, dimse_peer(settings))
        case DicomwebDestination() if profile.confirm == "qido":
            return dicomweb.DicomwebWitness(name, dicomweb_peer(settings))
        case _:
            return None


def make_census(settings: DestinationSettings) -> StudyCensus:
    """Return who can say how many instances a study has. Raises ConfigError for a folder."""
    match settings:
        case DimseDestination():
            return dimse.DimseCensus(dimse_peer(settings))
        case DicomwebDestination():
            return dicomweb.DicomwebCensus(dicomweb_peer(settings))
        case FolderDestination():
            raise ConfigError(
                "folder-cannot-count", "A folder does not know how many instances a study has."
            )


def make_holdings(settings: DestinationSettings) -> Holdings | None:
    """Return who says what a destination holds; None of a folder, from which others take away."""
    match settings:
        case DimseDestination():
            return DimseHoldings(dimse_peer(settings))
        case DicomwebDestination():
            return DicomwebHoldings(dicomweb_peer(settings))
        case FolderDestination():
            return None


def make_source(
    name: str, destinations: Mapping[str, DestinationSettings], *, rest: Rest
) -> StudySource:
    """Return an archive by name: `here`, or a destination, whose studies come into our Orthanc.

    Raises ConfigError ``unknown-name``, ``folder-cannot-send``.
    """
    if name == "here":
        return HereSource(rest)
    match destinations.get(name):
        case DimseDestination() as settings:
            return DimseSource(dimse_peer(settings), rest)
        case DicomwebDestination() as settings:
            return DicomwebSource(dicomweb_peer(settings), rest)
        case FolderDestination():
            raise ConfigError("folder-cannot-send", "A folder sends no studies; use `here`.")
        case None:
            raise ConfigError("unknown-name", f"There is no destination {name}.")


def probe_destination(settings: DestinationSettings) -> None:
    """Return when the destination answers (C-ECHO, QIDO-RS), else raise Transient."""
    match settings:
        case DimseDestination():
            dimse.echo(dimse_peer(settings))
        case DicomwebDestination():
            dicomweb.DicomwebCensus(dicomweb_peer(settings)).count_instances("2.25.0")
        case FolderDestination():
            if not settings.path.parent.is_dir():
                raise Transient("destination-unreachable", f"{settings.path.parent} is no folder.")


def dimse_peer(settings: DimseDestination) -> DimsePeer:
    """Return where a PACS listens.

    Raises ConfigError as `pacs.tls.client_context`: its files are looked at before anything starts.
    """
    tls = dimse_tls(settings)
    if tls:
        client_context(tls)
    return DimsePeer(
        host=settings.host,
        port=settings.port,
        called_ae_title=settings.called_ae_title,
        calling_ae_title=settings.calling_ae_title,
        timeout_s=settings.timeout_s,
        tls=tls,
    )


def dimse_tls(settings: DimseDestination) -> Tls | None:
    """Return the TLS of a PACS, and of the port for its reports; None for none."""
    if settings.tls is None:
        return None
    return Tls(
        ca=settings.tls.ca,
        certificate=settings.tls.certificate,
        key=settings.tls.key,
        hostname=settings.tls.hostname or settings.host,
    )


def orthanc_tls(orthanc: Orthanc) -> Tls | None:
    """Return the TLS by which the appliance speaks DICOM to its own Orthanc; None for none."""
    if orthanc.tls is None:
        return None
    return Tls(
        ca=orthanc.tls.certificate,
        certificate=orthanc.tls.worker_certificate,
        key=orthanc.tls.worker_key,
        hostname=None,
    )


def report_tls(settings: DestinationSettings) -> Tls | None:
    """Return the TLS of a port for reports; None where we have no certificate to show there."""
    tls = dimse_tls(settings) if isinstance(settings, DimseDestination) else None
    return tls.of_reports if tls else None


def dicomweb_peer(settings: DicomwebDestination) -> dicomweb.DicomwebPeer:
    """Return where a DICOMweb service answers. Raises ConfigError ``no-secret``."""
    return dicomweb.DicomwebPeer(
        url=settings.url,
        user=settings.username,
        password=read_secret(settings.password_file) if settings.password_file else "",
        timeout_s=settings.timeout_s,
    )
