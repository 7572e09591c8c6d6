"""A protocol is commissioned once, and run ever after: what it found is kept, and acted on."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.constancy.chain import announcement, sweep
from clic_edge.constancy.comparing import changed, compare, judge, same_model
from clic_edge.constancy.environment import environment
from clic_edge.constancy.phantoms import stacks
from clic_edge.constancy.studies import make_study
from clic_edge.domain.constancy import Record, Run, Verdict, constancy_pipeline
from clic_edge.domain.monitoring import EVERY, Alarm, Channel, Direction, Severity
from clic_edge.domain.standing import ModelState
from clic_edge.drift.monitor import alarm_id
from clic_edge.errors import ClicEdgeError, ConfigError
from clic_edge.inference.package import load_package
from clic_edge.pipeline.monitoring import demanded, obey, policy_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from clic_edge.config.protocol import Protocol
    from clic_edge.constancy.chain import Chain
    from clic_edge.domain.constancy import Compared, Outcome
    from clic_edge.domain.standing import Placement

_TOLD = 3
"""Failures that the sentence of a run names."""
_LOOKED_AT = (ModelState.ACTIVE, ModelState.SUSPENDED, ModelState.SHADOW)
"""Which model a protocol is about where nobody names one, the first first: repairs are seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A run that has ended, and all that it compared."""

    run: Run
    results: tuple[Compared, ...]
    outcomes: Mapping[str, Outcome]

    @property
    def failed(self) -> tuple[Compared, ...]:
        """What is not as expected."""
        return tuple(one for one in self.results if not one.passed)


def model_of(chain: Chain, pipeline: str) -> Placement:
    """Return the model that a pipeline's protocol is about: the active one, if there is one.

    Raises ConfigError ``no-model-to-check``.
    """
    events = chain.ledger.standing.standing(pipeline).values()
    for state in _LOOKED_AT:
        found = [one for one in events if one.now is state]
        if found:
            return max(found, key=lambda one: one.seq).placement
    raise ConfigError(
        "no-model-to-check", f"No model of {pipeline} is active, suspended or in the shadow."
    )


def package_of(chain: Chain, place: Placement) -> Path:
    """Return the folder of the package that a model is.

    Raises
    ------
    ConfigError
        ``no-package-to-check``: the pipeline's file names none with its digest.

    """
    for pipeline in chain.pipelines:
        if pipeline.name == place.pipeline:
            for name in (pipeline.model, *pipeline.challengers):
                folder = chain.settings.appliance.models / name
                with suppress(ClicEdgeError):  # one that is broken is not the one
                    if load_package(folder).identity.digest == place.digest:
                        return folder
    raise ConfigError(
        "no-package-to-check",
        f"The file of {place.pipeline} names no package with the digest {place.digest[:12]}.",
    )


def record_for(chain: Chain, protocol: Protocol, model_digest: str) -> Record | None:
    """Return what a model is held against: its own newest record, else the newest of any model."""
    records = chain.ledger.constancy.records(protocol=protocol.name)
    given = [one for one in records if one.version == protocol.version]
    own = [one for one in given if one.model_digest == model_digest]
    known = own or given
    return known[-1] if known else None


def explore(chain: Chain, protocol: Protocol, place: Placement, *, by: str) -> Ran:
    """Run a protocol without a record: what any model must do with it is all that is judged.

    Raises
    ------
    Transient
        ``constancy-running``; as `Chain.outcome`.
    ConfigError
        As `stacks`, `make_study` and `package_of`.

    """
    return _run(chain, protocol, place, by=by, record=None)


def commission(
    chain: Chain, protocol: Protocol, place: Placement, *, person: str
) -> tuple[Record | None, Ran]:
    """Run a protocol and seal what it found as the record; None where it is not as it must be.

    Raises as `explore`.
    """
    ran = explore(chain, protocol, place, by=person)
    passed = ran.run.verdict is Verdict.PASSED
    return (seal(chain, protocol, ran, person=person) if passed else None), ran


def seal(chain: Chain, protocol: Protocol, ran: Ran, *, person: str) -> Record:
    """Seal what a run found as what later ones are held against, and return it."""
    outcomes = tuple(ran.outcomes.values())
    record = Record(
        protocol=protocol.name,
        version=protocol.version,
        protocol_digest=protocol.digest,
        pipeline=protocol.pipeline,
        model_id=ran.run.model_id,
        model_version=ran.run.model_version,
        model_digest=ran.run.model_digest,
        at=datetime.now(UTC),
        person=person,
        device=", ".join(sorted({one.device for one in outcomes if one.device})),
        environment=ran.run.environment,
        outcomes=outcomes,
    )
    chain.ledger.constancy.seal(record)
    return record


def check(chain: Chain, protocol: Protocol, place: Placement, *, by: str) -> Ran:
    """Run a protocol against its record; a failure opens an alarm, and the site's policy acts.

    Raises
    ------
    ConfigError
        ``not-commissioned``; ``protocol-changed``: it is not what was commissioned.
    Transient
        As `commission`.

    """
    record = record_for(chain, protocol, place.digest)
    if record is None:
        raise ConfigError(
            "not-commissioned",
            f"{protocol.name} {protocol.version} has no record; `clic-edge constancy commission "
            f"{protocol.name}` makes it.",
        )
    if record.protocol_digest != protocol.digest:
        raise ConfigError(
            "protocol-changed",
            f"{protocol.name} {protocol.version} was changed since it was commissioned; give it "
            "another version, and commission that.",
        )
    ran = _run(chain, protocol, place, by=by, record=record)
    if ran.run.verdict is Verdict.FAILED:
        _answer(chain, ran.run)
    telemetry.constancy_ended(pipeline=protocol.pipeline, state=ran.run.verdict)
    return ran


def _run(
    chain: Chain,
    protocol: Protocol,
    place: Placement,
    *,
    by: str,
    record: Record | None,
) -> Ran:
    made = stacks(protocol, package_of(chain, place))
    run = Run(
        run_id=secrets.token_hex(8),
        protocol=protocol.name,
        version=protocol.version,
        pipeline=protocol.pipeline,
        model_id=place.model_id,
        model_version=place.version,
        model_digest=place.digest,
        record_id=record.record_id if record else None,
        started_at=datetime.now(UTC),
        started_by=by,
        environment=environment(chain.settings),
    )
    sweep(chain, now=run.started_at)
    chain.ledger.constancy.begin(run)
    pipeline = constancy_pipeline(protocol.pipeline, place.digest)
    outcomes: dict[str, Outcome] = {}
    reason = "It was interrupted."
    try:
        for case in protocol.cases:
            study = make_study(
                made[case.name], protocol=protocol.name, case=case.name, run_id=run.run_id
            )
            told = announcement(study, run_id=run.run_id, case=case.name, pipeline=pipeline)
            outcomes[case.name] = chain.outcome(study, told)
        results = judge(protocol, outcomes)
        if record:
            results = (same_model(record, place.digest), *compare(protocol, outcomes, record))
        return _ended(chain, run, results, outcomes=outcomes)
    except ClicEdgeError as error:
        reason = error.sentence
        raise
    finally:  # changes nothing of a run that has ended
        now = datetime.now(UTC)
        chain.ledger.constancy.finish(run.run_id, Verdict.INCOMPLETE, at=now, reason=reason)


def _ended(
    chain: Chain, run: Run, results: tuple[Compared, ...], *, outcomes: Mapping[str, Outcome]
) -> Ran:
    failed = [one for one in results if not one.passed]
    ended = replace(
        run,
        ended_at=datetime.now(UTC),
        verdict=Verdict.FAILED if failed else Verdict.PASSED,
        reason=_sentence(failed),
    )
    if failed and ended.record_id:
        _alarm(chain, ended)  # first: a run that has failed has its alarm, wherever it is killed
    chain.ledger.constancy.finish(
        run.run_id,
        ended.verdict,
        at=datetime.now(UTC),
        results=results,
        reason=ended.reason,
    )
    return Ran(run=ended, results=results, outcomes=outcomes)


def _sentence(failed: Sequence[Compared]) -> str:
    told = [
        f"{one.case} {one.quantity}".strip()
        + (
            f" is {one.value:.6g} {one.unit}, not {one.expected:.6g}"
            if one.value is not None and one.expected is not None
            else f" is {one.said}"
        )
        for one in failed[:_TOLD]
    ]
    return "; ".join(told) + _and_more(failed)


def _and_more(told: Sequence[object]) -> str:
    return f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""


def _alarm(chain: Chain, run: Run) -> None:
    """Open an alarm, if none of this protocol and model is open still."""
    store = chain.ledger.monitoring
    chart = f"constancy {run.protocol}"
    mine = (run.model_digest, chart)
    if not any((one.model_digest, one.chart) == mine for one in store.alarms(is_open=True)):
        store.open([_opened(run, chart)])


def _answer(chain: Chain, run: Run) -> None:
    """Do what the site says of the model's alarms."""
    policy = policy_of(chain.settings)
    for demand in demanded(chain.ledger, policy):
        if demand.model_digest == run.model_digest:
            obey(chain.ledger, demand)


