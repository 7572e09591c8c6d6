"""Result objects as a destination takes them: same content, another encoding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultKind

UTF_8 = "ISO_IR 192"
CODECS = {"ISO_IR 100": "iso-8859-1", "ISO_IR 101": "iso-8859-2", "ISO_IR 144": "iso-8859-5"}
"""Single-byte character sets that a destination may ask for (PS3.3 C.12.1.1.2)."""
_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""The representations that Specific Character Set governs (PS3.5 6.1.2.2)."""
SYNTAXES = {
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-2000": JPEG2000Lossless,
}
"""Of each compression."""
_WHOLE_BYTES = frozenset({8, 16})
"""Bits Allocated of pixels that RLE and JPEG 2000 pack; a binary mask holds bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a destination wants what it is sent; by default as it was written."""

    compression: tuple[tuple[ResultKind, str], ...] = field(default=())
    """``deflated``, ``rle`` or ``jpeg-2000``, by kind; what can't be so goes as it is."""
    character_set: str = UTF_8

    def preferred(self, kind: ResultKind, ds: Dataset) -> str | None:
        """Return the transfer syntax to try before the dataset's own, None for none."""
        if ds.file_meta.TransferSyntaxUID != ExplicitVRLittleEndian:
            return None  # already compressed, or as old writers leave it
        wanted = dict(self.compression).get(kind, "none")
        has_bytes = "PixelData" in ds and ds.BitsAllocated in _WHOLE_BYTES
        return SYNTAXES.get(wanted) if has_bytes or wanted == "deflated" else None


def contexts_of(ds: Dataset, preferred: str | None) -> Iterator[tuple[str, str]]:
    """Yield what to propose for a dataset: preferred, as encoded, plain where it can be."""
    syntax = ds.file_meta.TransferSyntaxUID
    if preferred:
        yield ds.SOPClassUID, preferred
    yield ds.SOPClassUID, syntax
    if syntax.is_little_endian and not syntax.is_compressed:
        yield ds.SOPClassUID, ExplicitVRLittleEndian
        yield ds.SOPClassUID, ImplicitVRLittleEndian


def compress(ds: Dataset, syntax: str) -> None:
    """Encode a dataset, in place, in the transfer syntax that a destination prefers.

    Raises Defect ``unsendable-result``.
    """
    if syntax == DeflatedExplicitVRLittleEndian:
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        return
    try:
        ds.compress(syntax, generate_instance_uid=False)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise Defect("unsendable-result", "The pixels cannot be compressed.") from error


def transcribe(ds: Dataset, character_set: str) -> bool:
    """Write the text of a dataset, in place, in another character set; False where it can't.

    A letter that the character set lacks would file the object under another name, so then
    nothing is changed.
    """
    if character_set == UTF_8 or str(ds.get("SpecificCharacterSet", "")) == character_set:
        return True
    ds.decode()
    codec = CODECS[character_set]
    texts = [str(one) for one in _texts(ds)]
    if any(not _fits(text, codec) for text in texts):
        return False
    _replace(ds, character_set)
    ds.SpecificCharacterSet = character_set
    return True


def _texts(ds: Dataset) -> Iterator[object]:
    for element in ds.iterall():
        if element.VR in _TEXT and element.value:
            yield from element.value if element.VM > 1 else (element.value,)


def _fits(text: str, codec: str) -> bool:
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _replace(ds: Dataset, character_set: str) -> None:
    """Set the character set of the dataset and of every item that names its own."""
    if "SpecificCharacterSet" in ds:
        ds.SpecificCharacterSet = character_set
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                _replace(item, character_set)
