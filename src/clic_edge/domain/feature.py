"""One number or word about a prediction: what monitoring looks at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A named measurement of input, output or timing; either `number` or `text` is meant."""

    name: str
    """Dotted and stable, e.g. ``input.manufacturer``, ``output.anterior.volume_mm3``."""
    number: float | None = None
    text: str = ""
