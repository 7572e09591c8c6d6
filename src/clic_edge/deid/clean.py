"""One instance's elements, cleaned by a policy and laid out again in their own encoding."""

from __future__ import annotations

import base64
import hmac
import re
from typing import TYPE_CHECKING, NamedTuple

from pydicom._uid_dict import UID_dictionary

from clic_edge.deid.coded import coded_string
from clic_edge.deid.codes import SCHEME, clean_code
from clic_edge.deid.content_items import CONTENT_SEQUENCE, VALUE_TYPE, ContentRules
from clic_edge.deid.dates import shifted
from clic_edge.deid.descriptors import rebuilt
from clic_edge.deid.dummies import DUMMIES, DUMMY_ITEMS, Template
from clic_edge.deid.graphics import cleaned_bytes
from clic_edge.deid.keys import keyed_uid
from clic_edge.deid.options import CONTENT, SAFE_PRIVATE
from clic_edge.deid.part10 import BULK_TAGS, Element, Encoding, Writer, items_of_unknown
from clic_edge.deid.policy import Action, Policy, Rule
from clic_edge.deid.private import safe_private
from clic_edge.deid.sop_classes import SOP_CLASSES
from clic_edge.deid.values import PRINTABLE, TEXT_VRS, is_what_it_says
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clic_edge.domain.clean import Pseudonym

CHARACTER_SET = 0x00080005
_SPARED_VRS = frozenset(["DA", "DT", "UI"])
_LETTERS_AND_DIGITS = re.compile(rb"[a-z0-9]+")


class Removed(NamedTuple):
    """A value of the source that must not be found in the output."""

    tag: int
    vr: str
    value: bytes
    character_set: bytes
    """Specific Character Set (0008,0005) where the value stood."""


class StandIns:
    """The stand-ins of one subject; remembers what it made in one call."""

    def __init__(self, pseudonym: Pseudonym) -> None:
        self.subject_id = pseudonym.subject_id.encode("ascii")
        self._pseudonym = pseudonym
        self._uids: dict[bytes, bytes] = {}
        self._terms: dict[bytes, bytes] = {}
        self._dates: dict[tuple[bytes, str], bytes | None] = {}
        self._texts: dict[tuple[bytes, str, frozenset[bytes]], bytes | None] = {}

    def uid(self, value: bytes) -> bytes:
        """Return the stand-in of one UID; what DICOM itself registers stays as it is."""
        known = self._uids.get(value)
        if known is None:
            text = value.decode("latin-1")
            stays = not text or is_registered(text)
            known = value if stays else keyed_uid(text, self._pseudonym).encode("ascii")
            self._uids[value] = known
        return known

    def uids(self, value: bytes) -> bytes:
        """Return the stand-ins of all UIDs of a value."""
        return b"\\".join(self.uid(uid) for uid in uid_values(value))

    def shifted(self, value: bytes, vr: str) -> bytes | None:
        """Return a date moved by the subject's days; None where it cannot be."""
        if (value, vr) not in self._dates:
            self._dates[value, vr] = shifted(value, vr, self._pseudonym.date_shift_days)
        return self._dates[value, vr]

    def described(self, value: bytes, vr: str, names: frozenset[bytes]) -> bytes | None:
        """Return what is understood of a text, and names nobody; None if that is nothing."""
        if (value, vr, names) not in self._texts:
            self._texts[value, vr, names] = rebuilt(value, vr, names)
        return self._texts[value, vr, names]

    def coded(self, value: bytes) -> bytes:
        """Return a coded string, ``REMOVED`` in the place of what is no term."""
        if value not in self._terms:
            self._terms[value] = coded_string(value)
        return self._terms[value]

    def labels(self, value: bytes) -> bytes:
        """Return keyed stand-ins of application entity titles."""
        parts = (part.strip(b" \0") for part in value.split(b"\\"))
        return b"\\".join(self._label(part) if part else b"" for part in parts)

    def _label(self, title: bytes) -> bytes:
        digest = hmac.digest(self._pseudonym.uid_key, b"AE\0" + title, "sha256")
        return b"AE-" + base64.b32encode(digest[:5])


