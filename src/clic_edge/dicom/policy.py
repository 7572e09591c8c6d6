"""What to do with a series that is not one plain stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePolicy:
    """How `build_volume` resolves what it would refuse; each default refuses."""

    gantry_tilt: Literal["refuse", "shear"] = "refuse"
    """``shear`` keeps the tilted grid: its affine is exact, its slice axis is not the normal."""
    volumes: Literal["refuse", "first", "last"] = "refuse"
    """Which of several volumes at the same positions is taken, e.g. of a 4-D series."""
    orientations: Literal["refuse", "largest"] = "refuse"
    """``largest`` keeps the orientation with the most slices, where there is one."""
