"""Elements planted into a canary slice, and what de-identification makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factories import canary_stack, make_series

from clic_edge.deid import DeidKey, Profile, deidentify, part10
from clic_edge.domain.study import Instance, Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clic_edge.deid.part10 import Element

PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")
SOURCE = part10.read(make_series(canary_stack()).instances[0].content)
WRITER = part10.Writer(SOURCE.encoding)
CARRIER = 0x00081115
"""Referenced Series Sequence: of the MR IOD, in itself too, and no row names it."""
DEEP = 3
TOKEN = b"QWX7TOKN"
UID = b"1.2.826.0.1.3680043.10.1561.4711.42"
STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88.33"


def instance(plants: Mapping[int, bytes], sop_class: str = SOURCE.sop_class_uid) -> bytes:
    """Return the canary slice as a Part 10 file with `plants`, elements laid out by tag, in it."""
    chunks = {e.tag: WRITER.element(e.tag, e.vr, bytes(e.value)) for e in SOURCE.elements}
    chunks[0x00080016] = WRITER.element(0x00080016, "UI", sop_class.encode())
    chunks |= plants
    ordered = [chunks[tag] for tag in sorted(chunks)]
    sop = (sop_class, SOURCE.sop_instance_uid)
    return part10.file_bytes(sop, SOURCE.transfer_syntax_uid, ordered)


def clean_bytes(content: bytes, *options: str) -> bytes:
    """Return one instance de-identified with `options`."""
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id="1",
        issuer_of_patient_id="",
        instances=(Instance(content=content),),
    )
    profile = Profile(name="test", options=frozenset(options))
    return deidentify(series, profile, PSEUDONYM).instances[0].content


def cleaned(
    plants: Mapping[int, bytes], *options: str, sop_class: str = SOURCE.sop_class_uid
) -> dict[int, Element]:
    """Return the elements on top of the canary slice after planting and cleaning."""
    return by_tag(part10.read(clean_bytes(instance(plants, sop_class), *options)).elements)


def cleaned_deep(plants: Mapping[int, bytes], *options: str) -> dict[int, Element]:
    """Return the elements of an item three sequences deep after planting and cleaning."""
    inner = b"".join(plants[tag] for tag in sorted(plants))
    for _ in range(DEEP):
        inner = WRITER.sequence(CARRIER, [inner])
    found = cleaned({CARRIER: inner}, *options)
    for _ in range(DEEP):
        (item,) = found[CARRIER].items or ()
        found = by_tag(item)
    return found


def by_tag(elements: Iterable[Element]) -> dict[int, Element]:
    """Return elements by their tag."""
    return {element.tag: element for element in elements}


def value(element: Element) -> bytes:
    """Return a value without padding."""
    return bytes(element.value).rstrip(b" \0")


def code(tag: int, code_value: str, scheme: str, meaning: str) -> bytes:
    """Return a sequence of one code, laid out."""
    item = WRITER.element(0x00080100, "SH", code_value.encode())
    item += WRITER.element(0x00080102, "SH", scheme.encode())
    item += WRITER.element(0x00080104, "LO", meaning.encode()[:64])
    return WRITER.sequence(tag, [item])
