"""What the numbers of a parametric map are, and how to show all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from highdicom.content import VOILUTTransformation
from highdicom.pm import RealWorldValueMapping

from clic_edge.results.segmentation import coded

if TYPE_CHECKING:
    from clic_edge.domain.prediction import ParametricMap


def meaning_of_map(one: ParametricMap) -> tuple[RealWorldValueMapping, VOILUTTransformation]:
    """Return what the numbers are, and how to show all of them."""
    low, high = float(one.values.min()), float(one.values.max())
    mapping = RealWorldValueMapping(
        lut_label=one.name[:16],
        lut_explanation=one.label[:64],
        unit=coded(one.unit),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=coded(one.quantity),
    )
    window = VOILUTTransformation(
        window_center=(low + high) / 2,
        window_width=max(high - low, 1e-6),
        voi_lut_function="LINEAR_EXACT",
    )
    return mapping, window
