"""The compiled policy: for each tag, what happens and by which rule.

Rules, first match: private groups go (safe ones are known by their creator, see `private`), and so
do overlays and curves unless graphics are cleaned; the rows of Table E.1-1 as the profile's options
say; what the object's IOD does not define goes; then a rule by VR keeps numbers, coded strings,
UIDs by role and a short list of technical text, and denies the rest. Denied means ``X/Z/D``: a
dummy where the object's IOD asks for a value, empty where it asks for the attribute, and else
removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_has_tag, dictionary_VM

from clic_edge.deid import options
from clic_edge.deid.graphics import ICC_PROFILE, is_graphics, is_sound
from clic_edge.deid.iods import defined_attributes
from clic_edge.deid.part10 import vrs_of
from clic_edge.deid.standard import ConfidentialityRow, attribute_types, confidentiality_rows
from clic_edge.deid.values import FREE_TEXT_VRS, NUMBER_VRS

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
    RETAIN = "retain"
    """Kept by an option: text as it is, all else if its value is what its VR says."""
    SHIFT = "shift"
    """Dates moved by the subject's days; times of day kept."""
    DESCRIBE = "describe"
    """Rebuilt from allowed words."""
    LABEL = "label"
    """An application entity's keyed stand-in."""
    BYTES = "bytes"
    """Overlay Data without thin strokes, Curve Data if it holds no text, ICC Profile without text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to one tag, and why."""

    action: Action
    vrs: tuple[str, ...]
    """The VRs that the attribute may have."""
    denied: Action
    """What happens instead when a value cannot be kept, moved or rebuilt; else the action itself."""
    most_values: int
    """Most values that the dictionary allows; 0 for any number."""
    reason: str
    """``E.1-1 X/Z``, ``E.1-1 K retain_uids``, ``unnamed text``, …"""

    @property
    def vr(self) -> str:
        """What a replacement is written as."""
        return self.vrs[0] if self.vrs else "UN"


_Outcome = tuple[Action, Action, str]
"""Action, what happens instead where it cannot be done, and the reason."""

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
    {ICC_PROFILE, 0x54001010, 0x00189810, 0x003A0112, 0x5400100A, 0x54000110, 0x54000112}
)
"""OB that is kept: ICC Profile, waveforms and their padding."""

_DESCRIBED = FREE_TEXT_VRS - {"PN", "UR"}

_REPLACEMENTS = frozenset([Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.SUBJECT])
"""Actions that never look at the value."""

_OF_NO_DATASET = frozenset({0x0000, 0x0002, 0x0004, 0xFFFC, 0xFFFE})
"""Groups of messages, File Meta, directories and padding; in a dataset they are removed."""

_CLEANINGS = {
    options.MODIFIED_DATES: Action.SHIFT,
    options.DEVICE: Action.LABEL,
    options.GRAPHICS: Action.BYTES,
}
"""What an option's action C does to a value; a sequence is always cleaned item by item."""


def text_is_denied(tag: int, vr: str) -> bool:
    """Whether a tag that no row names holds text, a person, a date or opaque bytes."""
    if tag in TECHNICAL_TEXT:
        return False
    return vr not in NUMBER_VRS | {"CS", "SQ", "UI"} and tag not in _BINARY


def needs_type(tag: int) -> bool:
    """Whether an attribute's type (1, 2, 3) decides what happens to it."""
    row = _rows().get(tag)
    return (
        "/" in row.basic_profile if row else (vrs_of(tag) or ("UN",))[0] not in {"CS", "SQ", "UI"}
    )


