"""How much one study may ask of the appliance; what asks for more is refused by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLimits:
    """What is taken of a study; the defaults are those of `[limits]`."""

    study_series: int = 1000
    """Series of a study that are looked at."""
    series_instances: int = 20_000
    """Instances of a series that are fetched."""
    series_mib: int = 4096
    """MiB of a series that are fetched."""
