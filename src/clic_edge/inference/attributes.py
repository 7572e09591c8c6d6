"""The fields of `Acquisition` that a package may ask for, by name."""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator

from clic_edge.domain.volume import Acquisition


def _are_of_the_acquisition(value: tuple[str, ...]) -> tuple[str, ...]:
    known = {one.name for one in fields(Acquisition)}
    for name in value:
        if name not in known:
            (nearest,) = get_close_matches(name, known, n=1, cutoff=0)
            message = f"there is no attribute '{name}'; the nearest is '{nearest}'"
            raise ValueError(message)
    return value


AttributeNames = Annotated[tuple[str, ...], AfterValidator(_are_of_the_acquisition)]
