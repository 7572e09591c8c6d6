"""The way back: a result that was made on a clean cohort, under the UIDs and the patient of the originals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.charset import convert_encodings

from clic_edge.deid import part10
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clic_edge.deid.crosswalk import Crosswalk
    from clic_edge.deid.part10 import Element

STUDY, SOP_CLASS, SOP_INSTANCE = 0x0020000D, 0x00080016, 0x00080018
CHARACTER_SET, NAME, PATIENT_ID, ISSUER = 0x00080005, 0x00100010, 0x00100020, 0x00100021
_REFERENCES = frozenset({0x00081155, 0x00081250})
"""Referenced SOP Instance UID, Related Series Instance UID: what must be found in the crosswalk."""
_MARKERS = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280303})
"""What says that the patient is not known; it is, again."""


def study_of(content: bytes) -> str:
    """Return the Study Instance UID of a result: the scope of the crosswalk that it needs."""
    return _first_uid(part10.read(content).elements, STUDY)


def restore(content: bytes, crosswalk: Crosswalk) -> bytes:
    """Return a result with original UIDs, Patient ID, issuer and name; all else stays as it is.

    The UIDs of the result itself stay too. Dates are not moved back.

    Raises
    ------
    Refusal
        ``foreign-result``: of another study or subject; ``unresolved-reference``: it refers to an
        instance that the crosswalk does not know; ``unencodable-name``: the character set of the
        result has no way to write the patient's name or ID.
    Defect
        ``unreadable-instance``.

    """
    source = part10.read(content)
    top = {element.tag: element for element in reversed(source.elements)}
    own = bytes(top[PATIENT_ID].value).strip(b" \0").decode("latin-1") if PATIENT_ID in top else ""
    if _first_uid(source.elements, STUDY) not in crosswalk.uids or own != crosswalk.subject_id:
        raise Refusal("foreign-result", "The result is of another study or subject.")
    lost = sum(uid not in crosswalk.uids for uid in _referenced(source.elements))
    if lost:
        raise Refusal("unresolved-reference", f"{lost} references lead to no original.")
    writer = part10.Writer(source.encoding)
    chunks = {
        element.tag: _restored(element, crosswalk, writer)
        for element in reversed(source.elements)
        if element.tag not in _MARKERS and element.tag & 0xFFFF
    }
    chunks |= _patient(top, crosswalk, writer)
    instance = _first_uid(source.elements, SOP_INSTANCE)
    sop = (_first_uid(source.elements, SOP_CLASS), crosswalk.uids.get(instance, instance))
    body = [part for tag in sorted(chunks) for part in chunks[tag]]
    return part10.file_bytes(sop, source.transfer_syntax_uid, body)


def _restored(
    element: Element, crosswalk: Crosswalk, writer: part10.Writer
) -> list[bytes | memoryview]:
    if element.tag in part10.BULK_TAGS:
        return writer.bulk(element)
    if element.items is not None:
        items = (
            b"".join(bytes(part) for inner in item for part in _restored(inner, crosswalk, writer))
            for item in element.items
        )
        return [writer.sequence(element.tag, items)]
    value = bytes(element.value)
    if element.vr == "UI":
        uids = (uid.strip(" \0") for uid in value.decode("latin-1").split("\\"))
        value = "\\".join(crosswalk.uids.get(uid, uid) for uid in uids).encode("latin-1")
    return [writer.element(element.tag, element.vr, value)]


def _patient(
    top: dict[int, Element], crosswalk: Crosswalk, writer: part10.Writer
) -> dict[int, list[bytes | memoryview]]:
    terms = bytes(top[CHARACTER_SET].value).decode("latin-1") if CHARACTER_SET in top else ""
    first = terms.split("\\")[0].strip(" \0")
    encoding = convert_encodings([first])[0] if first else "ascii"
    values = {
        NAME: ("PN", crosswalk.patient_name),
        PATIENT_ID: ("LO", crosswalk.patient_id),
        ISSUER: ("LO", crosswalk.issuer_of_patient_id),
    }
    try:
        return {
            tag: [writer.element(tag, vr, text.encode(encoding))]
            for tag, (vr, text) in values.items()
            if text or tag != ISSUER
        }
    except UnicodeEncodeError:
        raise Refusal(
            "unencodable-name",
            "The result's character set (0008,0005) can't write the patient's name or ID.",
        ) from None


def _referenced(elements: Sequence[Element]) -> Iterator[str]:
    for element in elements:
        for item in element.items or ():
            yield from _referenced(item)
        if element.tag in _REFERENCES:
            yield bytes(element.value).strip(b" \0").decode("latin-1")


def _first_uid(elements: Sequence[Element], tag: int) -> str:
    value = next((bytes(one.value) for one in elements if one.tag == tag), b"")
    return value.strip(b" \0").decode("latin-1")
