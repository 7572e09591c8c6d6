"""Does a network in ONNX keep a part of itself in another file, which no digest covers?

ONNX is protobuf; only the fields on the way to its tensors are read, so nothing has to be installed
for it. Field numbers are those of ``onnx.proto``, which never change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARTS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Which message each field of a message holds."""
_DATA_LOCATION = 14
"""Of a tensor: 0 where the numbers are in it, 1 where they are elsewhere."""
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5
_LARGEST_VARINT = 10
"""Bytes."""


def has_external_data(network: bytes) -> bool:
    """Return whether any tensor, in whatever depth, says that its numbers lie elsewhere.

    Raises ValueError where the bytes are no protobuf.
    """
    pending = [("model", memoryview(network))]
    while pending:
        kind, message = pending.pop()
        for number, value in _fields(message):
            if isinstance(value, int):
                if kind == "tensor" and number == _DATA_LOCATION and value:
                    return True
            elif number in _PARTS[kind]:
                pending.append((_PARTS[kind][number], value))
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and content of each field: an integer, or the bytes of anything else."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _COUNTED:
            size, at = _varint(message, at)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError("a field of no known type")
        if at + size > len(message):
            raise ValueError("a field that is cut off")
        if wire == _COUNTED:
            yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return an integer in groups of seven bits, lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + _LARGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follow
            return value, at + place + 1
    raise ValueError("an integer that does not end")
