"""Whatever is logged, the monitor freezes it, charts it, and says the same in one piece or many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import Observation, Reference, Stratum
from clic_edge.drift.comparison import compare, compare_whole, subgroups
from clic_edge.drift.monitor import evaluate
from clic_edge.drift.plan import Policy, plan_charts
from clic_edge.drift.reference import Acceptance, freeze

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy()
MANY = 12
NAMES = ("input.noise", "output.a.volume_mm3", "input.kvp", "rate.refused", "embedding.0", "odd")
feature = st.builds(
    Feature,
    name=st.sampled_from(NAMES),
    number=st.none()
    | st.sampled_from([0.0, 1.0, 2.0])
    | st.floats(width=64)
    | st.floats(0, 1, width=32),
    text=st.sampled_from(["", "a", "b"]),
)
features = st.lists(feature, max_size=6, unique_by=lambda one: one.name).map(tuple)


def seen(kept: list[tuple[Feature, ...]], minutes: int, after: int = 0) -> list[Observation]:
    return [
        Observation(
            at=BEGIN + timedelta(minutes=minutes * (after + index)),
            stratum=Stratum(manufacturer="A"),
            features=one,
        )
        for index, one in enumerate(kept)
    ]


@pytest.mark.slow
@settings(deadline=None, max_examples=MANY)
@given(
    st.lists(features, min_size=30, max_size=45),
    st.lists(features, max_size=25),
    st.sampled_from([0, 1, 600]),
    st.integers(0, 25),
)
def test_anything_that_can_be_logged_can_be_watched(
    past: list[tuple[Feature, ...]], now: list[tuple[Feature, ...]], minutes: int, cut: int
) -> None:
    who = Acceptance(
        name="r",
        model_id="m",
        model_version="1",
        model_digest="d",
        frozen_at=BEGIN,
        frozen_by="Ida",
    )
    made = freeze(seen(past, minutes), Stratum(manufacturer="A"), who)
    assert Reference.from_content(made.content).digest == made.digest
    plan = plan_charts(made, POLICY)
    fresh = seen(now, minutes, len(past))
    whole = evaluate(made, fresh, policy=POLICY, plan=plan)
    head = evaluate(made, fresh[:cut], policy=POLICY, plan=plan)
    tail = evaluate(made, fresh[cut:], policy=POLICY, plan=plan, memory=head.memory)
    ids = {one.alarm_id for one in whole.opened}
    assert {one.alarm_id for one in (*head.opened, *tail.opened)} == ids
    assert sum(one.n for one in whole.points) == sum(one.n for one in (*head.points, *tail.points))
    charted = {one.feature for one in plan.charts} - {"rate.refused", "odd.studies"}
    assert charted <= {one.feature for one in compare(made, fresh)}
    compare_whole(made, fresh)
    subgroups(fresh, "input.noise", "input.kvp", smallest=2)
