"""Single images on the line: what is logged of them, and where their pixels do not go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from case_rows import a_certificate
from factories import Shots, make_shot, series_of, skin
from image_cases import image_in
from lines import STUDY_ID, Shelf, a_line, a_pipeline, a_series, a_study, ready
from model_packages import write_image_package

from clic_edge.deid.profile import Profile
from clic_edge.domain.case import CaseState
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.image import InputKind
from clic_edge.domain.result import ResultKind
from clic_edge.drift.features import agreement_features, input_features, output_features
from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.inference.loading import load_runtime
from clic_edge.pipeline.intake import intake
from clic_edge.pipeline.seeing import Part, ReadSeries
from clic_edge.pipeline.stages import accept, predict
from clic_edge.pipeline.telling import write
from clic_edge.results.source import image_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from clic_edge.domain.case import Case
    from clic_edge.domain.feature import Feature
    from clic_edge.domain.image import Image
    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.study import Series
    from clic_edge.inference.runtime import Runtime
    from clic_edge.pipeline.line import Line
    from clic_edge.results.writer import Analysis


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return load_runtime(write_image_package(tmp_path_factory.mktemp("redness")))


def photograph(**attributes: object) -> Dataset:
    ds = make_shot(Shots(laterality="R"), skin())
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def numbers(features: tuple[Feature, ...]) -> dict[str, float | None]:
    return {one.name: one.number for one in features}


def test_a_photograph_is_logged_by_side_size_and_brightness() -> None:
    image = image_in([photograph()])
    features = input_features(image)
    assert next(one.text for one in features if one.name == "input.laterality") == "R"
    found = numbers(features)
    assert (found["input.size.slices"], found["input.size.rows"]) == (1, 120)
    assert found["input.size.columns"] == 160
    assert found["input.spacing.row_mm"] == 1  # nobody knows it
    assert found["input.intensity.mean"] == pytest.approx(85)  # a third of 255


@pytest.mark.parametrize(("spacing", "logged"), [({}, False), ({"PixelSpacing": [0.2, 0.1]}, True)])
def test_an_area_is_logged_where_the_pixels_size_is_known_and_never_a_volume(
    runtime: Runtime, spacing: dict[str, object], *, logged: bool
) -> None:
    prediction = runtime.predict(image_in([photograph(**spacing)]))
    found = numbers(output_features(prediction))
    assert "output.red.volume_mm3" not in found
    assert ("output.red.area_mm2" in found) is logged
    if logged:
        assert found["output.red.area_mm2"] == pytest.approx(found["output.red.voxels"] * 0.02)  # type: ignore[operator] # numbers
    assert found["output.malignant.probability"] == prediction.categories[1].probability


def test_a_challengers_answer_is_compared_with_that_of_the_active_model(runtime: Runtime) -> None:
    active = runtime.predict(image_in([photograph()]))
    less = tuple(replace(one, probability=one.probability / 2) for one in active.categories)
    found = numbers(agreement_features(replace(active, categories=less), active))
    expected = -active.categories[1].probability / 2
    assert found["agreement.malignant.probability_difference"] == pytest.approx(expected)
    assert found["agreement.red.dice"] == 1
    assert "agreement.red.volume_difference_mm3" not in found


class _Elsewhere:
    """A model that runs on another machine, and tells what it was shown."""

    device = "triton.example"
    needs = frozenset({"modality"})

    def __init__(self) -> None:
        self.seen: list[Image] = []

    def predict(self, seen: Image) -> Image:
        """Keep what came."""
        self.seen.append(seen)
        return seen


@pytest.mark.parametrize(("treatment", "goes"), [("keep", False), ("refuse", True)])
def test_pixels_that_were_kept_go_to_no_other_machine(
    case: Case, treatment: str, *, goes: bool
) -> None:
    series = series_of([photograph()])
    profile = Profile(name="x", pixels=treatment)  # type: ignore[arg-type] # a word of the table
    instances = tuple(CleanInstance(content=one.content) for one in series.instances)
    read = ReadSeries(
        case=case,
        pipeline=replace(ready(a_pipeline()), profile=profile),
        series=series,
        clean=CleanSeries(subject_id="s", series_uid="2.25.1", instances=instances),
        certificate=a_certificate(case.case_id),
        kind=InputKind.IMAGE,
        seconds=(),
    )
    model = _Elsewhere()
    seen = read.see(Part("series-1", 1))
    if goes:
        seen.predicted(model)  # type: ignore[arg-type] # all that is asked of it
        np.testing.assert_array_equal(model.seen[0].pixels, skin())
        return
    with pytest.raises(ConfigError) as error:
        seen.predicted(model)  # type: ignore[arg-type] # as above
    assert error.value.code == "profile-keeps-pixels"
    assert model.seen == []


@pytest.fixture
def case() -> Case:
    line = a_line(a_pipeline(), shelf=Shelf(studies={STUDY_ID: a_study()}))
    (admitted,) = intake(STUDY_ID, line.rules, archive=line.archive, ledger=line.ledger)
    return admitted


class _Busy:
    """A model that answers once, and is then out of reach."""

    def __init__(self, runtime: Runtime) -> None:
        self.model, self.needs, self.device = runtime.model, runtime.needs, "cpu"
        self.takes = runtime.takes
        self._answers = [runtime.predict]

    def predict(self, seen: Image) -> Prediction:
        """Return what the model finds in the first image."""
        if not self._answers:
            raise Transient("busy", "The model is busy.")
        return self._answers.pop()(seen)


class Photographs(Shelf):
    """An archive of one series of photographs."""

    def __init__(self, *datasets: Dataset) -> None:
        study = a_study(a_series(instances=len(datasets)))
        super().__init__(studies={STUDY_ID: study})
        self.fetched, self._datasets = 0, list(datasets)

    def series(self, series_id: str) -> Series:  # noqa: ARG002 - there is one
        """Return the photographs."""
        self.fetched += 1
        return series_of(self._datasets)

    def keep(self, results: Sequence[ResultObject]) -> None:
        """Keep nothing: none is written."""
        assert not results


def begun_on(shelf: Photographs, model: Runtime | _Busy) -> tuple[Line, Case]:
    line = a_line(a_pipeline(), shelf=shelf)
    profile = Profile(name="x", pixels="keep")
    one = replace(line.pipelines[0], profile=profile, runtime=lambda: model)  # type: ignore[arg-type,return-value] # all that is asked of it
    line = replace(line, pipelines=(one,))
    (admitted,) = intake(STUDY_ID, line.rules, archive=line.archive, ledger=line.ledger)
    begun = line.ledger.cases.begin(admitted.case_id, 0)
    assert begun is not None
    return line, begun


@pytest.mark.slow
def test_a_case_of_which_an_image_still_waits_is_not_told(runtime: Runtime) -> None:
    line, begun = begun_on(Photographs(photograph(), photograph()), _Busy(runtime))
    with pytest.raises(Transient):
        predict(line, begun)
    assert len(line.ledger.predictions.of_case(begun.case_id, runtime.model.digest)) == 1
    with pytest.raises(Transient) as caught:
        write(line, begun)
    assert caught.value.code == "prediction-stale"


def test_a_series_of_many_images_is_not_fetched_again_for_each(runtime: Runtime) -> None:
    shelf = Photographs(*(photograph() for _ in range(6)))
    line, begun = begun_on(shelf, runtime)
    predict(line, begun)
    write(line, begun)
    assert shelf.fetched <= 3


class _OfOtherImages:
    """A writer that finds other images than the model saw."""

    kind = ResultKind.SEG

    def write(self, analysis: Analysis, made: tuple[ResultObject, ...]) -> tuple[ResultObject, ...]:
        """Raise what a check raises."""
        raise Defect("seg-misplaced", f"{len(made)} of {analysis.case_id}")


@pytest.mark.parametrize("writers", [(), (_OfOtherImages(),)], ids=["would fit", "does not fit"])
def test_a_study_that_changed_since_its_prediction_is_looked_at_again_and_none_of_it_is_withheld(
    runtime: Runtime, writers: tuple[_OfOtherImages, ...]
) -> None:
    shelf = Photographs(photograph(), photograph())
    line, begun = begun_on(shelf, runtime)
    predict(line, begun)
    line = replace(line, pipelines=(replace(line.pipelines[0], writers=writers),))
    shelf.studies[STUDY_ID] = a_study(replace(a_series(), instance_ids=("another", "one more")))
    with pytest.raises(Transient) as caught:
        write(line, begun)
    assert caught.value.code == "study-changed"
    assert line.ledger.deliveries.refusals(begun.case_id, runtime.model.digest) == ()
    accept(line, begun)
    assert line.ledger.cases.case(begun.case_id).state is CaseState.SUPERSEDED


def test_an_image_of_number_zero_is_not_called_by_its_place() -> None:
    images = series_of([photograph(InstanceNumber=1), photograph(InstanceNumber=0)])
    assert [image_name(images, place) for place in (1, 2)] == [(1, "R"), (0, "R")]
