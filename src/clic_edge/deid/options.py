"""The options of Table E.1-1: which cell of a row decides, and which options exclude each other.

One rule settles a row where two chosen options differ: **C before K**. Cleaning shows less than
keeping, so that the date of a device's calibration is moved when dates are modified, even where
the device's identity is retained. Options that contradict each other as wholes are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

FULL_DATES = "retain_longitudinal_full_dates"
MODIFIED_DATES = "retain_longitudinal_modified_dates"
DEVICE = "retain_device_identity"
DESCRIPTORS = "clean_descriptors"
GRAPHICS = "clean_graphics"
CONTENT = "clean_structured_content"
SAFE_PRIVATE = "retain_safe_private"
UIDS = "retain_uids"

EXCLUSIVE = ((FULL_DATES, MODIFIED_DATES),)
"""Pairs of options of which a profile may have one (PS3.15 E.3.6)."""


def check_conflicts(options: frozenset[str]) -> None:
    """Return when no two of `options` contradict each other.

    Raises
    ------
    ConfigError
        ``conflicting-options``: the sentence names both.

    """
    for one, other in EXCLUSIVE:
        if {one, other} <= options:
            raise ConfigError(
                "conflicting-options",
                f"The options {one} and {other} contradict each other; choose one.",
            )


def deciding_cell(
    cells: Iterable[tuple[str, str]], options: frozenset[str]
) -> tuple[str, str] | None:
    """Return the option and code that decide a row; None where the profile chose none of its cells."""
    chosen = [cell for cell in cells if cell[0] in options]
    return next((cell for cell in chosen if cell[1] == "C"), next(iter(chosen), None))
