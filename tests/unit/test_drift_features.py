"""What is logged of images and findings: known images have known numbers."""

from __future__ import annotations

from dataclasses import replace
from math import log2

import numpy as np
import pytest
from analyses import asymmetric
from scipy.ndimage import gaussian_filter
from written import CATEGORIES, detections, probability_map

from clic_edge.domain.prediction import (
    Code,
    ModelIdentity,
    Prediction,
    SegmentDefinition,
    SegmentFinding,
)
from clic_edge.domain.volume import Geometry
from clic_edge.drift.features import output_features
from clic_edge.drift.image import image_features

MILLIMETRES = (2.0, 1.0, 1.0)
CODE = Code(value="1", scheme="99TEST", meaning="Test")


def of_image(
    voxels: np.ndarray, spacing: tuple[float, float, float] = MILLIMETRES
) -> dict[str, float]:
    return {
        one.name.removeprefix("input."): one.number or 0.0
        for one in image_features(voxels, spacing)
    }


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """Return a bright ellipsoid in air that is zero, as a scanner leaves it."""
    slices, rows, columns = np.mgrid[-1:1:24j, -1:1:96j, -1:1:80j]
    inside = (slices**2 + rows**2 + columns**2) < 0.7
    return gaussian_filter(np.where(inside, 800.0, 0.0), 1.5)


@pytest.mark.parametrize("sd", [5.0, 20.0, 80.0])
def test_noise_is_found_beside_edges_and_beside_air(head: np.ndarray, sd: float) -> None:
    noisy = head + np.random.default_rng(1).normal(0, sd, head.shape) * (head > 1)
    assert of_image(noisy)["noise"] == pytest.approx(sd, rel=0.15)


def test_blurred_images_are_less_sharp_whatever_their_brightness(head: np.ndarray) -> None:
    sharp, blurred = of_image(head), of_image(gaussian_filter(head, (0, 3, 3)))
    assert blurred["sharpness"] < 0.7 * sharp["sharpness"]
    assert of_image(3 * head + 100)["sharpness"] == pytest.approx(sharp["sharpness"])


def test_sharpness_is_in_millimetres_of_the_patient(head: np.ndarray) -> None:
    near = of_image(head, (2.0, 0.5, 0.5))["sharpness"]
    assert near == pytest.approx(2 * of_image(head)["sharpness"])


def test_the_field_of_view_is_what_was_scanned(head: np.ndarray) -> None:
    found = of_image(head, (2.0, 1.0, 0.5))
    assert [found[f"field_of_view.{axis}_mm"] for axis in ("slice", "row", "column")] == [
        48,
        96,
        40,
    ]


def test_voxels_that_are_no_numbers_are_left_out(head: np.ndarray) -> None:
    dirty = head.astype(np.float32)
    dirty[3, 4, 5], dirty[6, 7, 8] = np.nan, np.inf
    assert np.isfinite(list(of_image(dirty).values())).all()
    assert of_image(np.full((4, 5, 6), np.nan)).keys() >= {"field_of_view.row_mm", "noise"}


def with_ghost(voxels: np.ndarray) -> np.ndarray:
    return voxels + 0.1 * np.roll(voxels, voxels.shape[1] // 2, axis=1)


def with_stripes(voxels: np.ndarray) -> np.ndarray:
    return voxels + 25.0 * (np.arange(voxels.shape[2]) % 8 == 0)


def with_rings(voxels: np.ndarray) -> np.ndarray:
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in voxels.shape[1:])
    return voxels + 25.0 * (np.hypot(rows[:, None], columns).astype(int) % 6 == 0)


def clipped(voxels: np.ndarray) -> np.ndarray:
    return np.minimum(voxels, np.percentile(voxels, 95))


ARTEFACTS = {
    "ghosting": with_ghost,
    "stripes": with_stripes,
    "rings": with_rings,
    "clipped_share": clipped,
}


