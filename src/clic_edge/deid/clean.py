"""One instance's elements, cleaned by a policy and laid out again in their own encoding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pydicom._uid_dict import UID_dictionary

from clic_edge.deid.codes import SCHEME, clean_code
from clic_edge.deid.dummies import DUMMIES, DUMMY_ITEMS, REMOVED, Template
from clic_edge.deid.keys import keyed_uid
from clic_edge.deid.part10 import BULK_TAGS, Element, Encoding, Writer, vrs_of
from clic_edge.deid.policy import Action, Policy, Rule
from clic_edge.deid.sop_classes import SOP_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clic_edge.domain.clean import Pseudonym

CHARACTER_SET = 0x00080005
_CODED = re.compile(rb"[A-Z0-9_ ]{0,16}")
_VALID = {
    "DS": re.compile(rb"[-+0-9.eE \\]*\0?"),
    "IS": re.compile(rb"[-+0-9 \\]*\0?"),
}
_WORDS = re.compile(rb"[ -~]{6}")
_ALL_WORDS = re.compile(rb"[ -~]{6,}\0?")
_PRINTABLE = re.compile(rb"[ -~]*\0?")
_SIZES = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
_TEXT_VRS = frozenset(
    [
        "AE",
        "AS",
        "CS",
        "DA",
        "DS",
        "DT",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "ST",
        "TM",
        "UC",
        "UI",
        "UR",
        "UT",
    ]
)


class Removed(NamedTuple):
    """A value of the source that must not be found in the output."""

    tag: int
    vr: str
    value: bytes
    character_set: bytes
    """Specific Character Set (0008,0005) where the value stood."""


class StandIns:
    """The stand-ins of one subject; remembers the keyed UIDs of one call."""

    def __init__(self, pseudonym: Pseudonym) -> None:
        self.subject_id = pseudonym.subject_id.encode("ascii")
        self._pseudonym = pseudonym
        self._known: dict[bytes, bytes] = {}

    def uid(self, value: bytes) -> bytes:
        """Return the stand-in of one UID; what DICOM itself registers stays as it is."""
        known = self._known.get(value)
        if known is None:
            text = value.decode("latin-1")
            stays = not text or is_registered(text)
            known = value if stays else keyed_uid(text, self._pseudonym).encode("ascii")
            self._known[value] = known
        return known

    def uids(self, value: bytes) -> bytes:
        """Return the stand-ins of all UIDs of a value."""
        return b"\\".join(self.uid(uid) for uid in uid_values(value))


def is_registered(uid: str) -> bool:
    """Whether DICOM itself registers a UID (PS3.6 Annex A), so that it tells of no patient."""
    return uid in UID_dictionary or uid in SOP_CLASSES


def uid_values(value: bytes) -> list[bytes]:
    """Return the UIDs of a value without their padding."""
    return [uid.strip(b" \0") for uid in value.split(b"\\")]


class Cleaner:
    """Cleans one instance; `removed` fills with every value that was taken away."""

    def __init__(self, policy: Policy, encoding: Encoding, stand_ins: StandIns) -> None:
        self.removed: list[Removed] = []
        self._policy = policy
        self._writer = Writer(encoding)
        self._little = encoding.little
        self._stand_ins = stand_ins
        self._character_set = b""

    def dataset(self, elements: Sequence[Element], *, nested: bool) -> dict[int, bytes]:
        """Return the elements that are left, by tag, without pixel data; the first of a tag counts."""
        outer = self._character_set
        cleaned: dict[int, bytes] = {}
        codes: dict[int, bytes] = {}
        for element in elements:
            if element.tag == CHARACTER_SET:
                self._character_set = bytes(element.value)
            elif element.tag == SCHEME and nested:
                codes = clean_code(elements)
        for element in elements:
            tag = element.tag
            if tag in codes:
                replacement = self._writer.element(tag, element.vr, codes[tag])
                if codes[tag] != element.value:
                    self._remember(element)
            elif tag in BULK_TAGS and not nested:
                continue
            else:
                replacement = self._element(element, self._policy.rule(tag, nested=nested))
            if replacement:
                cleaned.setdefault(tag, replacement)
        self._character_set = outer
        return cleaned

    def _element(self, element: Element, rule: Rule) -> bytes:
        if rule.action is Action.ITEMS:
            return self._items(element)
        if rule.action is Action.UID:
            return self._uids(element)
        if rule.action is Action.KEEP:
            if rule.vr == "CS" and element.vr in {"CS", "UN"}:
                return self._coded(element)
            if _is_what_it_says(element, rule):
                return self._writer.element(element.tag, element.vr, bytes(element.value))
        action = rule.denied if rule.action is Action.KEEP else rule.action
        self._remember(element)
        return self.replacement(element.tag, rule.vr, action)

    def replacement(self, tag: int, vr: str, action: Action) -> bytes:
        """Return what stands in for a value under X, Z, D or the subject's own label."""
        if action is Action.REMOVE:
            return b""
        if vr == "SQ":
            is_dummy = action is Action.DUMMY
            items = [self._dummy_item(DUMMY_ITEMS.get(tag, ()))] if is_dummy else []
            return self._writer.sequence(tag, items)
        if action is Action.SUBJECT:
            return self._writer.element(tag, vr, self._stand_ins.subject_id)
        value = DUMMIES[vr] if action is Action.DUMMY else b""
        return self._writer.element(tag, vr, value)

    def _dummy_item(self, template: Template) -> bytes:
        parts = []
        for tag, vr, value in template:
            if isinstance(value, bytes):
                ordered = value if self._little or vr != "US" else _swapped(value)
                parts.append(self._writer.element(tag, vr, ordered))
            else:
                items = [self._dummy_item(value)] if value else []
                parts.append(self._writer.sequence(tag, items))
        return b"".join(parts)

    def _items(self, element: Element) -> bytes:
        if element.items is None:
            if element.value:  # of unknown VR and so opaque
                self._remember(element)
                return b""
            return self._writer.sequence(element.tag, ())
        cleaned = [self.dataset(item, nested=True) for item in element.items]
        items = [b"".join(item[tag] for tag in sorted(item)) for item in cleaned]
        return self._writer.sequence(element.tag, items)

    def _uids(self, element: Element) -> bytes:
        source = bytes(element.value)
        value = self._stand_ins.uids(source)
        if value != source.strip(b" \0"):
            self._remember(element)
        return self._writer.element(element.tag, "UI", value)

    def _coded(self, element: Element) -> bytes:
        values = [value.strip(b" \0") for value in bytes(element.value).split(b"\\")]
        if all(_CODED.fullmatch(value) for value in values):
            return self._writer.element(element.tag, "CS", bytes(element.value))
        self._remember(element)
        coded = [value if _CODED.fullmatch(value) else REMOVED.encode() for value in values]
        return self._writer.element(element.tag, "CS", b"\\".join(coded))

    def _remember(self, element: Element) -> None:
        if element.items is not None:
            for item in element.items:
                self._remember_item(item)
        elif (
            element.value
            and isinstance(element.value, bytes)
            and (element.vr in _TEXT_VRS or _PRINTABLE.fullmatch(element.value))
        ):
            removed = Removed(element.tag, element.vr, element.value, self._character_set)
            self.removed.append(removed)

    def _remember_item(self, elements: Iterable[Element]) -> None:
        outer = self._character_set
        for element in elements:
            if element.tag == CHARACTER_SET:
                self._character_set = bytes(element.value)
            self._remember(element)
        self._character_set = outer


def _is_what_it_says(element: Element, rule: Rule) -> bool:
    """Whether a value that is to be kept is of its VR and multiplicity, so that no text hides in it."""
    if element.items is not None or isinstance(element.value, memoryview):
        return False
    is_unknown = element.vr == "UN"
    vr = rule.vr if is_unknown else element.vr
    if vr not in vrs_of(element.tag):
        return False
    if vr in _SIZES:
        size = len(element.value)
        fits = not rule.most_values or size <= rule.most_values * _SIZES[vr]
        is_text = (
            _WORDS.search(element.value) if is_unknown else _ALL_WORDS.fullmatch(element.value)
        )
        return fits and size % _SIZES[vr] == 0 and not is_text
    if vr in _VALID:
        return _VALID[vr].fullmatch(element.value) is not None
    if vr[0] == "O":
        return not is_unknown
    return _PRINTABLE.fullmatch(element.value) is not None


def _swapped(value: bytes) -> bytes:
    return b"".join(value[at : at + 2][::-1] for at in range(0, len(value), 2))
