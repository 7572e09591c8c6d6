"""The compiled policy: for each tag, what happens and by which rule.

Rules, first match: private groups, group lengths and retired repeating groups go; the rows of
Table E.1-1 as the profile says; then, for what no row names, a rule by VR that keeps numbers,
coded strings, UIDs by role and a short list of technical text, and denies the rest. Denied means
``X/Z/D``: a dummy where the object's IOD asks for a value, empty where it asks for the attribute,
and else removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_VM

from clic_edge.deid.part10 import vrs_of
from clic_edge.deid.standard import attribute_types, confidentiality_rows

if TYPE_CHECKING:
    from clic_edge.deid.profile import Profile


class Action(Enum):
    """What happens to one attribute."""

    KEEP = "K"
    """If its value is what its VR says, byte for byte; else denied."""
    ITEMS = "items"
    """A sequence: each item is cleaned by the same rules."""
    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    """Every UID is replaced by its keyed one, but for those that DICOM itself registers."""
    SUBJECT = "subject"
    """Replaced by the pseudonym's subject_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to one tag, and why."""

    action: Action
    vr: str
    """What a replacement is written as."""
    denied: Action
    """What happens instead of KEEP when the value is not what its VR says."""
    most_values: int
    """Most values that the dictionary allows; 0 for any number."""
    reason: str
    """``E.1-1 X/Z``, ``private``, ``unnamed text``, …"""


SUBJECT_TAGS = frozenset({0x00100010, 0x00100020})

TECHNICAL_TEXT = frozenset(
    {
        0x00080070,  # Manufacturer
        0x00081090,  # Manufacturer's Model Name
        0x00180024,  # Sequence Name
        0x00180085,  # Imaged Nucleus
        0x00181020,  # Software Versions
        0x00181160,  # Filter Type
        0x00181210,  # Convolution Kernel
        0x00181250,  # Receive Coil Name
        0x00181251,  # Transmit Coil Name
        0x00189005,  # Pulse Sequence Name
        0x00209056,  # Stack ID
        0x00281054,  # Rescale Type
        0x00541101,  # Attenuation Correction Method
        0x00541103,  # Reconstruction Method
        0x00541105,  # Scatter Correction Method
    }
)
"""Text that no row of E.1-1 names and that images cannot be used without; printable ASCII only."""

_BINARY = frozenset(
    {0x00282000, 0x54001010, 0x00189810, 0x003A0112, 0x5400100A, 0x54000110, 0x54000112}
)
"""OB that is kept: ICC Profile, waveforms and their padding."""

_OF_NO_DATASET = frozenset({0x0000, 0x0002, 0x0004, 0xFFFC, 0xFFFE})
"""Groups of messages, File Meta, directories and padding; in a dataset they are removed."""

_NUMBERS = frozenset(
    ["AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV", "OD", "OF", "OL", "OV", "OW"]
)


def text_is_denied(tag: int, vr: str) -> bool:
    """Whether a tag that no row names holds text, a person, a date or opaque bytes."""
    if tag in TECHNICAL_TEXT:
        return False
    return vr not in _NUMBERS | {"CS", "SQ", "UI"} and tag not in _BINARY


def needs_type(tag: int) -> bool:
    """Whether an attribute's type (1, 2, 3) decides what happens to it."""
    row = _rows().get(tag)
    return "/" in row if row else (vrs_of(tag) or ("UN",))[0] not in {"CS", "SQ", "UI"}


@cache
def _rows() -> dict[int, str]:
    return {row.tag: row.basic_profile for row in confidentiality_rows() if row.tag is not None}


def resolve(code: str, attribute_type: int) -> Action:
    """Return the action that a code of Table E.1-1 means for an attribute of type 1, 2 or 3.

    ``X/Z/U*`` always cleans the references instead of removing them, so that they still resolve.
    """
    letters = code.rstrip("*").split("/")
    if "U" in letters:
        return Action.ITEMS if len(letters) > 1 else Action.UID
    wanted = {1: "DZ", 2: "ZD", 3: letters[0]}[attribute_type]
    return Action(next((letter for letter in wanted if letter in letters), letters[0]))


class Policy:
    """The rules for one profile and SOP class; worked out once for each tag and then remembered."""

    def __init__(self, profile: Profile, sop_class_uid: str) -> None:
        self._profile = profile
        self._sop_class_uid = sop_class_uid
        self._known: tuple[dict[int, Rule], dict[int, Rule]] = ({}, {})

    def rule(self, tag: int, *, nested: bool) -> Rule:
        """Return what happens to a tag, on top of the dataset or inside a sequence."""
        known = self._known[nested]
        if tag not in known:
            known[tag] = self._compile(tag, nested=nested)
        return known[tag]

    def _compile(self, tag: int, *, nested: bool) -> Rule:
        vrs = vrs_of(tag)
        vr = vrs[0] if vrs else "UN"
        denied = resolve("X/Z/D", attribute_types().of(self._sop_class_uid, tag, nested=nested))
        action, reason = self._named(tag, nested=nested) or _unnamed(tag, vr, denied, nested=nested)
        return Rule(
            action=action, vr=vr, denied=denied, most_values=_most_values(tag), reason=reason
        )

    def _named(self, tag: int, *, nested: bool) -> tuple[Action, str] | None:
        """Return what Table E.1-1 says of a tag; None where it says nothing."""
        group, code = tag >> 16, _rows().get(tag)
        if group % 2:
            return Action.REMOVE, "E.1-1 private"
        if group & 0xFF00 in {0x5000, 0x6000}:
            return Action.REMOVE, "E.1-1 repeating group"
        if code is None:
            return None
        if group in _OF_NO_DATASET:
            return Action.REMOVE, f"E.1-1 {code}, of no dataset"
        if tag in SUBJECT_TAGS:
            return Action.SUBJECT, f"E.1-1 {code}"
        kind = attribute_types().of(self._sop_class_uid, tag, nested=nested)
        return resolve(code, kind), f"E.1-1 {code}"


def _unnamed(tag: int, vr: str, denied: Action, *, nested: bool) -> tuple[Action, str]:
    """Return what happens to a tag that no row of Table E.1-1 names."""
    is_of_no_object = tag >> 16 in _OF_NO_DATASET or not tag & 0xFFFF
    cases = (
        (is_of_no_object or not vrs_of(tag), Action.REMOVE, "unknown"),
        (nested and tag >> 16 == 0x7FE0, Action.REMOVE, "nested pixels"),  # noqa: PLR2004 - group
        (vr == "SQ", Action.ITEMS, "sequence"),
        (vr == "UI", Action.UID, "unnamed UID"),
        (text_is_denied(tag, vr), denied, "unnamed text"),
        (True, Action.KEEP, "technical"),
    )
    return next((action, reason) for applies, action, reason in cases if applies)


def _most_values(tag: int) -> int:
    multiplicity = dictionary_VM(tag) if vrs_of(tag) else ""
    most = multiplicity.rpartition("-")[2]
    return int(most) if most.isdigit() else 0


@cache
def compiled(profile: Profile, sop_class_uid: str) -> Policy:
    """Return the policy of a profile for a SOP class."""
    return Policy(profile, sop_class_uid)
