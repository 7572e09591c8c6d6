"""Paint a mole that never was, for the sealed test case: ``python phantom.py mole.png``."""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

SIDE = 160
SEED = 20261121


def mole() -> Image.Image:
    """Return light skin with an uneven brown spot."""
    rng = np.random.default_rng(SEED)
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    angle = np.arctan2(rows, columns)
    edge = 0.22 + 0.05 * np.sin(3 * angle + 1) + 0.02 * np.sin(7 * angle)
    inside = gaussian_filter((np.hypot(rows, columns) < edge).astype(float), 2)
    patches = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 8) * 12
    skin, spot = np.array([0.85, 0.66, 0.58]), np.array([0.42, 0.24, 0.16])
    shade = skin + inside[..., None] * (spot - skin) * (1 + 0.3 * patches[..., None])
    shade = shade + rng.normal(0, 0.01, shade.shape)
    return Image.fromarray((np.clip(shade, 0, 1) * 255).astype(np.uint8))


if __name__ == "__main__":
    mole().save(sys.argv[1])
