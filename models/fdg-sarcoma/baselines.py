"""Print Dice of what needs no network, so that the network's number means something.

Usage: ``python models/fdg-sarcoma/baselines.py DATA [CHECKPOINT]``; with a checkpoint also Dice of
its network on the validation cases, as they were cropped and off-centre.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from cases import Example, case_names, dice, dice_of, load_example, off_centre
from export import averaged_network
from train import THREADS, split_cases

if TYPE_CHECKING:
    from torch import nn

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


def print_baselines(examples: list[Example], held_out: list[str]) -> None:
    """Print a line for each way: mean over all cases and over those held out."""
    ways = {
        "41 % of the crop's SUVmax": share_of_maximum,
        "41 % of the tumour's SUVmax": share_of_tumour,
        "52 mm from the sides": ellipsoid,
    }
    ways |= {f"SUV > {t}": lambda one, t=t: one.suv > t for t in THRESHOLDS}
    crops = {"": examples, ", off-centre": [off_centre(one) for one in examples]}
    for (name, way), (crop, cases) in product(ways.items(), crops.items()):
        values = {one.name: dice(way(one), one.reference) for one in cases}
        everywhere, there = (
            np.mean([values[case] for case in some]) for some in (values, held_out)
        )
        print(f"{name + crop:39s} all {everywhere:.3f}  validation {there:.3f}")


def print_network(network: nn.Module, examples: list[Example]) -> None:
    """Print a line for each case, and the means."""
    table = [(dice_of(network, one), dice_of(network, off_centre(one))) for one in examples]
    for one, row in zip(examples, table, strict=True):
        print("{}  network {:.3f}  off-centre {:.3f}".format(one.name, *row))
    print("mean     network {:.3f}  off-centre {:.3f}".format(*np.mean(table, axis=0)))


def main() -> None:
    """Print as the command line says."""
    data, *checkpoint = map(Path, sys.argv[1:])
    torch.set_num_threads(THREADS)
    held_out = split_cases(data)["validation"]
    print_baselines([load_example(data, name) for name in case_names(data)], held_out)
    for path in checkpoint:
        print_network(averaged_network(path), [load_example(data, name) for name in held_out])


if __name__ == "__main__":
    main()
