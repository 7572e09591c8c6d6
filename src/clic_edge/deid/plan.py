"""The second look at an output: what the policy says of each attribute holds in the bytes written.

It is told apart from the engine that made them: source and output are read again and compared.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from clic_edge.deid.clean import is_registered, safe_rule, uid_values
from clic_edge.deid.codes import CODE_TAGS
from clic_edge.deid.compare import Change, Outcome, compare
from clic_edge.deid.content_items import VALUE_TYPE, VALUES, ContentRules
from clic_edge.deid.options import CONTENT, SAFE_PRIVATE
from clic_edge.deid.policy import Action, Policy, Rule, compiled
from clic_edge.deid.private import safe_private
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.deid.part10 import Part10
    from clic_edge.deid.profile import Profile

SOP_CLASS_UID = 0x00080016
_SPECIAL = CODE_TAGS | {0x00080016, 0x00080018}
_KEEPING = frozenset([Action.KEEP, Action.RETAIN])
_CONTENT_VALUES = frozenset(tag for tag, _ in VALUES.values())


def hold_to_plan(
    source: Part10, output: Part10, profile: Profile, *, subject_id: str
) -> Mapping[Outcome, int]:
    """Return how many attributes had which outcome, when each is what its rule allows.

    Raises
    ------
    Defect
        ``plan-not-met``: one is not; the sentence names its tag and its rule.

    """
    policy = compiled(profile, output.sop_class_uid)
    counts: Counter[Outcome] = Counter()
    for change in compare(source.elements, output.elements, skips=_Unchanged(policy, counts)):
        counts[change.outcome] += 1
        if change.outcome is Outcome.REMOVED or change.tag in _SPECIAL:
            continue
        rule = rule_of(change, policy)
        if not _allowed(change, rule.action, subject_id.encode("ascii")):
            raise Defect(
                "plan-not-met",
                f"({change.tag >> 16:04X},{change.tag & 0xFFFF:04X}) was written against its rule"
                f" ({rule.reason}).",
            )
    return counts


class _Unchanged:
    """Counts what was kept as its rule says, so that no change is made up for it."""

    def __init__(self, policy: Policy, counts: Counter[Outcome]) -> None:
        self._policy = policy
        self._counts = counts

    def __call__(self, tag: int, *, nested: bool) -> bool:
        """Whether the rule lets an attribute stay as it is."""
        if self._policy.rule(tag, nested=nested).action not in _KEEPING:
            return False
        self._counts[Outcome.KEPT] += 1
        return True


def rule_of(change: Change, policy: Policy) -> Rule:
    """Return the rule of an attribute, also where only its neighbours tell it."""
    if change.tag & 0x10000 and SAFE_PRIVATE in policy.options:
        vrs = safe_private(change.siblings).get(change.tag)
        return policy.rule(change.tag, nested=change.nested) if vrs is None else safe_rule(vrs)
    if change.nested and CONTENT in policy.options and change.tag in _CONTENT_VALUES:
        kinds = [element for element in change.siblings if element.tag == VALUE_TYPE]
        if kinds:
            rules = ContentRules(policy.options, little=True).rules(change.siblings)
            return rules[change.tag]
    return policy.rule(change.tag, nested=change.nested)


def _allowed(change: Change, action: Action, subject_id: bytes) -> bool:
    if action is Action.REMOVE:
        return change.outcome is Outcome.ADDED
    if action not in {Action.EMPTY, Action.SUBJECT, Action.UID}:
        return True
    before, after = bytes(change.before or b""), bytes(change.after or b"")
    if action is Action.EMPTY:
        return not after
    if action is Action.SUBJECT:
        return after.rstrip(b" ") == subject_id
    known = set(uid_values(before))
    new = (uid for uid in uid_values(after) if not is_registered(uid.decode("latin-1")))
    return not any(uid and uid in known for uid in new)
