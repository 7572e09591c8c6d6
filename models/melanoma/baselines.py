"""What needs no network: colour, asymmetry, border and texture, and a logistic regression.

Usage: ``python models/melanoma/baselines.py DATA``. Regularisation is chosen within the training
images; the held-out quarter is looked at once. Age alone is told, too, where it is known.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from cases import split_cases
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SIDE = 128
SRGB_TO_XYZ = np.array([[0.412, 0.358, 0.180], [0.213, 0.715, 0.072], [0.019, 0.119, 0.951]])
WHITE = np.array([0.95, 1, 1.089])


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIELAB of sRGB from 0 to 1, after the light's colour was taken out."""
    light = (rgb**6).mean((0, 1)) ** (1 / 6)
    rgb = np.clip(rgb * light.mean() / light, 0, 1)
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)  # noqa: PLR2004 - IEC 61966-2-1
    xyz = np.cbrt(linear @ SRGB_TO_XYZ.T / WHITE)
    return np.stack(
        [
            116 * xyz[..., 1] - 16,
            500 * (xyz[..., 0] - xyz[..., 1]),
            200 * (xyz[..., 1] - xyz[..., 2]),
        ],
        axis=-1,
    )


def lesion(light: np.ndarray) -> np.ndarray:
    """Return where the lesion is: darker than Otsu's threshold, nearest to the middle."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    near = np.hypot(rows, columns) < SIDE / 2
    counts, edges = np.histogram(light[near], 64)
    middles, below = (edges[:-1] + edges[1:]) / 2, np.cumsum(counts)
    means, total = np.cumsum(counts * middles), int(near.sum())
    spread = (means[-1] * below / total - means) ** 2 / (below * (total - below) + 1e-9)
    dark = ndimage.binary_fill_holes((light < middles[spread.argmax()]) & near)
    parts, count = ndimage.label(ndimage.binary_opening(dark, iterations=2))
    if not count:
        return near & (np.hypot(rows, columns) < SIDE / 4)
    weight = np.exp(-(np.hypot(rows, columns) ** 2) / (SIDE / 3) ** 2)
    return parts == 1 + np.argmax(ndimage.sum(weight, parts, range(1, count + 1)))


def features(path: Path) -> np.ndarray:
    """Return colour, shape, symmetry and texture of one image's lesion."""
    with Image.open(path) as file:
        lab = to_lab(np.asarray(file.convert("RGB").resize((SIDE, SIDE)), float) / 255)
    mask = lesion(ndimage.gaussian_filter(lab[..., 0], 2))
    inside = lab[mask]
    ring = ndimage.binary_dilation(mask, iterations=6) & ~mask
    outside = lab[ring if ring.any() else ~mask]
    edge = mask ^ ndimage.binary_erosion(mask)
    slope = ndimage.gaussian_gradient_magnitude(lab[..., 0], 1.5)
    mirrored = [np.abs(lab - np.flip(lab, axis))[mask].mean(0) for axis in (0, 1)]
    texture = [
        (ndimage.gaussian_filter(lab, (s, s, 0)) - ndimage.gaussian_filter(lab, (2 * s, 2 * s, 0)))[
            mask
        ].std(0)
        for s in (1, 2, 4)
    ]
    shape = [mask.mean(), edge.sum() ** 2 / mask.sum(), slope[edge].mean(), slope[mask].std()]
    colours = [inside.mean(0), inside.std(0), inside.mean(0) - outside.mean(0), outside.mean(0)]
    quantiles = np.percentile(inside, (5, 50, 95), axis=0).ravel()
    return np.concatenate([shape, *colours, *mirrored, *texture, quantiles])


def main() -> None:
    """Print the areas under the ROC curves on the held-out images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    split = split_cases(data)
    with (data / "labels.csv").open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    truth = {part: [int(rows[n]["melanoma"]) for n in names] for part, names in split.items()}
    seen = {
        part: np.stack([features(data / "images" / name) for name in names])
        for part, names in split.items()
    }
    chosen = LogisticRegressionCV(
        Cs=np.logspace(-4, 1, 11),
        cv=5,
        scoring="roc_auc",
        max_iter=5000,
        use_legacy_attributes=False,
    )
    model = make_pipeline(StandardScaler(), chosen)
    said = model.fit(seen["train"], truth["train"]).decision_function(seen["test"])
    print(f"handcrafted features: AUROC {roc_auc_score(truth['test'], said):.3f}")
    known = [n for n in split["test"] if rows[n]["age_approximate"].replace(".", "").isdigit()]
    ages = [float(rows[n]["age_approximate"]) for n in known]
    ill = [int(rows[n]["melanoma"]) for n in known]
    print(f"age alone, {len(known)} of them: AUROC {roc_auc_score(ill, ages):.3f}")


if __name__ == "__main__":
    main()
