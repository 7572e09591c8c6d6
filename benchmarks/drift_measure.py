"""How the product's own features lie and move: measured on real images, kept as a few numbers.

    CLIC_EDGE_TEST_DATA=… python benchmarks/drift_measure.py

runs the hippocampus model over the shared T1 images as they are, and over the same images changed
as scanners change them. What is kept in `drift_features.json` is the distribution of each feature,
the correlation of their normal scores, and how far each change moves them: no image, no case.
`drift.py` replays months from that.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from clic_edge.drift.charts import normal_scores
from clic_edge.drift.features import input_features, output_features
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.validation.folder import case_names, read_case

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.prediction import Prediction, SegmentFinding
    from clic_edge.domain.volume import Volume

ROOT = Path(__file__).resolve().parent.parent
KEPT = Path(__file__).resolve().parent / "drift_features.json"
SEED = 20261121
MOST_CASES = 160
LEVELS = np.linspace(0, 1, 41)
OLD = 0.4
"""The smaller hippocampi, this share of the cases, stand for older patients."""
GENEROUS = 0.5
"""Share of the voxels around a segment that the swapped model takes in."""


def new_software(voxels: NDArray[np.float32], _rng: np.random.Generator) -> NDArray[np.float32]:
    """Return images as a stronger edge filter of a reconstruction leaves them."""
    return voxels + 0.6 * (voxels - gaussian_filter(voxels, 1.0))


def thicker_slices(voxels: NDArray[np.float32], _rng: np.random.Generator) -> NDArray[np.float32]:
    """Return images of twice the slice thickness, told on the same grid."""
    ahead = np.concatenate([voxels[1:], voxels[-1:]])
    return (voxels + ahead) / 2


def contrast_timing(voxels: NDArray[np.float32], _rng: np.random.Generator) -> NDArray[np.float32]:
    """Return images whose brighter half is a quarter brighter, as enhanced tissue is."""
    middle = float(np.median(voxels))
    return np.where(voxels > middle, middle + 1.25 * (voxels - middle), voxels)


def broken_coil(voxels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return images of a coil that has lost an element: darker on one side, and noisier there."""
    fall = np.linspace(1.0, 0.6, voxels.shape[2], dtype=np.float32)
    noise = rng.normal(0, 0.04 * float(np.percentile(voxels, 95)), voxels.shape)
    return (voxels * fall + noise * (1 - fall) / 0.4).astype(np.float32)


CHANGES = {
    "new scanner software, not stamped": new_software,
    "thicker slices": thicker_slices,
    "contrast timing": contrast_timing,
    "broken coil": broken_coil,
}


def swapped(prediction: Prediction) -> Prediction:
    """Return what a model answers that draws its borders more generously."""
    label_map = prediction.label_map.copy()
    for segment in prediction.segments:
        number = segment.definition.number
        grown = binary_dilation(label_map == number) & (label_map == 0)
        keep = np.random.default_rng(number).random(label_map.shape) < GENEROUS
        label_map[grown & keep] = number

    def finding(one: SegmentFinding) -> SegmentFinding:
        count = int((label_map == one.definition.number).sum())
        volume = prediction.geometry.voxel_volume_mm3 * count
        return replace(one, voxel_count=count, volume_mm3=volume)

    return replace(
        prediction,
        label_map=label_map,
        segments=tuple(finding(one) for one in prediction.segments),
    )


def numbers(volume: Volume, prediction: Prediction) -> dict[str, float]:
    """Return the features that are numbers."""
    features = (*input_features(volume), *output_features(prediction))
    return {one.name: one.number for one in features if one.number is not None}


def measure() -> dict[str, list[dict[str, float]]]:
    """Return the features of each case, as it is and after each change."""
    data = Path(os.environ["CLIC_EDGE_TEST_DATA"]) / "hippocampus"
    names = case_names(data)
    chosen = sorted(np.random.default_rng(SEED).permutation(names)[:MOST_CASES].tolist())
    runtime = OnnxRuntime.load(ROOT / "models" / "hippocampus")
    found: dict[str, list[dict[str, float]]] = {
        name: [] for name in ("usual", *CHANGES, "model swap")
    }
    for index, name in enumerate(chosen):
        volume = read_case(data, name, modality="MR").volume
        prediction = runtime.predict(volume)
        found["usual"].append(numbers(volume, prediction))
        found["model swap"].append(numbers(volume, swapped(prediction)))
        for change, apply in CHANGES.items():
            rng = np.random.default_rng([SEED, index])
            voxels = apply(volume.voxels.astype(np.float32), rng)
            voxels.flags.writeable = False
            changed = replace(volume, voxels=voxels)
            found[change].append(numbers(changed, runtime.predict(changed)))
        print(f"\r{index + 1} of {len(chosen)}", end="", file=sys.stderr)
    return found


def summarised(found: dict[str, list[dict[str, float]]]) -> dict[str, object]:
    """Return quantiles, correlations, and the shift of each feature's score by each change."""
    usual = found["usual"]
    names = sorted(name for name in usual[0] if len({one[name] for one in usual}) > len(usual) // 4)
    tables = {
        change: np.array([[one[name] for name in names] for one in rows])
        for change, rows in found.items()
    }
    before = tables.pop("usual")
    scores = {change: _scores(before, after) for change, after in tables.items()}
    # An older population is not a change of images, but of who comes.
    volume = before[:, [name.endswith("volume_mm3") for name in names]].sum(axis=1)
    old = volume <= np.quantile(volume, OLD)
    scores["older population"] = _scores(before, before[old])
    return {
        "cases": len(before),
        "names": names,
        "quantiles": np.round(np.quantile(before, LEVELS, axis=0).T, 6).tolist(),
        "correlation": np.round(np.corrcoef(_scores(before, before).T), 4).tolist(),
        "shifts": {
            change: np.round(rows.mean(axis=0), 3).tolist() for change, rows in scores.items()
        },
        "spreads": {
            change: np.round(rows.std(axis=0), 3).tolist() for change, rows in scores.items()
        },
    }


def _scores(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return normal scores; beyond the range of the usual, in its sd from the outermost."""
    columns = []
    for ours, theirs in zip(after.T, before.T, strict=True):
        score = normal_scores(np.sort(theirs), ours)
        sd = theirs.std()
        score += np.maximum(ours - theirs.max(), 0) / sd - np.maximum(theirs.min() - ours, 0) / sd
        columns.append(score)
    return np.stack(columns, axis=1)


if __name__ == "__main__":
    KEPT.write_text(json.dumps(summarised(measure()), separators=(",", ":")) + "\n")