@cache
def _rows() -> dict[int, ConfidentialityRow]:
    return {row.tag: row for row in confidentiality_rows() if row.tag is not None}


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
        self.options = profile.options
        self._sop_class_uid = sop_class_uid
        self._defined = defined_attributes(sop_class_uid)
        self._known: tuple[dict[int, Rule], dict[int, Rule]] = ({}, {})

    def rule(self, tag: int, *, nested: bool) -> Rule:
        """Return what happens to a tag, on top of the dataset or inside a sequence."""
        known = self._known[nested]
        if tag not in known:
            known[tag] = self._compile(tag, nested=nested)
        return known[tag]

    def _compile(self, tag: int, *, nested: bool) -> Rule:
        kind = attribute_types().of(self._sop_class_uid, tag, nested=nested)
        denied = resolve("X/Z/D", kind)
        action, denied, reason = (
            self._of_group(tag)
            or self._named(tag, kind)
            or self._unnamed(tag, denied, nested=nested)
        )
        if action in _REPLACEMENTS:
            denied = action
        most = _most_values(tag)
        return Rule(action=action, vrs=vrs_of(tag), denied=denied, most_values=most, reason=reason)

    def _of_group(self, tag: int) -> _Outcome | None:
        """Return what happens to whole groups: private ones, overlays and curves."""
        remove = Action.REMOVE
        if tag >> 16 & 1:
            return remove, remove, "E.1-1 private"
        if not is_graphics(tag):
            return None
        reason = "E.1-1 repeating group"
        vr = (vrs_of(tag) or ("UN",))[0]
        if options.GRAPHICS not in self.options or not vrs_of(tag) or is_sound(tag):
            return remove, remove, reason
        reason = f"{reason} C {options.GRAPHICS}"
        if vr.startswith("O"):
            return Action.BYTES, remove, reason
        if vr in FREE_TEXT_VRS:
            return Action.DESCRIBE, remove, reason
        return (Action.ITEMS if vr == "SQ" else Action.KEEP), remove, reason

    def _named(self, tag: int, kind: int) -> _Outcome | None:
        """Return what Table E.1-1 says of a tag; None where it says nothing."""
        row = _rows().get(tag)
        if row is None:
            return None
        code = row.basic_profile
        if tag >> 16 in _OF_NO_DATASET:
            return Action.REMOVE, Action.REMOVE, f"E.1-1 {code}, of no dataset"
        basic = Action.SUBJECT if tag in SUBJECT_TAGS else resolve(code, kind)
        cell = options.deciding_cell(row.options, self.options)
        if cell is None:
            return basic, basic, f"E.1-1 {code}"
        option, letter = cell
        cleaning = _CLEANINGS.get(option, Action.DESCRIBE) if letter == "C" else Action.RETAIN
        is_sequence = vrs_of(tag) == ("SQ",)
        action = Action.ITEMS if is_sequence else cleaning
        return action, basic, f"E.1-1 {letter} {option}"

    def _unnamed(self, tag: int, denied: Action, *, nested: bool) -> _Outcome:
        """Return what happens to a tag that no row of Table E.1-1 names."""
        vr = (vrs_of(tag) or ("UN",))[0]
        is_of_no_object = tag >> 16 in _OF_NO_DATASET or not tag & 0xFFFF
        uid = Action.RETAIN if options.UIDS in self.options else Action.UID
        text = Action.DESCRIBE if options.DESCRIPTORS in self.options else denied
        cases = (
            (is_of_no_object or not vrs_of(tag), Action.REMOVE, "unknown"),
            (nested and tag >> 16 == 0x7FE0, Action.REMOVE, "nested pixels"),  # noqa: PLR2004 - group
            (not self._defined.has(tag, nested=nested), Action.REMOVE, "not of the IOD"),
            (vr == "SQ", Action.ITEMS, "sequence"),
            (vr == "UI", uid, "unnamed UID"),
            (tag == ICC_PROFILE, Action.BYTES, "colour profile"),
            (text_is_denied(tag, vr), text if vr in _DESCRIBED else denied, "unnamed text"),
            (True, Action.KEEP, "technical"),
        )
        action, reason = next((action, reason) for applies, action, reason in cases if applies)
        return action, denied, reason


def _most_values(tag: int) -> int:
    multiplicity = dictionary_VM(tag) if dictionary_has_tag(tag) else ""
    most = multiplicity.rpartition("-")[2]
    return int(most) if most.isdigit() else 0


@cache
def compiled(profile: Profile, sop_class_uid: str) -> Policy:
    """Return the policy of a profile for a SOP class."""
    return Policy(profile, sop_class_uid)
