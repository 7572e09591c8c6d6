"""Acceptance of a model on this machine, after any of both has changed: a protocol that runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING

from clic_edge.constancy.comparing import changed, compare
from clic_edge.constancy.running import explore, package_of, record_for, seal
from clic_edge.deid.keys import load_key
from clic_edge.domain.constancy import KeptReport, ReportFiles
from clic_edge.domain.standing import ModelState
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.footprint import measure_package, read_note, write_note
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.memory import host_total
from clic_edge.inference.signing import verify_signature
from clic_edge.inference.testset import replay
from clic_edge.pipeline.acceptance import (
    at_least,
    at_most,
    of_shadow,
    of_test_set,
    of_validation,
    shadowed,
)
from clic_edge.pipeline.acceptance_report import AcceptanceReport, Part, signed
from clic_edge.pipeline.granting import granted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clic_edge.config.protocol import Protocol
    from clic_edge.constancy.chain import Chain
    from clic_edge.constancy.running import Ran
    from clic_edge.domain.constancy import Record
    from clic_edge.domain.standing import Placement
    from clic_edge.inference.site import Site
    from clic_edge.pipeline.acceptance_report import Criterion

_MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What an acceptance found, whether it was met or not."""

    report: AcceptanceReport
    """Signed."""
    ran: Ran
    before: Record | None
    """The record that the model had, if it had one."""
    since: tuple[str, ...]
    """What has changed since then."""


def accept(
    chain: Chain, protocol: Protocol, place: Placement, *, person: str, validation: str | None
) -> Accepted:
    """Run everything that a model must show here, and return the signed report.

    Where all is met, what the constancy set showed is sealed as the new commissioning record.
    A model that is not active must have been validated, and have run in the shadow, as
    `clic-edge models accept` asks for; one that is, need not again.

    Raises
    ------
    ConfigError
        As `of_validation`, `explore` and `load_key`.
    Transient
        As `explore`.
    Defect
        As `load_runtime`.

    """
    key = load_key(chain.settings.appliance.deid_key)
    history = tuple(_of_history(chain, place, validation))
    installed = tuple(_of_installation(chain, place))
    known = record_for(chain, protocol, place.digest)
    before = known if known and known.model_digest == place.digest else None
    ran = explore(chain, protocol, place, by=person)
    report = AcceptanceReport(
        pipeline=place.pipeline,
        model_id=place.model_id,
        version=place.version,
        digest=place.digest,
        at=datetime.now(UTC),
        person=person,
        criteria=(
            *installed,
            *_of_cases(protocol, ran),
            *_of_record(protocol, ran, before),
            *history,
        ),
        protocol=f"{protocol.name} {protocol.version}",
        environment=tuple(Part(name=one.name, version=one.value) for one in ran.run.environment),
    )
    if report.is_met:
        record = seal(chain, protocol, ran, person=person)
        report = report.model_copy(update={"record": record.digest})
    return Accepted(
        report=signed(report, key),
        ran=ran,
        before=before,
        since=changed(before, ran.run.environment) if before else (),
    )


def keep(chain: Chain, accepted: Accepted, files: ReportFiles) -> KeptReport:
    """Keep a report with its files in the ledger, and return how the list shows it."""
    report = accepted.report
    kept = KeptReport(
        report_id=accepted.ran.run.run_id,
        at=report.at,
        pipeline=report.pipeline,
        model_id=report.model_id,
        version=report.version,
        digest=report.digest,
        person=report.person,
        accepted=report.is_met,
    )
    chain.ledger.constancy.keep_report(kept, files)
    return kept


def _of_installation(chain: Chain, place: Placement) -> Iterator[Criterion]:
    """Yield whether the package is whole and vouched for, and what it takes of the machine."""
    folder, settings = package_of(chain, place), chain.settings
    trusted = not settings.appliance.unsigned_models
    if trusted:
        yield at_least("signatures of a key that the site trusts", _signatures(chain, folder), 1)
    site = granted(settings.runtimes, trusted=trusted)
    runtime = load_runtime(folder, site)
    yield at_least(
        "package with the digest that is asked for", runtime.model.digest == place.digest, 1
    )
    begun = perf_counter()
    replayed = tuple(replay(folder, runtime))
    seconds = (perf_counter() - begun) / max(1, len(replayed))
    yield from of_test_set(replayed)
    if settings.worker.case_seconds:
        yield at_most("seconds for a sealed test case", seconds, settings.worker.case_seconds)
    if needed := _bytes_needed(folder, place.digest, site):
        yield at_most("MB of memory for the smallest image", needed / _MB, host_total() / _MB)


def _signatures(chain: Chain, folder: Path) -> int:
    try:
        verify_signature(folder, chain.settings.appliance.model_keys)
    except (ConfigError, Defect):
        return 0
    return 1


def _bytes_needed(folder: Path, digest: str, site: Site) -> float:
    """Return what was measured of the package, or is measured now; 0 where that can't be."""
    found = read_note(folder, digest)
    if not found and (samples := measure_package(folder, site)):
        write_note(folder, digest, samples)
        found = read_note(folder, digest)
    return max((one.bytes_at_least for one in found), default=0.0)


def _of_cases(protocol: Protocol, ran: Ran) -> Iterator[Criterion]:
    """Yield what is asked of each case whatever the model: that it ends, is refused, or is like."""
    for case in protocol.cases:
        given = [one for one in ran.results if one.case == case.name]
        passed = sum(one.passed for one in given)
        yield at_least(f"case {case.name}: {case.expect}", passed, max(1, len(given)))


def _of_record(protocol: Protocol, ran: Ran, before: Record | None) -> Iterator[Criterion]:
    """Yield how much is within the tolerance of what the same model showed before the change."""
    if before is None or before.protocol_digest != protocol.digest:
        return
    compared = compare(protocol, ran.outcomes, before, exactly=False)
    for case in protocol.cases:
        if case.expect == "recorded":
            given = [one for one in compared if one.case == case.name]
            passed = sum(one.passed for one in given)
            name = f"case {case.name}: as on {before.at:%Y-%m-%d}, within the tolerance"
            yield at_least(name, passed, max(1, len(given)))


def _of_history(chain: Chain, place: Placement, validation: str | None) -> Iterator[Criterion]:
    limits = next(one.acceptance for one in chain.pipelines if one.name == place.pipeline)
    event = chain.ledger.standing.standing(place.pipeline).get(place.digest)
    is_active = event is not None and event.now is ModelState.ACTIVE
    if validation is not None:
        yield from of_validation(validation, limits, digest=place.digest)
    elif not is_active:
        yield at_least("validation reports of this model", 0, 1)
    if not is_active:
        yield from of_shadow(shadowed(chain.ledger, place), limits)
