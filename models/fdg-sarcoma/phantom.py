"""Write a phantom to seal the package with: hot spheres in a warm thigh, no patient's image.

Usage: ``python models/fdg-sarcoma/phantom.py FILE.nii.gz``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

SHAPE = (40, 40, 60)
SPACING_MM = (5.0, 5.0, 3.27)
SEED = 1
THIGH_RADIUS_MM = 80
BACKGROUND, MUSCLE = 0.02, 0.6
SPHERES = (((0, 0, 0), 30, 6.0), ((22, 14, 30), 18, 9.0), ((0, 0, 0), 9, 1.5))
"""Middle in mm from the volume's, radius in mm and SUV; a later one lies within the earlier: the
last is a necrosis."""
BLUR_MM = 6.5
"""Full width at half maximum of the scanner."""
NOISE = 0.05
_FWHM = 2.355


def phantom() -> nib.Nifti1Image:
    """Return SUV by body weight on a grid like those of the training cases."""
    axes = [
        (np.arange(count) - (count - 1) / 2) * step
        for count, step in zip(SHAPE, SPACING_MM, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    suv = np.where(np.hypot(x, y) < THIGH_RADIUS_MM, MUSCLE, BACKGROUND)
    for (at_x, at_y, at_z), radius, uptake in SPHERES:
        inside = (x - at_x) ** 2 + (y - at_y) ** 2 + (z - at_z) ** 2 < radius**2
        suv[inside] = uptake
    suv = gaussian_filter(suv, [BLUR_MM / _FWHM / step for step in SPACING_MM])
    suv += np.random.default_rng(SEED).normal(size=SHAPE) * NOISE * np.sqrt(suv)
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    return nib.Nifti1Image(np.clip(suv, 0, None).astype(np.float32), affine)


if __name__ == "__main__":
    nib.save(phantom(), Path(sys.argv[1]))