def _opened(run: Run, chart: str) -> Alarm:
    return Alarm(
        alarm_id=alarm_id(run.model_digest, chart, run.run_id),
        model_id=run.model_id,
        model_digest=run.model_digest,
        reference_id=None,
        stratum=EVERY,
        chart=chart,
        direction=Direction.UP,
        channel=Channel.CONSTANCY,
        severity=Severity.ACTION,
        opened_at=run.started_at,
        confirmed_at=run.ended_at,
        sentence=f"Constancy failed: {run.reason}.",
        is_event=True,
    )


def warn_of_change(chain: Chain, protocol: Protocol) -> None:
    """Open a warning, once, where the machine is another than when the protocol was commissioned.

    Raises ConfigError as `model_of`.
    """
    place = model_of(chain, protocol.pipeline)
    record = record_for(chain, protocol, place.digest)
    other = changed(record, environment(chain.settings)) if record else ()
    if record and other:
        chart = f"environment {protocol.name}"
        warning = Alarm(
            alarm_id=alarm_id(place.digest, chart, record.record_id, *other),
            model_id=place.model_id,
            model_digest=place.digest,
            reference_id=None,
            stratum=EVERY,
            chart=chart,
            direction=Direction.UP,
            channel=Channel.CONSTANCY,
            severity=Severity.WARNING,
            opened_at=datetime.now(UTC),
            confirmed_at=None,
            sentence=(
                f"The machine is another than when {protocol.name} was commissioned: "
                f"{'; '.join(other[:_TOLD])}{_and_more(other)}. Accept the model on it anew."
            ),
            is_event=True,
        )
        chain.ledger.monitoring.open([warning])


def since_commissioning(chain: Chain, protocol: Protocol, place: Placement) -> tuple[str, ...]:
    """Return what is another than when the model was accepted; nothing where all is as it was."""
    record = record_for(chain, protocol, place.digest)
    if record is None:
        return ("it was never commissioned",)
    model = same_model(record, place.digest)
    other = () if model.passed else (f"model: {model.said}",)
    return (*other, *changed(record, environment(chain.settings)))