@pytest.mark.parametrize("score", ARTEFACTS)
def test_each_artefact_moves_its_own_score_and_hardly_the_others(
    head: np.ndarray, score: str
) -> None:
    clean = head + np.random.default_rng(2).normal(0, 20, head.shape)
    usual, spoilt = of_image(clean), of_image(ARTEFACTS[score](clean))
    for one in ARTEFACTS:
        ratio = spoilt[f"artefact.{one}"] / usual[f"artefact.{one}"]
        assert (ratio > 3) if one == score else (0.7 < ratio < 1.4), (one, ratio)


def test_artefacts_are_shares_of_the_contrast(head: np.ndarray) -> None:
    spoilt = with_rings(with_stripes(with_ghost(head)))
    dark, bright = of_image(spoilt), of_image(3 * spoilt + 100)
    for one in ARTEFACTS:
        assert bright[f"artefact.{one}"] == pytest.approx(dark[f"artefact.{one}"], rel=1e-3)


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 3, 3), (2, 1, 9)])
def test_the_smallest_images_and_the_flattest_have_features(shape: tuple[int, int, int]) -> None:
    found = of_image(np.full(shape, 7, dtype=np.int16))
    assert found["intensity.p50"] == 7
    assert "sharpness" not in found, "without contrast there is no edge"


def prediction(**changes: object) -> Prediction:
    shape = (6, 12, 14)
    label_map = asymmetric(shape)
    segments = tuple(
        SegmentFinding(
            definition=SegmentDefinition(
                number=number, name=f"part{number}", label="", category=CODE, property_type=CODE
            ),
            voxel_count=int((label_map == number).sum()),
            volume_mm3=1.0,
            mean_probability=0.9,
        )
        for number in (1, 2, 3)
    )
    model = ModelIdentity(model_id="m", version="1", title="", manufacturer="", digest="d")
    whole = Prediction(
        model=model,
        geometry=Geometry(affine=np.eye(4), shape=shape),
        label_map=label_map,
        segments=segments,
        device="cpu",
        forward_seconds=0.0,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def of_output(**changes: object) -> dict[str, float | None]:
    features = output_features(prediction(**changes))
    return {one.name.removeprefix("output."): one.number for one in features}


def test_pieces_are_counted_and_an_empty_segment_has_none() -> None:
    label_map = np.zeros((6, 12, 14), dtype=np.uint8)
    label_map[1, 1:3, 1:3] = label_map[4, 8:10, 8:10] = label_map[4, 1, 1] = 2
    found = of_output(label_map=label_map)
    assert [found[f"part{number}.pieces"] for number in (1, 2, 3)] == [0, 3, 0]


def test_entropy_tells_of_the_segments_own_voxels() -> None:
    sure = prediction().label_map.astype(np.float32) * 0 + 0.5
    sure[prediction().label_map == 2] = 1.0
    maps = tuple(probability_map(f"p{number}", sure.copy(), number) for number in (1, 2))
    found = of_output(maps=maps)
    assert found["part1.entropy"] == pytest.approx(1.0)
    assert found["part2.entropy"] == pytest.approx(0.0)
    assert "part3.entropy" not in found


def test_a_classifier_logs_probability_choice_and_entropy() -> None:
    found = of_output(categories=CATEGORIES, segments=())
    for one in CATEGORIES:
        assert found[f"{one.name}.probability"] == one.probability
        assert found[f"{one.name}.chosen"] == one.chosen
    absent = [one.probability for one in CATEGORIES if one.concept == CATEGORIES[0].concept]
    alone = CATEGORIES[-1].probability
    first = -sum(p * log2(p) for p in absent)
    second = -(alone * log2(alone) + (1 - alone) * log2(1 - alone))
    assert found["entropy"] == pytest.approx((first + second) / 2)
    assert "foreground_share" not in found


def test_a_detector_logs_how_many_and_how_sure_also_when_it_finds_nothing() -> None:
    geometry = prediction().geometry
    found = of_output(segments=(), detections=detections(geometry, None))  # type: ignore[arg-type]
    assert (found["detections"], found["highest_probability"]) == (4, 0.5)
    assert of_output(segments=()) == {"detections": 0}
