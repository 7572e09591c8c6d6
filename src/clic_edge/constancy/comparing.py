"""What a run found, held against what is expected of it: to the bit, or within a tolerance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.config.protocol import Tolerance
from clic_edge.domain.constancy import Compared
from clic_edge.results.readback import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clic_edge.config.protocol import Case, Protocol
    from clic_edge.domain.constancy import Component, Measured, Outcome, Outline, Record

EXACT = Tolerance(dice=1.0, relative=0.0, probability=0.0)
"""On a CPU the same model says the same."""
_WITHOUT_UNIT = "1"
_ENDS = ("delivered", "refused")


def compare(
    protocol: Protocol,
    outcomes: Mapping[str, Outcome],
    record: Record,
    *,
    exactly: bool = True,
) -> tuple[Compared, ...]:
    """Return every quantity of every case, in the order of the protocol.

    A case that is not there fails. On a CPU nothing may differ, unless `exactly` is false: then
    the protocol's tolerance holds there too, as it must after a change that is to be accepted.
    """
    if not exactly:
        outcomes = {name: replace(one, device="changed") for name, one in outcomes.items()}
    expected = {one.case: one for one in record.outcomes}
    return tuple(
        one
        for case in protocol.cases
        for one in _of_case(case, outcomes, expected, protocol=protocol)
    )


def judge(protocol: Protocol, outcomes: Mapping[str, Outcome]) -> tuple[Compared, ...]:
    """Return what a commissioning must show: cases end, and perturbed ones as the protocol says."""
    ends = tuple(
        _state(found, found.state if found.state in _ENDS else "delivered", "")
        for found in outcomes.values()
    )
    return ends + tuple(
        one
        for case in protocol.cases
        if case.expect != "recorded"
        for one in _of_case(case, outcomes, outcomes, protocol=protocol)
    )


def same_model(record: Record, model_digest: str) -> Compared:
    """Return whether the model is the one that was commissioned."""
    same = record.model_digest == model_digest
    return Compared(
        case="",
        quantity="model",
        said=model_digest[:12] if same else f"{model_digest[:12]}, not {record.model_digest[:12]}",
        passed=same,
    )


def changed(record: Record, environment: tuple[Component, ...]) -> tuple[str, ...]:
    """Return in words which components are others than when the model was commissioned."""
    before = {one.name: one.value for one in record.environment}
    now = {one.name: one.value for one in environment}
    return tuple(
        f"{name}: {before.get(name, 'none')}, now {now.get(name, 'none')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )


def _of_case(
    case: Case,
    outcomes: Mapping[str, Outcome],
    expected: Mapping[str, Outcome],
    *,
    protocol: Protocol,
) -> Iterator[Compared]:
    found = outcomes.get(case.name)
    if found is None:
        yield Compared(case=case.name, quantity="state", said="it was not run", passed=False)
        return
    yield Compared(case=case.name, quantity="seconds", unit="s", value=found.seconds, passed=True)
    if case.expect == "refused":
        yield _state(found, "refused", "")
        return
    if case.expect == "like":
        before, tolerance = outcomes.get(case.like or ""), case.within
    else:
        before = expected.get(case.name)
        tolerance = EXACT if before and _on_cpu(found, before) else protocol.tolerance
    if before is None:
        yield Compared(
            case=case.name, quantity="state", said="it was not commissioned", passed=False
        )
        return
    yield _state(found, before.state, before.code)
    yield Compared(
        case=case.name,
        quantity="objects",
        said=", ".join(found.objects),
        passed=found.objects == before.objects,
    )
    yield from _numbers(case.name, found.measured, before.measured, tolerance=tolerance)
    yield from _shapes(case.name, found.outlines, before.outlines, least=tolerance.dice)


def _on_cpu(*outcomes: Outcome) -> bool:
    return all(one.device in {"cpu", ""} for one in outcomes)


def _state(found: Outcome, state: str, code: str) -> Compared:
    said = f"{found.state}, {found.code}" if found.code else found.state
    same = found.state == state and (not code or found.code == code)
    return Compared(case=found.case, quantity="state", said=said, passed=same)


def _numbers(
    case: str,
    found: tuple[Measured, ...],
    before: tuple[Measured, ...],
    *,
    tolerance: Tolerance,
) -> Iterator[Compared]:
    now, then = ({one.name: one for one in given} for given in (found, before))
    for name in sorted(now.keys() | then.keys()):
        if name not in now or name not in then:
            said = "it is missing" if name not in now else "it was not there before"
            yield Compared(case=case, quantity=name, said=said, passed=False)
            continue
        value, expected = now[name].value, then[name].value
        share = (
            tolerance.probability
            if now[name].unit == _WITHOUT_UNIT
            else tolerance.relative * abs(expected)
        )
        yield Compared(
            case=case,
            quantity=name,
            unit=now[name].unit,
            value=value,
            expected=expected,
            tolerance=share,
            passed=abs(value - expected) <= share,
        )


def _shapes(
    case: str, found: tuple[Outline, ...], before: tuple[Outline, ...], *, least: float
) -> Iterator[Compared]:
    then = {one.name: one for one in before}
    for one in found:
        if one.name not in then or one.size != then[one.name].size:
            continue  # numbers tell of it, or it lies on another grid
        value = dice(one, then[one.name])
        if value is None:
            continue
        yield Compared(
            case=case,
            quantity=f"{one.name} Dice",
            unit=_WITHOUT_UNIT,
            value=value,
            expected=1.0,
            tolerance=1 - least,
            said=one.digest[:12],
            passed=value >= least,
        )


def dice(one: Outline, other: Outline) -> float | None:
    """Return the Dice of two outlines; None where no frame of the one lies where one of the other does."""
    mine, theirs = unpacked(one), unpacked(other)
    if mine and theirs and not mine.keys() & theirs.keys():
        return None
    both = sum(int(np.count_nonzero(mine[at] & theirs[at])) for at in mine.keys() & theirs.keys())
    total = sum(
        int(np.count_nonzero(frame)) for given in (mine, theirs) for frame in given.values()
    )
    return 2 * both / total if total else 1.0
