"""What happens to each attribute of one file, and by which rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_description, dictionary_has_tag

from clic_edge.deid import part10
from clic_edge.deid.compare import Change, Value, compare
from clic_edge.deid.deidentify import deidentify
from clic_edge.deid.file import subject_of
from clic_edge.deid.plan import rule_of
from clic_edge.deid.policy import compiled
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import ClicEdgeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.deid.keys import DeidKey
    from clic_edge.deid.part10 import Part10
    from clic_edge.deid.policy import Policy
    from clic_edge.deid.profile import Profile

SOP_CLASS_UID = 0x00080016
NOT_WRITTEN = "-"
"""The outcome where no file is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One attribute: what became of it, and the rule that names it."""

    path: str
    name: str
    vr: str
    outcome: str
    rule: str
    before: Value | None = field(repr=False)
    after: Value | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All of one file; with an `error`, no file would be written, and outcomes are unknown."""

    attributes: tuple[Explained, ...]
    error: ClicEdgeError | None


def explain(content: bytes, profile: Profile, key: DeidKey) -> Explanation:
    """Return what happens to each attribute of a Part 10 file, in the order of tags.

    Raises Defect ``unreadable-instance`` when there is nothing to explain.
    """
    source = part10.read(content)
    top = {element.tag: element for element in source.elements}
    sop_class = source.sop_class_uid
    if SOP_CLASS_UID in top:
        sop_class = bytes(top[SOP_CLASS_UID].value).strip(b" \0").decode("latin-1")
    policy, error = compiled(profile, sop_class), None
    after: tuple[part10.Element, ...] = ()
    try:
        after = part10.read(_deidentified(content, source, profile, key=key)).elements
    except ClicEdgeError as raised:
        error = raised
    explained = (
        _explained(change, policy, is_written=error is None)
        for change in compare(source.elements, after)
    )
    return Explanation(attributes=tuple(explained), error=error)


def _deidentified(content: bytes, source: Part10, profile: Profile, *, key: DeidKey) -> bytes:
    subject = subject_of(source)
    series = Series(
        study_instance_uid="",
        series_instance_uid="",
        patient_id=subject.patient_id,
        issuer_of_patient_id=subject.issuer_of_patient_id,
        instances=(Instance(content=content),),
    )
    pseudonym = key.pseudonym(subject.patient_id, subject.issuer_of_patient_id)
    return deidentify(series, profile, pseudonym).instances[0].content


def differences(one: bytes, other: bytes) -> Iterator[Explained]:
    """Yield the attributes in which two Part 10 files differ; their rules are empty."""
    for change in compare(part10.read(one).elements, part10.read(other).elements):
        if change.outcome != "kept":
            yield _row(change, outcome=change.outcome, rule="")


def _explained(change: Change, policy: Policy, *, is_written: bool) -> Explained:
    rule = rule_of(change, policy)
    return _row(
        change,
        outcome=change.outcome if is_written else NOT_WRITTEN,
        rule=f"{rule.action.name.lower()}: {rule.reason}",
    )


def _row(change: Change, *, outcome: str, rule: str) -> Explained:
    tag = change.tag
    name = dictionary_description(tag) if dictionary_has_tag(tag) else ""
    return Explained(
        path=change.path,
        name="private" if tag >> 16 & 1 else name,
        vr=change.vr,
        outcome=outcome,
        rule=rule,
        before=change.before,
        after=change.after,
    )
