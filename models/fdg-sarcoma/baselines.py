"""Print Dice of what needs no network, so that the network's number means something.

Usage: ``python models/fdg-sarcoma/baselines.py DATA``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from cases import Example, case_names, dice, load_example, off_centre
from train import split_cases

MARGIN_MM = 52
"""How far the crops' sides are from the tumour's box in these data."""
THRESHOLDS = (1.5, 1.75, 2.0, 2.5, 4.0)
SHARE = 0.41


def share_of_maximum(example: Example) -> np.ndarray:
    """Return what has at least 41 % of the crop's SUVmax."""
    return example.suv >= SHARE * example.suv.max()


def share_of_tumour(example: Example) -> np.ndarray:
    """Return what has at least 41 % of the tumour's SUVmax, as if someone had pointed at it."""
    return example.suv >= SHARE * example.suv[example.reference].max()


def ellipsoid(example: Example) -> np.ndarray:
    """Return the ellipsoid that keeps 52 mm from all sides: it never looks at the image."""
    squares = []
    for count, step in zip(example.suv.shape, example.geometry.spacing_mm, strict=True):
        half = max(count * step / 2 - MARGIN_MM, step)
        squares.append(((np.arange(count) - (count - 1) / 2) * step / half) ** 2)
    return squares[0][:, None, None] + squares[1][:, None] + squares[2] <= 1


def main(data: Path) -> None:
    """Print a line for each: mean over all cases and over the validation cases."""
    held_out = set(split_cases(data)["validation"])
    examples = [load_example(data, name) for name in case_names(data)]
    ways = {
        "41 % of the crop's SUVmax": share_of_maximum,
        "41 % of the tumour's SUVmax": share_of_tumour,
        "52 mm from the sides": ellipsoid,
        "52 mm from the sides, off-centre": lambda one: ellipsoid(off_centre(one)),
    }
    ways |= {f"SUV > {t}": lambda one, t=t: one.suv > t for t in THRESHOLDS}
    for name, way in ways.items():
        values = {}
        for one in examples:
            reference = (off_centre(one) if "off-centre" in name else one).reference
            values[one.name] = dice(way(one), reference)
        validation = np.mean([values[case] for case in held_out])
        print(f"{name:33s} all {np.mean(list(values.values())):.3f}  validation {validation:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
