"""Paint an eye that never was, for the sealed test case: ``python phantom.py eye.png``."""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

SIDE = 240
SEED = 20261121
BRANCHES = 40


def eye() -> Image.Image:
    """Return an orange disc with a bright spot, from which dark lines wander off."""
    rng = np.random.default_rng(SEED)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    radius = np.hypot(rows - SIDE / 2, columns - SIDE / 2)
    drawn = np.zeros((SIDE, SIDE))
    for _ in range(BRANCHES):
        place, angle = np.array([SIDE / 2, SIDE * 0.7]), rng.uniform(0, 2 * np.pi)
        for _ in range(SIDE):
            angle += rng.normal(0, 0.12)
            place += np.sin(angle), np.cos(angle)
            row, column = np.rint(place).astype(int)
            if not (0 <= row < SIDE and 0 <= column < SIDE):
                break
            drawn[row, column] = 1
    vessels = np.clip(2.5 * gaussian_filter(drawn, 1.0), 0, 1)
    spot = np.exp(-((rows - SIDE / 2) ** 2 + (columns - SIDE * 0.7) ** 2) / 300)
    shade = (1 + 0.6 * spot)[..., None] * np.array([0.62, 0.34, 0.16])
    shade = shade * (1 - vessels[..., None] * np.array([0.25, 0.5, 0.3]))
    shade = (shade + rng.normal(0, 0.01, shade.shape)) * (radius < 0.48 * SIDE)[..., None]
    return Image.fromarray((np.clip(shade, 0, 1) * 255).astype(np.uint8))


if __name__ == "__main__":
    eye().save(sys.argv[1])
