"""What a stage does when what the stage before left behind is not what it needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from lines import STUDY_ID, Shelf, a_line, a_pipeline, a_study

from clic_edge.domain.prediction import ModelIdentity
from clic_edge.errors import Defect, Transient
from clic_edge.pipeline.delivery import deliver
from clic_edge.pipeline.intake import intake
from clic_edge.pipeline.telling import write

if TYPE_CHECKING:
    from clic_edge.domain.case import Case
    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.volume import Volume
    from clic_edge.pipeline.line import Line


class NewModel:
    """A model that came after the case had its prediction, and has made none itself."""

    @property
    def model(self) -> ModelIdentity:
        """Return what no prediction in the log was made by."""
        return ModelIdentity(
            model_id="m", version="2", title="M", manufacturer="clic-edge", digest="e" * 64
        )

    @property
    def needs(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def predict(self, volume: Volume) -> Prediction:
        """Refuse: the stages under test predict nothing."""
        raise NotImplementedError(volume)


@pytest.fixture
def line() -> Line:
    made = a_line(a_pipeline(), shelf=Shelf(studies={STUDY_ID: a_study()}))
    (ready,) = made.pipelines
    return replace(made, pipelines=(replace(ready, runtime=NewModel),))


@pytest.fixture
def case(line: Line) -> Case:
    (admitted,) = intake(STUDY_ID, line.rules, archive=line.archive, ledger=line.ledger)
    begun = line.ledger.cases.begin(admitted.case_id, 0)
    assert begun is not None
    return begun


def test_a_model_that_changed_since_the_prediction_predicts_again(line: Line, case: Case) -> None:
    with pytest.raises(Transient) as caught:
        write(line, case)
    assert caught.value.code == "prediction-stale"
    assert line.ledger.deliveries.results(case.case_id) == ()


def test_a_case_without_results_is_never_delivered(line: Line, case: Case) -> None:
    with pytest.raises(Defect) as caught:
        deliver(line, case)
    assert caught.value.code == "nothing-to-deliver"
