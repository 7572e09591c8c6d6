"""A JPEG photograph without what cameras and phones write beside the picture (ISO 10918-1)."""

from __future__ import annotations

from dataclasses import dataclass, field

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_BASELINE = 0xC0
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_APPLICATION = frozenset(range(0xE0, 0xF0))
_ADOBE, _COMMENT = 0xEE, 0xFE
_STUFFED = frozenset({0x00, *range(0xD0, 0xD8)})
"""What may follow 0xFF within a scan: the byte itself, and restarts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codestream:
    """The first picture of a JPEG file."""

    content: bytes = field(repr=False)
    """From start to end of the image, without application data (EXIF, GPS, thumbnails, notes) and
    comments; Adobe's marker stays, because it says how colours are coded."""
    baseline: bool
    """Whether it is coded as DICOM's JPEG Baseline takes it: sequential, Huffman, 8 bits."""
    is_rgb: bool
    """Whether its colours are red, green and blue, and not luminance and chrominance."""


def clean_codestream(file: bytes) -> Codestream | None:
    """Return the picture in a JPEG file; None where the file ends before the picture does."""
    kept, at, baseline, is_rgb = [file[:2]], 2, False, False
    while at + 4 <= len(file) and file[at] == 0xFF:  # noqa: PLR2004 - every marker begins so
        marker = file[at + 1]
        if marker == 0xFF or marker in _ALONE:  # noqa: PLR2004 - a fill byte
            at += 1 if marker == 0xFF else 2  # noqa: PLR2004 - as above
            continue
        end = at + 2 + int.from_bytes(file[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            baseline = marker == _BASELINE and file[at + 4 : at + 5] == b"\x08"
            is_rgb |= file[at + 10 : end : 3] == b"RGB"
        if marker == _ADOBE and file[at + 4 : at + 9] == b"Adobe":
            is_rgb = file[end - 1 : end] == b"\0"
        if marker == _SCAN:
            end = _end_of_scan(file, end)
        if marker == _ADOBE or marker not in _APPLICATION | {_COMMENT}:
            kept.append(file[at:end])
        at = end
        if file[at : at + 2] == bytes((0xFF, _END)):
            kept.append(file[at : at + 2])
            return Codestream(content=b"".join(kept), baseline=baseline, is_rgb=is_rgb)
    return None


def _end_of_scan(file: bytes, at: int) -> int:
    """Return where the next marker behind a scan's coded data begins."""
    while (at := file.find(b"\xff", at)) >= 0 and at + 1 < len(file):
        if file[at + 1] not in _STUFFED:
            return at
        at += 2
    return len(file)
