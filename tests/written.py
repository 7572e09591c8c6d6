"""Everything that the installed writers make of one analysis, whichever they are."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

import numpy as np
from analyses import SEGMENTS

from clic_edge.domain.prediction import (
    CategoryFinding,
    Code,
    Detection,
    Measurement,
    OperatingPoint,
    ParametricMap,
)
from clic_edge.domain.result import ResultReference, SeriesRefusal
from clic_edge.results.check_summary import check_told
from clic_edge.results.rejection import write_rejection
from clic_edge.results.summary import write_summary
from clic_edge.results.writer import SeriesStory, Story

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.volume import Geometry
    from clic_edge.results.writer import Analysis

PROBABILITY = Code(value="122157", scheme="DCM", meaning="Probability")
ONE = Code(value="1", scheme="UCUM", meaning="no units")
MILLIMETRE = Code(value="mm", scheme="UCUM", meaning="mm")
LESION = Code(value="52988006", scheme="SCT", meaning="Lesion")
PRESENCE = Code(value="705057003", scheme="SCT", meaning="Presence")
LENGTH = Code(value="410668003", scheme="SCT", meaning="Length")
MAXIMUM = Code(value="56851009", scheme="SCT", meaning="Maximum")
LEFT = Code(value="7771000", scheme="SCT", meaning="Left")
ANTERIOR = Code(value="255549009", scheme="SCT", meaning="Anterior")
POINT = OperatingPoint(name="balanced", threshold=0.512345, sensitivity=0.9)
CATEGORIES = (
    CategoryFinding(
        name="present",
        label="Lesion present",
        concept=PRESENCE,
        value=Code(value="52101004", scheme="SCT", meaning="Present"),
        probability=0.75,
        chosen=True,
    ),
    CategoryFinding(
        name="absent",
        label="Lesion absent",
        concept=PRESENCE,
        value=Code(value="2667000", scheme="SCT", meaning="Absent"),
        probability=0.25,
        chosen=False,
    ),
    CategoryFinding(
        name="mild",
        label="Mild",
        concept=Code(value="246112005", scheme="SCT", meaning="Severity"),
        value=Code(value="255604002", scheme="SCT", meaning="Mild"),
        probability=0.4,
        chosen=False,
    ),
)


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
    liver, spleen, lesion = prediction.segments
    measured = Measurement(name=LENGTH, value=4.5, unit=MILLIMETRE)
    derived = replace(measured, value=1 / 3, derivation=MAXIMUM, method="longest of three chords")
    return replace(
        analysis,
        prediction=replace(
            prediction,
            model=replace(prediction.model, operating_point=POINT, intended_use="Tests."),
            segments=(
                replace(
                    liver,
                    definition=replace(liver.definition, modifier=LEFT),
                    measurements=(measured, derived),
                ),
                replace(spleen, definition=replace(spleen.definition, modifier=ANTERIOR)),
                replace(lesion, measurements=(measured,)),
            ),
            maps=tuple(maps),
            categories=CATEGORIES,
            detections=detections(prediction.geometry, measured),
        ),
    )


def detections(geometry: Geometry, measured: Measurement) -> tuple[Detection, ...]:
    """Return a deep box, a flat one on a slice, and points on a slice and beside all slices."""
    at = {
        "box": ([0, 1, 1], [1, 3, 4]),
        "flat box": ([1, 1, 1], [1, 3, 4]),
        "point": ([0, 1, 1],),
        "point between": ([0.4, 1.25, 1.5],),
    }
    return tuple(
        Detection(
            name=f"lesion {number}",
            label="Lesion",
            finding=LESION,
            site=SEGMENTS[0].property_type if number == 1 else None,
            probability=number / 8,
            corners_mm=tuple(in_patient(geometry, index) for index in indices),
            measurements=(measured,) if number == 1 else (),
        )
        for number, indices in enumerate(at.values(), start=1)
    )


def in_patient(geometry: Geometry, index: Sequence[float]) -> tuple[float, float, float]:
    """Return where slice, row and column lie, in mm."""
    x, y, z = (float(one) for one in (geometry.affine @ [*index, 1])[:3])
    return x, y, z


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