def is_registered(uid: str) -> bool:
    """Whether DICOM itself registers a UID (PS3.6 Annex A), so that it tells of no patient."""
    return uid in UID_dictionary or uid in SOP_CLASSES


def uid_values(value: bytes) -> list[bytes]:
    """Return the UIDs of a value without their padding."""
    return [uid.strip(b" \0") for uid in value.split(b"\\")]


class Cleaner:
    """Cleans one instance; `removed` fills with every value that was taken away.

    `spared` fills with the dates and UIDs that an option keeps or made: where they stand, they are
    no trace of the same value removed elsewhere.
    """

    def __init__(self, policy: Policy, encoding: Encoding, stand_ins: StandIns) -> None:
        self.removed: list[Removed] = []
        self.spared: set[tuple[int, bytes]] = set()
        self._policy = policy
        self._writer = Writer(encoding)
        self._little = encoding.little
        self._stand_ins = stand_ins
        self._character_set = b""
        self._names: frozenset[bytes] = frozenset()
        self._content = ContentRules(policy.options, little=encoding.little)
        self._cleans_content = CONTENT in policy.options
        self._in_tree = False
        self._keeps_private = SAFE_PRIVATE in policy.options

    def dataset(self, elements: Sequence[Element], *, nested: bool) -> dict[int, bytes]:
        """Return the elements that are left, by tag, without pixel data; the first of a tag counts."""
        outer = self._character_set
        cleaned: dict[int, bytes] = {}
        if not nested:
            self._names = _names(elements)
        codes, rules = self._special(elements, nested=nested)
        for element in elements:
            tag = element.tag
            if tag in codes:
                replacement = self._writer.element(tag, element.vr, codes[tag])
                if codes[tag] != element.value:
                    self._remember(element)
            elif tag in BULK_TAGS and not nested:
                continue
            else:
                rule = rules.get(tag) or self._policy.rule(tag, nested=nested)
                replacement = self._element(element, rule, elements)
            if replacement:
                cleaned.setdefault(tag, replacement)
        self._character_set = outer
        return cleaned

    def _special(
        self, elements: Sequence[Element], *, nested: bool
    ) -> tuple[dict[int, bytes], dict[int, Rule]]:
        """Return what only the neighbours in one dataset tell: codes, and rules before the policy's."""
        codes: dict[int, bytes] = {}
        rules: dict[int, Rule] = {}
        has_private = False
        for element in elements:
            if element.tag == CHARACTER_SET:
                self._character_set = bytes(element.value)
            elif element.tag == SCHEME and nested:
                codes = clean_code(elements)
            elif element.tag == VALUE_TYPE and nested and self._cleans_content:
                rules |= self._content.rules(elements)
            elif element.tag & 0x10000:
                has_private = True
        if has_private and self._keeps_private:
            rules |= {tag: safe_rule(vrs) for tag, vrs in safe_private(elements).items()}
        return codes, rules

    def _element(self, element: Element, rule: Rule, siblings: Sequence[Element]) -> bytes:
        action = rule.action
        if action is Action.ITEMS:
            return self._items(element, rule)
        if action is Action.UID:
            return self._uids(element)
        if action is Action.KEEP or action is Action.RETAIN:
            if action is Action.KEEP and rule.vr == "CS" and element.vr in {"CS", "UN"}:
                return self._coded(element)
            if is_what_it_says(element, rule, may_be_text=action is Action.RETAIN):
                return self._kept(element, action)
        elif action is not rule.denied:
            made = self._made(element, rule, siblings)
            if made is not None:
                return self._renewed(element, rule, made)
        self._remember(element)
        return self.replacement(element.tag, rule.vr, rule.denied)

    def _kept(self, element: Element, action: Action) -> bytes:
        value = bytes(element.value)
        if action is Action.RETAIN and element.vr in _SPARED_VRS:
            self.spared.add((element.tag, value.rstrip(b" \0")))
        return self._writer.element(element.tag, element.vr, value)

    def _made(self, element: Element, rule: Rule, siblings: Sequence[Element]) -> bytes | None:
        """Return what a value becomes by a rule that cleans it; None where it cannot."""
        if element.items is not None or isinstance(element.value, memoryview):
            return None
        if rule.action is Action.SHIFT:
            return self._stand_ins.shifted(element.value, rule.vr)
        if rule.action is Action.DESCRIBE and rule.vr in TEXT_VRS:
            return self._stand_ins.described(element.value, rule.vr, self._names)
        if rule.action is Action.LABEL:
            return self._stand_ins.labels(element.value)
        if rule.action is Action.BYTES:
            return cleaned_bytes(element, siblings, little=self._little)
        return None

    def _renewed(self, element: Element, rule: Rule, made: bytes) -> bytes:
        if made != bytes(element.value).rstrip(b" \0"):
            self._remember(element)
        if rule.action is Action.SHIFT:
            self.spared.add((element.tag, made))
        vr = element.vr if element.vr in rule.vrs else rule.vr
        return self._writer.element(element.tag, vr, made)

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

    def _items(self, element: Element, rule: Rule) -> bytes:
        if element.items is None:
            items = self._opaque_items(element)
            if items is None:
                self._remember(element)
                return b""
            element = element._replace(vr="SQ", value=b"", items=items)
        outer, is_content = self._in_tree, element.tag == CONTENT_SEQUENCE
        if self._cleans_content and not (outer and is_content):
            had, (element, gone) = element.items, self._content.pruned(element)
            for item in gone:
                self._remember_item(item)
            if had and not element.items:
                return self.replacement(element.tag, "SQ", rule.denied)
        self._in_tree = outer or is_content
        cleaned = [self.dataset(item, nested=True) for item in element.items or ()]
        self._in_tree = outer
        items_out = [b"".join(item[tag] for tag in sorted(item)) for item in cleaned]
        return self._writer.sequence(element.tag, items_out)

    def _opaque_items(self, element: Element) -> tuple[tuple[Element, ...], ...] | None:
        """Return the items of a sequence that the file gives as bytes; None where it is none."""
        if not element.value:
            return ()
        if not self._little:
            return None
        try:
            return items_of_unknown(bytes(element.value))
        except Defect:
            return None

    def _uids(self, element: Element) -> bytes:
        source = bytes(element.value)
        value = self._stand_ins.uids(source)
        if value != source.strip(b" \0"):
            self._remember(element)
        return self._writer.element(element.tag, "UI", value)

    def _coded(self, element: Element) -> bytes:
        source = bytes(element.value)
        value = self._stand_ins.coded(source)
        if value != source:
            self._remember(element)
        return self._writer.element(element.tag, "CS", value)

    def _remember(self, element: Element) -> None:
        if element.items is not None:
            for item in element.items:
                self._remember_item(item)
        elif (
            element.value
            and isinstance(element.value, bytes)
            and (element.vr in TEXT_VRS or PRINTABLE.fullmatch(element.value))
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


def _names(elements: Iterable[Element]) -> frozenset[bytes]:
    """Return the words of all person names on top of an instance, in lower case."""
    names = (bytes(e.value).lower() for e in elements if e.vr == "PN" and e.items is None)
    return frozenset(word for name in names for word in _LETTERS_AND_DIGITS.findall(name))


def safe_rule(vrs: tuple[str, ...]) -> Rule:
    """Return what happens to a private attribute that Table E.3.10-1 lists with these VRs."""
    action = {"SQ": Action.ITEMS, "UI": Action.UID}.get(vrs[0], Action.RETAIN)
    return Rule(
        action=action, vrs=vrs, denied=Action.REMOVE, most_values=0, reason="E.3.10-1 safe private"
    )


def _swapped(value: bytes) -> bytes:
    return b"".join(value[at : at + 2][::-1] for at in range(0, len(value), 2))
