"""The scorer scores what it should, and the research profile scores high."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from midi_b import Action, Asked, Score, answer_key, score

from clic_edge.deid import DeidKey, deidentify, load_profile
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import ClicEdgeError

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.deid import Profile

KEY = DeidKey(b"one key of thirty-two bytes, yes")
ASKED = answer_key()
PIXELS = {Action.PIXELS_HIDDEN, Action.PIXELS_RETAINED}


def _clean(asked: Asked, profile: Profile) -> bytes | None:
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id=asked.patient_id,
        issuer_of_patient_id="",
        instances=(Instance(content=asked.content),),
    )
    try:
        clean = deidentify(series, profile, KEY.pseudonym(asked.patient_id, ""))
    except ClicEdgeError:
        return None
    return clean.instances[0].content


def _share(scored: Score, action: Action) -> float:
    right, asked_for = scored[action]
    return right / asked_for


def test_every_action_is_asked_for() -> None:
    scored = score(ASKED, [asked.content for asked in ASKED])
    assert all(asked_for >= 6 for _, asked_for in scored.values())


def test_leaving_everything_as_it_is_keeps_all_and_changes_nothing() -> None:
    scored = score(ASKED, [asked.content for asked in ASKED])
    kept = {Action.PIXELS_RETAINED, Action.TAG_RETAINED, Action.TEXT_NOTNULL, Action.TEXT_RETAINED}
    for action in kept | {Action.UID_CONSISTENT}:
        assert _share(scored, action) == 1
    changed = {Action.UID_CHANGED, Action.TEXT_REMOVED, Action.DATE_SHIFTED, Action.PIXELS_HIDDEN}
    for action in changed | {Action.PATID_CONSISTENT}:
        assert _share(scored, action) == 0


def test_an_instance_that_did_not_come_out_has_every_answer_wrong() -> None:
    assert all(right == 0 for right, _ in score(ASKED, [None] * len(ASKED)).values())


def test_a_patient_under_two_names_is_not_consistent() -> None:
    profile = load_profile_of_research()
    outputs = [_clean(asked, profile) for asked in ASKED]
    first = ASKED[0].patient_id
    other = Asked(patient_id="another", content=ASKED[0].content, questions=())
    outputs[0] = _clean(other, profile)
    right, asked_for = score(ASKED, outputs)[Action.PATID_CONSISTENT]
    mine = sum(asked.patient_id == first for asked in ASKED)
    held = sum(out is None for out in outputs)
    assert right <= asked_for - mine - held + mine // 4


def load_profile_of_research() -> Profile:
    """Return the shipped research profile."""
    from source import ROOT  # noqa: PLC0415 - used by this helper alone

    return load_profile(ROOT / "configs" / "deid" / "research.toml")


@pytest.mark.slow
@pytest.mark.parametrize("action", [action for action in Action if action not in PIXELS])
def test_the_research_profile_answers_right_where_an_instance_leaves(
    action: Action, root: Path
) -> None:
    profile = load_profile(root / "configs" / "deid" / "research.toml")
    outputs = [_clean(asked, profile) for asked in ASKED]
    left = [(asked, out) for asked, out in zip(ASKED, outputs, strict=True) if out]
    assert len(left) >= len(ASKED) * 3 // 4
    scored = score([asked for asked, _ in left], [out for _, out in left])
    assert _share(scored, action) == 1
