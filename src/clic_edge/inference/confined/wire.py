"""How a confined process is asked and answers: one line of JSON, then the arrays as they lie.

Who reads never believes more than it asked for: no pickle, few types, a bound on the bytes.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    Hook = Callable[[type[BaseException], BaseException, TracebackType | None], None]

_LONGEST_LINE = 1 << 16
_TYPES = {"float32", "float64", "int16", "uint8"}
_UNBOUNDED = 1 << 62
_NO_MEMORY = ("can't allocate memory", "out of memory", "Cannot allocate memory")
"""How libraries say it, in errors of any class."""
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A word, what belongs to it, and arrays."""

    word: str
    detail: str = ""
    """The name of an exception's class, or nothing: never a text, which could quote a value."""
    seconds: float = 0.0
    """Of the forward passes."""
    arrays: tuple[NDArray[np.generic], ...] = ()


Answer = Callable[[Message], Message]


class WireError(ValueError):
    """What came is no message, or a larger one than was asked for; or the other side is gone."""


def send(stream: BinaryIO, message: Message) -> None:
    """Write a message."""
    arrays = [np.ascontiguousarray(array) for array in message.arrays]
    head = {
        "word": message.word,
        "detail": message.detail,
        "seconds": message.seconds,
        "arrays": [[str(array.dtype), list(array.shape)] for array in arrays],
    }
    stream.write(json.dumps(head).encode() + b"\n")
    stream.writelines(array.reshape(-1).view(np.uint8).data for array in arrays)
    stream.flush()


def receive(stream: BinaryIO, *, most_bytes: int) -> Message:
    """Return the next message, with at most so many bytes of arrays.

    Raises
    ------
    WireError
        As its docstring says.

    """
    line = stream.readline(_LONGEST_LINE)
    try:
        head = json.loads(line)
        plans = [_plan(str(kind), shape) for kind, shape in head["arrays"]]
        word, detail, seconds = str(head["word"]), str(head["detail"]), float(head["seconds"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise WireError("no message") from error
    if sum(dtype.itemsize * math.prod(shape) for dtype, shape in plans) > most_bytes:
        raise WireError("more than was asked for")
    if not 0 <= seconds < math.inf:
        raise WireError("a time that is none")
    if detail and not _NAME.fullmatch(detail):
        raise WireError("a detail that is no name")
    arrays = tuple(_read(stream, dtype, shape) for dtype, shape in plans)
    return Message(word=word, detail=detail, seconds=seconds, arrays=arrays)


def serve(load: Callable[[], tuple[str, Answer]], *, asked: int, answering: int) -> None:
    """Load, say that it is ready, and answer on two file descriptors until nobody asks any more.

    What `load` returns first is told as the detail of ``ready``: the device.
    Whatever is raised ends the process: who asks is told the name of its class, and starts another.
    """
    requests, replies = os.fdopen(asked, "rb"), os.fdopen(answering, "wb")
    sys.excepthook = _telling(replies, "unreadable")
    device, answer = load()
    send(replies, Message(word="ready", detail=device))
    sys.excepthook = _telling(replies, "failed")
    with suppress(WireError):
        while True:
            send(replies, answer(receive(requests, most_bytes=_UNBOUNDED)))


def _telling(replies: BinaryIO, word: str) -> Hook:
    def tell(kind: type[BaseException], error: BaseException, _: TracebackType | None, /) -> None:
        wanting = kind is MemoryError or any(words in str(error) for words in _NO_MEMORY)
        send(replies, Message(word="memory" if wanting else word, detail=kind.__name__))

    return tell


def _plan(kind: str, shape: list[int]) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    if kind not in _TYPES or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError("no array")
    return np.dtype(kind), tuple(shape)


def _read(
    stream: BinaryIO, dtype: np.dtype[np.generic], shape: tuple[int, ...]
) -> NDArray[np.generic]:
    try:
        array = np.empty(shape, dtype)
    except ValueError as error:  # more dimensions than there can be
        raise WireError("no array") from error
    left = memoryview(array.reshape(-1).view(np.uint8).data)
    while left:
        count = stream.readinto(left)  # type: ignore[attr-defined] # of every buffered stream
        if not count:
            raise WireError("cut off")
        left = left[count:]
    return array
