"""What may be said of pixels without looking at them: which are refused or looked at, where they end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from clic_edge.deid.sop_classes import SOP_CLASSES, PixelRisk
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.deid.part10 import Element, Encoding
    from clic_edge.deid.profile import PixelTreatment

IMAGE_TYPE, PHOTOMETRIC, BURNED_IN = 0x00080008, 0x00280004, 0x00280301
LABEL_IN_IMAGE = 0x00480010
CONVERSION_TYPE = 0x00080064
PIXEL_DATA = 0x7FE00010
NUMBER_OF_FRAMES = 0x00280008
_COUNT = re.compile(r"[0-9]{1,12}")
"""An integer string (PS3.5 6.2): other digits than these are digits too, but no numbers."""
_SCREENS = frozenset({"SCREEN SAVE", "SCREENSAVE", "SCREENSHOT", "SCREEN", "LABEL", "OVERVIEW"})

_NOT_JUDGED = "1.2.840.10008.5.1.4.1.1.77."
"""Photographs and microscopy: a face, a label or an eye tells of a person without any text."""
_JUDGED_OF_THOSE = "1.2.840.10008.5.1.4.1.1.77.1.5.4"
"""Ophthalmic tomography: sections, as other scanners make them."""
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


def must_be_looked_at(
    sop_class_uid: str, elements: Mapping[int, Element], treatment: PixelTreatment
) -> bool:
    """Return whether text has to be looked for in an instance's pixels; raises as `check_pixels`.

    Under ``keep`` nothing is looked for, whatever the pixels may show: they stay on the appliance.
    The label of a slide, which is nothing but text, does not pass even there.
    Under ``redact`` that is every image of a class that may show text, whatever it says of itself,
    and colour and screen saves of scanners; under ``redact-all`` every acquired image as well.
    """
    risk = SOP_CLASSES.get(sop_class_uid, PixelRisk.NONE)
    if sop_class_uid == _WHOLE_SLIDE:
        _check_slide(elements)
    if treatment == "keep" and sop_class_uid in SOP_CLASSES:
        return False
    may_look = risk is not PixelRisk.NONE and PIXEL_DATA in elements
    if sop_class_uid.startswith(_NOT_JUDGED) and sop_class_uid != _JUDGED_OF_THOSE:
        may_look = False
    if treatment != "refuse" and may_look and risk is not PixelRisk.ACQUIRED:
        return True
    try:
        check_pixels(sop_class_uid, elements)
    except Refusal:
        if treatment == "refuse" or not may_look:
            raise
        return True
    return treatment == "redact-all" and may_look


def check_pixels(sop_class_uid: str, elements: Mapping[int, Element]) -> None:
    """Return when no pixel cleaner is needed for an instance's top-level `elements`.

    Raises
    ------
    Refusal
        ``not-deidentifiable``: its class is not in `SOP_CLASSES`.
        ``burned-in-annotation``: Burned In Annotation is there and not NO.
        ``unsafe-pixels``: images of its kind may show text, or hold overlays in unused bits.

    """
    risk = SOP_CLASSES.get(sop_class_uid)
    if risk is None:
        raise Refusal(
            "not-deidentifiable", "Objects of this SOP class (0008,0016) can't be de-identified."
        )
    burned_in = _values(elements, BURNED_IN)
    if burned_in - {"", "NO"}:
        raise Refusal(
            "burned-in-annotation",
            "Burned In Annotation (0028,0301) says that the pixels show text; they can't be cleaned yet.",
        )
    if risk is PixelRisk.SHOWN or (risk is PixelRisk.DECLARED and "NO" not in burned_in):
        raise _unsafe("images of this SOP class may show text, and can't be cleaned yet")
    if risk is PixelRisk.ACQUIRED and PIXEL_DATA in elements:
        _check_acquired(elements)
    _check_overlays(elements)


def _check_acquired(elements: Mapping[int, Element]) -> None:
    photometric = _values(elements, PHOTOMETRIC)
    if not photometric <= {"MONOCHROME1", "MONOCHROME2"}:
        raise _unsafe("a colour image (0028,0004) of a scanner is a screen save or a fusion")
    if _values(elements, IMAGE_TYPE) & _SCREENS or _values(elements, CONVERSION_TYPE) - {""}:
        raise _unsafe(
            "Image Type (0008,0008) or Conversion Type (0008,0064) tells of a screen save"
        )


def _check_slide(elements: Mapping[int, Element]) -> None:
    """Let tissue pass alone: a label tells the patient's name, and an overview shows the label.

    What an image says of itself is believed only where it says both: that it is a VOLUME
    (PS3.3 C.8.12.4.1.1), and that no label is in it.
    """
    kinds = _values(elements, IMAGE_TYPE)
    if "VOLUME" not in kinds or kinds & _SCREENS:
        raise _unsafe(
            "Image Type (0008,0008) does not say that this is tissue alone: a slide's label, or the"
            " slide as a whole"
        )
    if _values(elements, LABEL_IN_IMAGE) != {"NO"}:
        raise _unsafe("Specimen Label in Image (0048,0010) does not say that no label is in it")


def _check_overlays(elements: Mapping[int, Element]) -> None:
    for tag, element in elements.items():
        is_position = tag & 0xFF01FFFF == 0x60000102 and any(element.value)  # noqa: PLR2004 - a tag
        if is_position and (tag & 0xFFFF0000 | 0x3000) not in elements:
            raise _unsafe("an overlay is held in unused bits of the pixels (60xx,0102)")


def _unsafe(why: str) -> Refusal:
    return Refusal("unsafe-pixels", f"The pixels are not known to be free of text: {why}.")


def _values(elements: Mapping[int, Element], tag: int) -> set[str]:
    if tag not in elements:
        return set()
    text = bytes(elements[tag].value).decode("latin-1")
    return {value.strip(" \0") for value in text.split("\\")}


def pixel_bytes(elements: Mapping[int, Element], encoding: Encoding) -> bytes | memoryview:
    """Return native pixel data without what lies behind the last pixel, where that can be told."""
    value = elements[PIXEL_DATA].value

    def number(tag: int) -> int:
        raw = elements[tag].value if tag in elements else b""
        order: Literal["little", "big"] = "little" if encoding.little else "big"
        return int.from_bytes(raw, order) if len(raw) == 2 else 0  # noqa: PLR2004 - VR US

    if any(photometric.endswith("_422") for photometric in _values(elements, PHOTOMETRIC)):
        return value
    frames = next(iter(_values(elements, NUMBER_OF_FRAMES)), "1") or "1"
    if not _COUNT.fullmatch(frames):
        return value
    samples = number(0x00280002) * number(0x00280010) * number(0x00280011) * int(frames)
    size = (samples * number(0x00280100) + 7) // 8
    size += size % 2
    return value[:size] if size else value
