"""Numbers as values may hold them."""

from math import isfinite


def finite(value: float) -> float | None:
    """Return a number that JSON can hold, None for one that it can't."""
    return value if isfinite(value) else None
