"""Settings to live objects: pipelines made ready, with models, writers and transports."""

from __future__ import annotations

import threading
from datetime import timedelta
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from clic_edge.config import (
    DicomwebDestination,
    DimseDestination,
    FolderDestination,
    read_secret,
)
from clic_edge.deid.keys import load_key
from clic_edge.deid.profile import load_profile
from clic_edge.dicom.policy import VolumePolicy
from clic_edge.domain.result import ResultKind
from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs import dicomweb, dimse, folder
from clic_edge.pipeline.line import Line, Patience, ReadyDestination, ReadyPipeline

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.config import Destination as DestinationSettings
    from clic_edge.config import Pipeline, Settings
    from clic_edge.deid.keys import DeidKey
    from clic_edge.inference.runtime import Runtime
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.transport import Archive, Destination, StudyCensus
    from clic_edge.results.writer import Writer


def build_line(
    settings: Settings,
    pipelines: tuple[Pipeline, ...],
    *,
    archive: Archive,
    ledger: Ledger,
    key: DeidKey | None = None,
) -> Line:
    """Return the line with every pipeline made ready; models load at their first case.

    Without a `key` the site's is read. Raises ConfigError when a file that is named is not sound.
    """
    worker = settings.worker
    return Line(
        archive=archive,
        ledger=ledger,
        key=key or load_key(settings.appliance.deid_key),
        pipelines=tuple(make_ready(settings, pipeline) for pipeline in pipelines),
        language=settings.appliance.language,
        patience=Patience(
            first=timedelta(seconds=worker.first_retry_seconds),
            longest=timedelta(seconds=worker.longest_retry_seconds),
            give_up_after=timedelta(days=worker.give_up_after_days),
        ),
    )


def make_ready(settings: Settings, pipeline: Pipeline) -> ReadyPipeline:
    """Return a pipeline with all that its settings name."""
    expected_from = pipeline.completeness.expected_from
    return ReadyPipeline(
        settings=pipeline,
        profile=load_profile(settings.appliance.deid_profiles / f"{pipeline.deid_profile}.toml"),
        volume_policy=VolumePolicy(**pipeline.volume.model_dump()),
        runtime=LazyRuntime(settings.appliance.models / pipeline.model),
        writers=tuple(_writer(name) for name in pipeline.writers),
        destinations=tuple(
            ReadyDestination(
                name=name,
                transport=make_destination(name, settings.destinations[name]),
                takes=frozenset(ResultKind),
            )
            for name in pipeline.destinations
        ),
        census=make_census(settings.destinations[expected_from]) if expected_from else None,
    )


class LazyRuntime:
    """Loads a model package once, at its first case: a broken model stops its own cases only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None

    def __call__(self) -> Runtime:
        """Return the runtime. Raises Defect when the package does not verify."""
        with self._lock:
            if self._runtime is None:
                (found,) = entry_points(group="clic_edge.runtimes", name="onnx")
                self._runtime = found.load().load(self._folder)
            return self._runtime


def make_destination(name: str, settings: DestinationSettings) -> Destination:
    """Return the transport to a destination."""
    match settings:
        case DimseDestination():
            return dimse.DimseDestination(name, dimse_peer(settings))
        case DicomwebDestination():
            return dicomweb.DicomwebDestination(name, dicomweb_peer(settings))
        case FolderDestination():
            return folder.FolderDestination(name, settings.path)


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


def dimse_peer(settings: DimseDestination) -> dimse.DimsePeer:
    """Return where a PACS listens."""
    return dimse.DimsePeer(
        host=settings.host,
        port=settings.port,
        called_ae_title=settings.called_ae_title,
        calling_ae_title=settings.calling_ae_title,
        timeout_s=settings.timeout_s,
    )


def dicomweb_peer(settings: DicomwebDestination) -> dicomweb.DicomwebPeer:
    """Return where a DICOMweb service answers. Raises ConfigError ``no-secret``."""
    return dicomweb.DicomwebPeer(
        url=settings.url,
        user=settings.username,
        password=read_secret(settings.password_file) if settings.password_file else "",
        timeout_s=settings.timeout_s,
    )


def _writer(name: str) -> Writer:
    (point,) = entry_points(group="clic_edge.writers", name=name)
    writer: Writer = point.load()()
    return writer
