"""Everything that the installed writers make of one analysis, whichever they are."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

import numpy as np
from analyses import ORGAN

from clic_edge.domain.prediction import (
    CategoryFinding,
    Code,
    Detection,
    Measurement,
    ParametricMap,
)
from clic_edge.domain.result import ResultReference, SeriesRefusal
from clic_edge.results.check_summary import check_told
from clic_edge.results.rejection import write_rejection
from clic_edge.results.summary import write_summary
from clic_edge.results.writer import SeriesStory, Story

if TYPE_CHECKING:
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis

PROBABILITY = Code(value="126393", scheme="DCM", meaning="Probability")
ONE = Code(value="1", scheme="UCUM", meaning="no units")
MILLIMETRE = Code(value="mm", scheme="UCUM", meaning="mm")
LESION = Code(value="52988006", scheme="SCT", meaning="Lesion")
PRESENCE = Code(value="705057003", scheme="SCT", meaning="Presence")


def writers() -> list[EntryPoint]:
    """Return the entry points: segmentations first, then reports, then what refers to both."""

    def rank(point: EntryPoint) -> tuple[int, str]:
        return (0 if point.name.startswith("seg") else 1 if point.name == "sr" else 2, point.name)

    return sorted(entry_points(group="clic_edge.writers"), key=rank)


def write_all(analysis: Analysis) -> tuple[ResultObject, ...]:
    """Return what all writers make, each knowing what was made before."""
    made: tuple[ResultObject, ...] = ()
    for point in writers():
        made = (*made, *point.load()().write(analysis, made))
    return made


def write_told(analysis: Analysis, results: tuple[ResultObject, ...]) -> tuple[ResultObject, ...]:
    """Return what is written of a whole case: its root, and a note that rejects what it replaces."""
    (seg, *_) = results
    earlier = ResultReference(
        kind=seg.kind,
        sop_class_uid=seg.sop_class_uid,
        series_instance_uid="2.25.10",
        sop_instance_uid="2.25.11",
    )
    refusal = SeriesRefusal(
        series_id="s", code="spacing-unsupported", reason="The slices lie 5 mm apart."
    )
    story = Story(
        case_id=analysis.case_id,
        started_at=analysis.started_at,
        series=analysis.series,
        pipeline_title="Organs",
        model=analysis.model,
        parts=(
            SeriesStory(series_number=3, prediction=analysis.prediction, results=results),
            SeriesStory(series_number=4, refusal=refusal),
        ),
        predecessors=(earlier,),
    )
    told = write_summary(story), write_rejection(story)
    check_told(told, story)
    return told


def with_everything(analysis: Analysis) -> Analysis:
    """Return the analysis with something of every kind that a model may find."""
    prediction = analysis.prediction
    masks = {
        one.definition.number: prediction.label_map == one.definition.number
        for one in prediction.segments
    }
    maps = [
        probability_map(f"probability {number}", 0.7 * mask.astype(np.float32), number)
        for number, mask in masks.items()
    ]
    heat = np.linspace(0, 1, prediction.label_map.size, dtype=np.float32)
    maps.append(probability_map("attention", heat.reshape(prediction.label_map.shape), None))
    ends = prediction.geometry.affine @ np.array([[0, 1, 1, 1], [1, 3, 4, 1]]).T
    corners = tuple(tuple(float(x) for x in end) for end in ends[:3].T)
    measurement = Measurement(
        name=Code(value="410668003", scheme="SCT", meaning="Length"), value=4.5, unit=MILLIMETRE
    )
    return replace(
        analysis,
        prediction=replace(
            prediction,
            segments=tuple(
                replace(one, measurements=(measurement,)) for one in prediction.segments
            ),
            maps=tuple(maps),
            categories=(
                CategoryFinding(
                    name="present",
                    label="Lesion present",
                    concept=PRESENCE,
                    value=Code(value="52101004", scheme="SCT", meaning="Present"),
                    probability=0.75,
                    chosen=True,
                ),
            ),
            detections=(
                Detection(
                    name="lesion 1",
                    label="Lesion",
                    finding=LESION,
                    site=ORGAN,
                    probability=0.6,
                    corners_mm=corners,  # type: ignore[arg-type] # three numbers each
                    measurements=(measurement,),
                ),
                Detection(
                    name="lesion 2",
                    label="Lesion",
                    finding=LESION,
                    site=None,
                    probability=0.5,
                    corners_mm=corners[:1],  # type: ignore[arg-type] # as above
                ),
            ),
        ),
    )


def probability_map(
    name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], segment: int | None
) -> ParametricMap:
    """Return a map of probabilities, read-only as a model's is."""
    values.flags.writeable = False
    return ParametricMap(
        name=name,
        label=name.capitalize(),
        quantity=PROBABILITY,
        unit=ONE,
        values=values,
        segment=segment,
    )
