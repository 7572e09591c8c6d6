"""When a study is taken to have arrived."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from lines import a_pipeline, a_series, a_study, ready

from clic_edge.errors import Transient
from clic_edge.pipeline.completeness import require_complete

if TYPE_CHECKING:
    from clic_edge.pipeline.line import ReadyPipeline


@dataclass(frozen=True)
class Census:
    """A PACS that reports a number of instances, and remembers nothing."""

    count: int | None

    def count_instances(self, study_instance_uid: str) -> int | None:
        """Return the number it was made with, for the one study that there is."""
        assert study_instance_uid == a_study().study_instance_uid
        return self.count


def _pipeline(quiet_seconds: float, census: Census | None = None) -> ReadyPipeline:
    return ready(a_pipeline(quiet_seconds=quiet_seconds), census=census)


@pytest.mark.parametrize("silence", [60, 61, float("inf")])
def test_a_study_that_was_quiet_for_long_enough_is_taken(silence: float) -> None:
    require_complete(a_study(silence=silence), _pipeline(60))


@pytest.mark.parametrize("silence", [0, 12.4, 59])
def test_a_study_that_was_not_is_looked_at_again_when_it_could_be(silence: float) -> None:
    with pytest.raises(Transient) as raised:
        require_complete(a_study(silence=silence), _pipeline(60))
    assert raised.value.code == "study-growing"
    assert raised.value.retry_after == timedelta(seconds=60 - silence)


def test_without_a_quiet_period_nothing_is_waited_for() -> None:
    require_complete(a_study(silence=0), _pipeline(0))


@pytest.mark.parametrize("expected", [None, 0, 4, 5])
def test_a_study_of_which_the_pacs_has_no_more_is_taken(expected: int | None) -> None:
    study = a_study(a_series("one", instances=3), a_series("two", instances=2))
    require_complete(study, _pipeline(0, Census(expected)))


def test_a_study_of_which_the_pacs_has_more_waits_and_says_how_many() -> None:
    study = a_study(a_series("one", instances=3), a_series("two", instances=2))
    with pytest.raises(Transient) as raised:
        require_complete(study, _pipeline(0, Census(6)))
    assert raised.value.code == "study-incomplete"
    assert raised.value.sentence == "5 of the 6 instances that the PACS reports are here."
    assert raised.value.retry_after is not None


def test_the_pacs_is_not_asked_while_images_still_come() -> None:
    with pytest.raises(Transient) as raised:
        require_complete(a_study(silence=1), _pipeline(60, Census(10_000)))
    assert raised.value.code == "study-growing"
