"""The features of a prediction: how the images were made, what they look like, what came out."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.special import entr

from clic_edge.domain.feature import Feature
from clic_edge.domain.overview import overview
from clic_edge.domain.slide import Slide
from clic_edge.domain.volume import Volume
from clic_edge.drift.image import image_features

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clic_edge.domain.image import Image
    from clic_edge.domain.prediction import CategoryFinding, Prediction, SegmentFinding
    from clic_edge.domain.volume import Geometry

_TEXT_LENGTH = 256
_AFAR_MM = 0.032
"""At this spacing a slide is looked at: pieces of tissue, and no cells."""
_TELLING = {"age_years", "suv_bw_factor"}
"""Numbers that say more of a person than a chart needs."""


def input_features(seen: Volume | Image | Slide) -> tuple[Feature, ...]:
    """Return acquisition, spacing in mm, and what the images look like, in modality units.

    Of an image whose pixels have no known size, spacing and extent are in pixels; of one in colour
    the brightness is looked at, and of a slide that from afar.
    """
    acquisition, geometry = seen.acquisition, seen.geometry
    named = ((field.name, getattr(acquisition, field.name)) for field in fields(acquisition))
    told = tuple(
        Feature(name=f"input.{name}", text=value[:_TEXT_LENGTH])
        if isinstance(value, str)
        else Feature(name=f"input.{name}", number=value)
        for name, value in (*named, ("age_band_years", _decade(acquisition.age_years)))
        if value not in ("", None) and name not in _TELLING
    )
    axes = ("slice", "row", "column")
    spacing = zip(axes, geometry.spacing_mm, strict=True)
    size = zip(axes, geometry.shape, strict=True)
    return (
        *told,
        *(Feature(name=f"input.spacing.{axis}_mm", number=value) for axis, value in spacing),
        *(Feature(name=f"input.size.{axis}s", number=float(value)) for axis, value in size),
        *_looks(seen),
    )


def _looks(seen: Volume | Image | Slide) -> tuple[Feature, ...]:
    if isinstance(seen, Slide):
        spacing = max(_AFAR_MM, *seen.levels[-1].matrix.spacing_mm)
        grey = overview(seen.levels, spacing).mean(axis=2, dtype=np.float32)
        return image_features(grey[np.newaxis], (1.0, spacing, spacing))
    return image_features(_voxels(seen), seen.geometry.spacing_mm)


def _voxels(seen: Volume | Image) -> NDArray[np.generic]:
    if isinstance(seen, Volume):
        return seen.voxels
    grey = seen.pixels if seen.pixels.ndim == 2 else seen.pixels.mean(axis=2, dtype=np.float32)  # noqa: PLR2004 - rows, columns
    return grey[np.newaxis]


def _decade(age_years: float | None) -> float | None:
    """Return the first year of a decade: a year of age says more of a person than a chart needs."""
    return None if age_years is None else min(90.0, age_years // 10 * 10)


def agreement_features(challenger: Prediction, active: Prediction) -> tuple[Feature, ...]:
    """Return Dice and difference of volumes of each segment that both models name.

    Where neither finds a segment, Dice is 1. Nothing is said of segments where the grids differ, as
    those of tiles of a slide may. Of each category that both name, the difference of its
    probabilities.
    """
    known = {one.name: one.probability for one in active.categories}
    categories = tuple(
        Feature(
            name=f"agreement.{one.name}.probability_difference",
            number=one.probability - known[one.name],
        )
        for one in challenger.categories
        if one.name in known
    )
    alike = active.geometry.shape == challenger.geometry.shape and np.array_equal(
        active.geometry.affine, challenger.geometry.affine
    )
    by_name = {segment.definition.name: segment for segment in active.segments if alike}
    features = []
    for segment in challenger.segments:
        name = segment.definition.name
        if name not in by_name:
            continue
        other = by_name[name]
        ours = challenger.label_map == segment.definition.number
        theirs = active.label_map == other.definition.number
        total = segment.voxel_count + other.voxel_count
        dice = 2 * np.count_nonzero(ours & theirs) / total if total else 1.0
        features.append(Feature(name=f"agreement.{name}.dice", number=float(dice)))
        if active.geometry.in_patient:
            difference = segment.volume_mm3 - other.volume_mm3
            features.append(
                Feature(name=f"agreement.{name}.volume_difference_mm3", number=difference)
            )
    return (*features, *categories)


def output_features(prediction: Prediction) -> tuple[Feature, ...]:
    """Return what was found, how much of it, and how sure the model was.

    Of segments volume in mm³ (in a single image area in mm²), voxels, pieces and mean probability; of the scores of a slide's tiles
    mean and maximum over its tissue; of categories probability and
    entropy in bits; of detections number and highest probability.
    """
    return (
        *_of_segments(prediction),
        *_of_scores(prediction),
        *_of_categories(prediction.categories),
        *_of_detections(prediction),
    )


def _of_segments(prediction: Prediction) -> Iterator[Feature]:
    if not prediction.segments:
        return
    found = sum(segment.voxel_count for segment in prediction.segments)
    yield Feature(name="output.foreground_share", number=found / prediction.label_map.size)
    boxes = find_objects(
        prediction.label_map, max(one.definition.number for one in prediction.segments)
    )
    for segment in prediction.segments:
        name, number = segment.definition.name, segment.definition.number
        box = boxes[number - 1]
        mask = prediction.label_map[box] == number if box else np.zeros((1, 1, 1), dtype=bool)
        numbers = {
            **_extent(segment, prediction.geometry),
            "mean_probability": segment.mean_probability,
            "voxels": float(segment.voxel_count),
            "pieces": float(label(mask)[1]),
        }
        yield from (
            Feature(name=f"output.{name}.{what}", number=value) for what, value in numbers.items()
        )
        yield from (
            Feature(name=f"output.{name}.entropy", number=_bits(one.values[box][mask]))
            for one in prediction.maps
            if one.segment == number and box
        )


def _of_scores(prediction: Prediction) -> Iterator[Feature]:
    if not prediction.geometry.on_slide:
        return
    looked_at = prediction.label_map > 0
    for one in prediction.maps:
        inside = one.values[looked_at].astype(np.float64)
        yield Feature(name=f"output.{one.name}.mean", number=float(inside.mean()))
        yield Feature(name=f"output.{one.name}.maximum", number=float(inside.max()))


def _extent(segment: SegmentFinding, geometry: Geometry) -> dict[str, float]:
    """Return a segment's volume; of a single image its area, where a pixel's size is known."""
    if geometry.in_patient:
        return {"volume_mm3": segment.volume_mm3}
    rows, columns = geometry.spacing_mm[1:]
    return {"area_mm2": segment.voxel_count * rows * columns} if geometry.in_mm else {}


def _of_categories(categories: tuple[CategoryFinding, ...]) -> Iterator[Feature]:
    for one in categories:
        yield Feature(name=f"output.{one.name}.probability", number=one.probability)
        yield Feature(name=f"output.{one.name}.chosen", number=float(one.chosen))
    if categories:
        answers: dict[str, list[float]] = {}
        for one in categories:
            answers.setdefault(one.concept.value, []).append(one.probability)
        entropies = [_entropy(probabilities) for probabilities in answers.values()]
        yield Feature(name="output.entropy", number=float(np.mean(entropies)))


def _of_detections(prediction: Prediction) -> Iterator[Feature]:
    if not prediction.detections and (prediction.segments or prediction.categories):
        return  # it does not detect
    yield Feature(name="output.detections", number=float(len(prediction.detections)))
    if prediction.detections:
        highest = max(one.probability for one in prediction.detections)
        yield Feature(name="output.highest_probability", number=highest)


def _entropy(probabilities: list[float]) -> float:
    """Return the entropy of one question's answers, in bits; of a lone answer, with its contrary."""
    if len(probabilities) == 1:
        return _bits(np.array(probabilities))
    return float(entr(probabilities).sum() / np.log(2))


def _bits(probabilities: NDArray[np.floating]) -> float:
    """Return the mean entropy of yes or no, in bits: 1 where a coin would know as much."""
    sure = probabilities.astype(np.float64)
    return float((entr(sure) + entr(1 - sure)).mean() / np.log(2))
