"""The size that a compressed frame claims for itself, and how large pixels may become.

Decoders believe it and allocate: a flipped bit there can cost all memory, so it is compared with
Rows, Columns and Samples per Pixel first.
"""

from __future__ import annotations

import math

from clic_edge.errors import Refusal

MOST_DECODED = 4 << 30
"""Bytes of the pixels of one instance, or of one volume: some bytes of JPEG 2000 claim as many."""
# Start of frame (ISO 10918-1 B.1.1.3, ISO 14495-1 C.1.1), without tables DHT, JPG and DAC.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_JPEG = b"\xff\xd8"
_JPEG_2000 = b"\xff\x4f\xff\x51"
_MARKER = 0xFF


def require_room(where: str, *sizes: int) -> None:
    """Return where pixels of these sizes, multiplied, fit. Raises Refusal ``pixels-too-large``."""
    if math.prod(sizes) > MOST_DECODED:
        raise Refusal(
            "pixels-too-large",
            f"{where}: the pixels would fill more than {MOST_DECODED >> 30} GiB of memory",
        )


def stated_size(frame: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and samples of a JPEG, JPEG-LS or JPEG 2000 codestream; None if unfound."""
    if frame.startswith(_JPEG_2000):
        right, bottom, left, top = (_number(frame, at, 4) for at in (8, 12, 16, 20))
        return bottom - top, right - left, _number(frame, 40, 2)
    at = len(_JPEG) if frame.startswith(_JPEG) else len(frame)
    while at + 10 <= len(frame) and frame[at] == _MARKER:
        if frame[at + 1] == _MARKER:  # a fill byte (B.1.1.2)
            at += 1
        elif frame[at + 1] in _START_OF_FRAME:
            return _number(frame, at + 5, 2), _number(frame, at + 7, 2), frame[at + 9]
        else:
            at += 2 + _number(frame, at + 2, 2)
    return None


def _number(frame: bytes, at: int, length: int) -> int:
    return int.from_bytes(frame[at : at + length], "big")
