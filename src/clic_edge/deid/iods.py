"""Which attributes an object's IOD defines (PS3.3 A): the others do not belong there.

The table is made from highdicom's copy of the standard by ``tests/unit/test_deid_iods.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from clic_edge.deid.standard import table

_IMAGE_PRESENTATION = 0x0028
_PIXEL_MEANING = frozenset(
    {
        0x00080005,  # Specific Character Set
        0x00180088,  # Spacing Between Slices
        0x00180095,  # Pixel Bandwidth
        0x00181130,  # Table Height
        0x00189087,  # Diffusion b-value
        0x00189089,  # Diffusion Gradient Orientation
        0x00200030,  # Image Position (retired)
        0x00200035,  # Image Orientation (retired)
        0x00209056,  # Stack ID
        0x00209057,  # In-Stack Position Number
        *(0x00540000 | vector for vector in (0x10, 0x20, 0x50, 0x60, 0x70, 0x80, 0x90, 0x100)),
    }
)
"""Beside group 0028 what says how pixels are read and where they lie, in objects of any IOD: a
Rescale Slope in an MR image is not of its IOD, and without it every value would be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedAttributes:
    """The tags that one IOD defines."""

    top: frozenset[int]
    nested: frozenset[int]
    """In any of its sequences, whatever their depth."""

    def has(self, tag: int, *, nested: bool) -> bool:
        """Whether a tag belongs to the object: the IOD defines it, or pixels mean nothing without."""
        is_needed = tag >> 16 == _IMAGE_PRESENTATION or tag in _PIXEL_MEANING
        return is_needed or tag in (self.nested if nested else self.top)


@cache
def _modules() -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
    content = json.loads(table("iod_attributes"))
    return content["sop_classes"], content["modules"]


@cache
def defined_attributes(sop_class_uid: str) -> DefinedAttributes:
    """Return what the IOD of a SOP class defines; nothing for a class that the table lacks."""
    classes, modules = _modules()
    keys = classes.get(sop_class_uid, ())
    return DefinedAttributes(
        top=frozenset(tag for key in keys for tag in _tags(modules[key]["top"])),
        nested=frozenset(tag for key in keys for tag in _tags(modules[key]["nested"])),
    )


def _tags(text: str) -> list[int]:
    return [int(tag, 16) for tag in text.split()]
