"""The objects that tokens are planted in, and the ways in."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
from factories import Stack, make_slice
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import JPEGBaseline8Bit

if TYPE_CHECKING:
    from collections.abc import Callable

CODECS = (
    "utf-8",
    "latin-1",
    "utf-16-le",
    "utf-16-be",
    "iso8859_2",
    "iso8859_5",
    "iso8859_6",
    "iso8859_7",
    "iso8859_8",
    "tis_620",
    "shift_jis",
    "iso2022_jp",
    "euc_kr",
    "euc_jp",
    "gb2312",
    "gb18030",
)
"""Of what is searched: every encoding that a word may stand in."""
REPORT, STATE, STRUCTURES, SEGMENTATION = (
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.11.1",
    "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.840.10008.5.1.4.1.1.66.4",
)
_OF_IMAGES = 0x0028


def item(tag: int, vr: str, value: object) -> Dataset:
    """Return an item of one attribute."""
    ds = Dataset()
    ds.add_new(tag, vr, value)
    return ds


def sequence(ds: Dataset, keyword: str, inner: Dataset) -> None:
    """Add a sequence of one item."""
    setattr(ds, keyword, [inner])


def add_nested(ds: Dataset, inner: Dataset, depth: int) -> None:
    """Add an item below `depth` sequences."""
    for _ in range(depth):
        inner = item(0x00081115, "SQ", [inner])
    ds.update(inner)


def private(ds: Dataset, creator: str, vr: str, value: object) -> Dataset:
    """Add a private attribute in a block of `creator`, and return the dataset."""
    ds.private_block(0x0029, creator, create=True).add_new(0x08, vr, value)
    return ds


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return a coded concept."""
    ds = item(0x00080100, "SH", value)
    ds.CodingSchemeDesignator, ds.CodeMeaning = scheme, meaning
    return ds


def raw(ds: Dataset, tag: int, vr: str, text: str | bytes) -> None:
    """Add a value that pydicom would not take."""
    value = text.encode() if isinstance(text, str) else text
    value += b" " * (len(value) % 2)
    ds._dict[Tag(tag)] = RawDataElement(
        Tag(tag), vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True
    )


def unknown_sequence(ds: Dataset, name: str) -> None:
    """Add a sequence of VR UN: an item in implicit little endian."""
    value = name.encode().ljust(len(name) + len(name) % 2)
    element = struct.pack("<HHL", 0x0010, 0x0010, len(value)) + value
    raw(ds, 0x00081140, "UN", struct.pack("<HHL", 0xFFFE, 0xE000, len(element)) + element)


def csa_blob(text: str) -> bytes:
    """Return a Siemens CSA header (SV10) of one tag with one value."""
    value = text.encode().ljust(12, b"\0")
    name = b"PatientName".ljust(64, b"\0")
    head = struct.pack("<64si4s3i", name, 1, b"LO\0\0", 0, 1, 77)
    return (
        b"SV10\4\3\2\1"
        + struct.pack("<2i", 1, 77)
        + head
        + struct.pack("<4i", 12, 77, 12, 12)
        + value
    )


def in_file_meta(ds: Dataset, how: tuple[int, str, str], fill: Callable[[str], str]) -> None:
    """Add an attribute to the File Meta Information."""
    tag, vr, pattern = how
    value = fill(pattern)
    if tag == 0x00020102:
        ds.file_meta.add_new(0x00020100, "UI", "1.2.3.4")
    ds.file_meta.add_new(tag, vr, value.encode() if vr == "OB" else value)


def twice(content: bytes, text: str) -> bytes:
    """Return a file with a second Image Type behind the first, which holds the text."""
    at = content.index(b"\x08\0\x08\0CS")
    after = at + 8 + struct.unpack_from("<H", content, at + 6)[0]
    return (
        content[:after]
        + b"\x08\0\x08\0CS"
        + struct.pack("<H", len(text))
        + text.encode()
        + content[after:]
    )


def behind_pixels(content: bytes, text: str) -> bytes:
    """Return a file whose Pixel Data holds a text behind the last pixel."""
    at = content.rindex(b"\xe0\x7f\x10\0OW\0\0") + 8
    length = struct.unpack_from("<L", content, at)[0] + len(text)
    return content[:at] + struct.pack("<L", length) + content[at + 4 :] + text.encode()


