"""Settings to live objects: pipelines made ready, with models, writers and transports."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from clic_edge.config import destination_profile, kinds_of
from clic_edge.config.destination import WRITERS
from clic_edge.deid.keys import load_key
from clic_edge.deid.profile import load_profile
from clic_edge.dicom.policy import VolumePolicy
from clic_edge.domain.result import ResultKind
from clic_edge.drawing.look import Language
from clic_edge.errors import ClicEdgeError, ConfigError, Transient
from clic_edge.inference.admission import Admission
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import load_package
from clic_edge.inference.signing import verify_signature
from clic_edge.pacs.commitment import Reports
from clic_edge.pacs.folder import FolderDestination
from clic_edge.pipeline.granting import granted
from clic_edge.pipeline.line import Line, Patience, ReadyDestination, ReadyPipeline
from clic_edge.pipeline.monitoring import policy_of
from clic_edge.pipeline.phantoms import DESTINATION
from clic_edge.pipeline.standing import Candidate
from clic_edge.reporting.shelf import REPORTS, Shelf
from clic_edge.results.dcmqi import require_readers
from clic_edge.transports import make_census, make_destination, make_witness, report_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from clic_edge.config import DestinationProfile, Pipeline, Settings
    from clic_edge.deid.keys import DeidKey
    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.inference.runtime import Runtime
    from clic_edge.inference.site import Site
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.tls import Tls
    from clic_edge.pacs.transport import Archive
    from clic_edge.reporting.monthly import Monthly
    from clic_edge.results.writer import Writer


def build_line(
    settings: Settings,
    pipelines: tuple[Pipeline, ...],
    *,
    archive: Archive,
    ledger: Ledger,
    key: DeidKey | None = None,
    reports: Reports | None = None,
) -> Line:
    """Return the line with every pipeline made ready; models load at their first case.

    Without a `key` the site's is read; `reports` are those of storage commitment. Raises ConfigError when a file that is named is not sound.
    """
    worker = settings.worker
    admission = Admission(seconds=worker.case_seconds)
    return Line(
        archive=archive,
        ledger=ledger,
        key=key or load_key(settings.appliance.deid_key),
        pipelines=tuple(
            make_ready(settings, pipeline, reports or Reports(), admission=admission)
            for pipeline in pipelines
        ),
        language=settings.appliance.language,
        phantoms=FolderDestination(DESTINATION, settings.appliance.phantoms),
        pages_url=settings.web.url or "",
        patience=Patience(
            first=timedelta(seconds=worker.first_retry_seconds),
            longest=timedelta(seconds=worker.longest_retry_seconds),
            give_up_after=timedelta(days=worker.give_up_after_days),
        ),
    )


def make_ready(
    settings: Settings, pipeline: Pipeline, reports: Reports, *, admission: Admission | None = None
) -> ReadyPipeline:
    """Return a pipeline with all that its settings name; pipelines of one worker share `admission`."""
    admission = admission or Admission(seconds=settings.worker.case_seconds)
    expected_from = pipeline.completeness.expected_from
    profiles = {name: destination_profile(settings, name) for name in pipeline.destinations}
    writers = pipeline.writers or _asked_for(profiles.values())
    model, *challengers = (
        LazyRuntime(settings.appliance.models / name, _trust(settings), admission)
        for name in (pipeline.model, *pipeline.challengers)
    )
    return ReadyPipeline(
        settings=pipeline,
        profile=load_profile(settings.appliance.deid_profiles / f"{pipeline.deid_profile}.toml"),
        volume_policy=VolumePolicy(**pipeline.volume.model_dump()),
        runtime=model,
        challengers=tuple(challengers),
        candidates=tuple(
            Candidate(identity=one.identity, load=one) for one in (model, *challengers)
        ),
        file_decides=settings.appliance.model_states == "configured",
        writers=tuple(_writer(name) for name in writers),
        destinations=tuple(
            ReadyDestination(
                name=name,
                transport=make_destination(name, settings.destinations[name], profile),
                takes=frozenset(ResultKind(one.upper()) for one in kinds_of(profile, writers)),
                witness=make_witness(name, settings.destinations[name], profile, reports=reports),
            )
            for name, profile in profiles.items()
        ),
        census=make_census(settings.destinations[expected_from]) if expected_from else None,
    )


def _asked_for(profiles: Iterable[DestinationProfile]) -> tuple[str, ...]:
    """Return the writers of what any destination takes, those first that others refer to."""
    asked = {kind for profile in profiles for kind in profile.results}
    installed = entry_points(group="clic_edge.writers").names
    return tuple(name for name in WRITERS if name in asked & installed)


def _trust(settings: Settings) -> Callable[[Path], Site]:
    """Return what grants a package its means, and raises where nobody whom we trust signed it."""
    signed = not settings.appliance.unsigned_models
    site = granted(settings.runtimes, trusted=signed)

    def trust(folder: Path) -> Site:
        if signed:
            verify_signature(folder, settings.appliance.model_keys)
        return site

    return trust


def packages(folder: Path) -> tuple[ModelIdentity, ...]:
    """Return what each sound model package in a folder says of itself."""
    found = []
    for one in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found.append(load_package(one).identity)
        except ClicEdgeError:
            continue  # not a package, or a broken one: nothing is known of it
    return tuple(found)


def monthly_reports(settings: Settings, ledger: Ledger) -> Monthly:
    """Return what makes the reports of the last month."""
    from clic_edge.reporting.monthly import Monthly  # noqa: PLC0415 - Matplotlib is slow to load

    appliance = settings.appliance
    return Monthly(
        ledger=ledger,
        shelf=Shelf(appliance.state_dir / REPORTS),
        appliance=appliance.name,
        language=Language(appliance.language),
        policy=policy_of(settings),
        packages=partial(packages, appliance.models),
    )


def commitment_ports(
    settings: Settings, pipelines: tuple[Pipeline, ...]
) -> Mapping[int, Tls | None]:
    """Return the ports to which PACS bring their reports of storage commitment, and their TLS.

    Raises ConfigError ``port-shared``: one port speaks in one way to all.
    """
    ports: dict[int, Tls | None] = {}
    for name in sorted({name for pipeline in pipelines for name in pipeline.destinations}):
        port = destination_profile(settings, name).commitment.port
        if port is None:
            continue
        tls = report_tls(settings.destinations[name])
        if ports.setdefault(port, tls) != tls:
            raise ConfigError(
                "port-shared",
                f"Port {port} takes reports of several destinations whose `tls` differs: "
                "give each its own `commitment.port`.",
            )
    return ports


class LazyRuntime:
    """Loads a model package once, at its first case: a broken model stops its own cases only."""

    def __init__(self, folder: Path, trust: Callable[[Path], Site], admission: Admission) -> None:
        self._folder = folder
        self._admission = admission
        self._trust = trust
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None
        self._identity: ModelIdentity | None = None

    def identity(self) -> ModelIdentity:
        """Return which model the package holds, without its network; raises as `load_package`."""
        with self._lock:
            if self._identity is None:
                self._identity = load_package(self._folder).identity
            return self._identity

    def __call__(self) -> Runtime:
        """Return the runtime.

        Raises
        ------
        Defect
            The package does not verify.
        Transient
            ``model-moved``: it is not the package whose state was asked for.

        """
        with self._lock:
            if self._runtime is None:
                runtime = load_runtime(self._folder, self._trust(self._folder))
                expected, self._identity = self._identity, runtime.model
                if expected not in {None, runtime.model}:
                    raise Transient(
                        "model-moved",
                        "The model package was replaced before it was loaded; the case runs again.",
                        retry_after=timedelta(seconds=1),
                    )
                self._runtime = self._admission.over(runtime, self._folder)
            return self._runtime


def _writer(name: str) -> Writer:
    if name.startswith("seg"):
        require_readers()  # a segmentation that nobody can prove never leaves
    (point,) = entry_points(group="clic_edge.writers", name=name)
    writer: Writer = point.load()()
    return writer
