"""The files: settings, keys, certificates, pipelines with their models, and who may read them."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from clic_edge.assembly import make_ready
from clic_edge.config import DimseDestination
from clic_edge.config.secrets import secret_files
from clic_edge.deid.keys import load_key
from clic_edge.errors import ConfigError
from clic_edge.inference.package import load_package
from clic_edge.inference.signing import verify_signature
from clic_edge.notify.post import channels_of
from clic_edge.pacs.commitment import Reports
from clic_edge.pacs.tls import certificates, client_context, trusted
from clic_edge.readiness.finding import Finding, Verdict, failed, found
from clic_edge.transports import dimse_tls, orthanc_tls
from clic_edge.web.tls import certificate_ends

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clic_edge.app import Appliance
    from clic_edge.config import Pipeline, Settings
    from clic_edge.config.receiving import Orthanc
    from clic_edge.pacs.tls import Tls

TOO_SOON: Final = timedelta(days=7)
"""A certificate that ends sooner is none to go live with."""
SOON: Final = timedelta(days=30)


def files(appliance: Appliance, *, models: bool = True) -> Iterator[Finding]:
    """Yield what is to be said of every file that the settings name; with `models`, load those."""
    settings, look = appliance.settings, _model if models else _package
    yield Finding(what="settings", seen=f"{len(appliance.pipelines)} pipelines")
    yield found(
        "de-identification key",
        lambda: f"key {load_key(settings.appliance.deid_key).key_id}",
        to_do="`clic-edge deid init-key`, or restore it from a backup",
    )
    yield found("notices", lambda: _notices(settings), to_do="correct [notify]")
    yield _pages(settings)
    yield from dicom_tls(settings)
    for pipeline in appliance.pipelines:
        yield found(
            f"pipeline {pipeline.name}",
            lambda of=pipeline: look(settings, of),  # type: ignore[misc] # bound in this turn
            to_do=f"correct {pipeline.name}.toml, or install the model again",
        )
    yield permissions(settings)


def certificate(what: str, *, ends: datetime, now: datetime) -> Finding:
    """Return whether a certificate lasts for a while."""
    seen = f"until {ends:%Y-%m-%d}, {(ends - now).days} days"
    if ends - now < TOO_SOON:
        return Finding(
            what=what,
            seen=seen,
            verdict=Verdict.NO,
            to_do="renew it before the site goes live",
            exit_code=ConfigError.exit_code,
        )
    if ends - now < SOON:
        return Finding(what=what, seen=seen, verdict=Verdict.LOOK, to_do="renew it")
    return Finding(what=what, seen=seen)


def permissions(settings: Settings) -> Finding:
    """Return whether others on the machine may read a secret, or look into the state folder."""
    open_to_others = [path for path in secret_files(settings) if _others_may(path)]
    if open_to_others:
        return Finding(
            what="permissions",
            seen=f"others may read {', '.join(map(str, open_to_others))}",
            verdict=Verdict.NO,
            to_do=f"chmod o= {' '.join(map(str, open_to_others))}",
            exit_code=ConfigError.exit_code,
        )
    state = settings.appliance.state_dir
    if _others_may(state, stat.S_IROTH | stat.S_IWOTH):
        return Finding(
            what="permissions",
            seen=f"others may look into {state}",
            verdict=Verdict.LOOK,
            to_do=f"chmod o-rw {state}",
        )
    return Finding(what="permissions", seen="secrets and state are the service's own")


def _others_may(path: Path, rights: int = stat.S_IRWXO) -> bool:
    try:
        return bool(path.stat().st_mode & rights)
    except OSError:
        return False  # not there, or not ours to see: others see no more


def _notices(settings: Settings) -> str:
    return f"{len(channels_of(settings))} channels"


def _pages(settings: Settings) -> Finding:
    what, now = "TLS of the pages", datetime.now(UTC)
    try:
        ends = certificate_ends(settings.web, now)
    except ConfigError as error:
        return failed(what, error, to_do="give another certificate")
    if ends is None:
        who = "a proxy brings it" if settings.web.behind_proxy else "this machine only"
        return Finding(what=what, seen=f"none; {who}")
    return certificate(what, ends=ends, now=now)


def dicom_tls(settings: Settings) -> Iterator[Finding]:
    """Yield how long the certificates of DICOM TLS last, in and out."""
    if tls := orthanc_tls(settings.orthanc):
        yield _lasting("TLS of the DICOM port", tls)
        yield _worker_at_orthanc(settings.orthanc)
    for name, destination in settings.destinations.items():
        if isinstance(destination, DimseDestination) and (tls := dimse_tls(destination)):
            yield _lasting(f"TLS to {name}", tls)


def _worker_at_orthanc(orthanc: Orthanc) -> Finding:
    what = "worker at the DICOM port"
    if orthanc.tls is None or orthanc.tls.lets_worker_in:
        return Finding(what=what, seen="is let in")
    return Finding(
        what=what,
        seen="shows no certificate, and Orthanc asks every sender for one: it can send no phantom",
        verdict=Verdict.LOOK,
        to_do="name orthanc.tls.worker_certificate and worker_key",
    )


def _lasting(what: str, tls: Tls) -> Finding:
    try:
        client_context(tls)
        ours = certificates(tls.certificate)[:1] if tls.certificate else ()
        # Of several authorities the last one counts: the others may be left over.
        last = max(one.not_valid_after_utc for one in trusted(tls))
    except ConfigError as error:
        return failed(what, error, to_do="give another file")
    ends = min([last, *(one.not_valid_after_utc for one in ours)])
    return certificate(what, ends=ends, now=datetime.now(UTC))


def _package(settings: Settings, pipeline: Pipeline) -> str:
    """Return which model is named, after a look at its package and its signature."""
    model = load_package(settings.appliance.models / pipeline.model).identity
    if not settings.appliance.unsigned_models:
        verify_signature(settings.appliance.models / pipeline.model, settings.appliance.model_keys)
    return f"{model.model_id} {model.version}"


def _model(settings: Settings, pipeline: Pipeline) -> str:
    """Load the model as a worker would, and say who vouches for it."""
    runtime = make_ready(settings, pipeline, Reports()).runtime()
    model = f"{runtime.model.model_id} {runtime.model.version}"
    if settings.appliance.unsigned_models:
        return f"{model}, signatures are not asked for"
    folder = settings.appliance.models / pipeline.model
    return f"{model}, signed by {verify_signature(folder, settings.appliance.model_keys).signer}"