def jpeg_with_comment(ds: Dataset, text: str) -> None:
    """Replace the pixels by a JPEG of 8 x 8 grey pixels that has a comment and an Exif segment."""
    comment = text.encode()
    segments = (
        b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment,
        b"\xff\xe1" + struct.pack(">H", len(comment) + 8) + b"Exif\0\0" + comment,
        b"\xff\xdb\0\x43\0" + b"\1" * 64,
        b"\xff\xc0\0\x0b\x08\0\x08\0\x08\1\1\x11\0",
        b"\xff\xc4\0\x14\0" + b"\1" + bytes(15) + b"\0",
        b"\xff\xc4\0\x14\x10" + b"\1" + bytes(15) + b"\0",
        b"\xff\xda\0\x08\1\1\0\0\x3f\0",
        b"\x3f",
    )
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.PixelData = encapsulate([b"\xff\xd8" + b"".join(segments) + b"\xff\xd9"])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def _object(stack: Stack, sop_class: str, modality: str) -> Dataset:
    """Return the patient, study, series and equipment of an object without pixels."""
    ds = make_slice(stack, np.zeros((8, 8), np.int16), 0)
    for element in list(ds):
        if element.tag.group == _OF_IMAGES or element.keyword in {"PixelData", "RescaleType"}:
            del ds[element.tag]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.Modality = modality
    return ds


def report(stack: Stack) -> Dataset:
    """Return a Comprehensive SR with a title."""
    ds = _object(stack, REPORT, "SR")
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [code("126000", "DCM", "Imaging Measurement Report")]
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ContentSequence = []
    return ds


def content_item(ds: Dataset, kind: str, keyword: str, value: object, *, depth: int = 1) -> None:
    """Add a content item to a report, below `depth` - 1 containers."""
    one = _content("TEXT" if kind == "TEXT" else kind)
    setattr(one, keyword, value)
    for _ in range(depth - 1):
        outer = _content("CONTAINER")
        outer.ContinuityOfContent, outer.ContentSequence = "SEPARATE", [one]
        one = outer
    ds.ContentSequence.append(one)


def _content(kind: str) -> Dataset:
    one = Dataset()
    one.RelationshipType, one.ValueType = "CONTAINS", kind
    one.ConceptNameCodeSequence = [code("121071", "DCM", "Finding")]
    return one


def presentation(stack: Stack) -> Dataset:
    """Return a Grayscale Softcopy Presentation State with one note on one layer."""
    ds = _object(stack, STATE, "PR")
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "NOTES", "", ""
    ds.PresentationCreationDate, ds.PresentationCreationTime = "20260102", "030405"
    layer, note, text = Dataset(), Dataset(), Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = "NOTES", 1
    text.AnchorPointAnnotationUnits, text.AnchorPoint = "PIXEL", [1.0, 2.0]
    text.AnchorPointVisibility, text.UnformattedTextValue = "Y", "here"
    note.GraphicLayer, note.TextObjectSequence = "NOTES", [text]
    ds.GraphicLayerSequence, ds.GraphicAnnotationSequence = [layer], [note]
    return ds


def rt_structures(stack: Stack) -> Dataset:
    """Return an RT Structure Set of one structure."""
    ds = _object(stack, STRUCTURES, "RTSTRUCT")
    ds.StructureSetLabel = "SET"
    roi = Dataset()
    roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = 1, "liver", "MANUAL"
    roi.ReferencedFrameOfReferenceUID = ds.FrameOfReferenceUID
    ds.StructureSetROISequence = [roi]
    return ds


def segmentation(stack: Stack) -> Dataset:
    """Return the segments of a Segmentation; it has no frames."""
    ds = _object(stack, SEGMENTATION, "SEG")
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "SEG", "", ""
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel = 1, "liver"
    segment.SegmentAlgorithmType = "MANUAL"
    segment.SegmentedPropertyCategoryCodeSequence = [
        code("91723000", "SCT", "Anatomical Structure")
    ]
    segment.SegmentedPropertyTypeCodeSequence = [code("10200004", "SCT", "Liver")]
    ds.SegmentSequence = [segment]
    return ds
