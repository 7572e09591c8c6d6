"""Bytes to datasets; what pydicom cannot read becomes a defect that names no value.

Codes: ``unreadable-instance`` (not DICOM, or broken before the pixels), ``truncated-instance``
(the file ends too early), ``invalid-attribute`` (one attribute cannot be used).
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import FileDataset

# What pydicom, its decoders and the standard library raise over bytes that are not what they
# claim. RuntimeError includes NotImplementedError and RecursionError, ValueError the Unicode
# errors, LookupError the missing keys.
FOREIGN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
    pydicom.errors.BytesLengthException,
    pydicom.errors.InvalidDicomError,
    struct.error,
    zlib.error,
)
_PREAMBLE_LENGTH = 128
# First tag of a dataset without a preamble: group 0002 or 0008, in either byte order.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A dataset up to its pixels, and where in the file these begin."""

    dataset: FileDataset
    end: int | None
    """Offset of the element at which reading stopped; None in a deflated file."""
    has_more: bool
    """Whether anything follows; an image that ends here was cut short."""


@contextmanager
def translated(code: str, sentence: str) -> Iterator[None]:
    """Turn what pydicom raises into a Defect, and keep its warnings in: they quote values."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FOREIGN as error:
        raise Defect(code, sentence) from error


def place(index: int, total: int) -> str:
    """Name an instance by its position: the only name that may stand in a sentence."""
    return f"instance {index + 1} of {total}"


def read_header(content: bytes, where: str = "the instance") -> FileDataset:
    """Return the dataset before its pixels; `where` names the instance in errors.

    A file without preamble or File Meta Information is taken when it begins as a dataset does.

    Raises
    ------
    Defect
        ``unreadable-instance``.

    """
    return read_to_pixels(content, where).dataset


def read_to_pixels(content: bytes, where: str) -> Header:
    """Return the dataset before its pixels and where it ends; raises as `read_header`."""
    stream = io.BytesIO(content)
    dataset = _read(stream, content, where, stop_before_pixels=True)
    with translated("unreadable-instance", f"{where} cannot be read as DICOM"):
        syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian:
        return Header(dataset=dataset, end=None, has_more=True)
    return Header(dataset=dataset, end=stream.tell(), has_more=stream.tell() < len(content))


def read_instance(content: bytes, where: str = "the instance") -> FileDataset:
    """Return the whole dataset; raises as `read_header`."""
    return _read(io.BytesIO(content), content, where, stop_before_pixels=False)


def _read(
    stream: io.BytesIO, content: bytes, where: str, *, stop_before_pixels: bool
) -> FileDataset:
    has_preamble = content[_PREAMBLE_LENGTH : _PREAMBLE_LENGTH + 4] == b"DICM"
    if not has_preamble and content[:2] not in _FIRST_GROUPS:
        raise Defect("unreadable-instance", f"{where} is not a DICOM file")
    with translated("unreadable-instance", f"{where} cannot be read as DICOM"):
        dataset = pydicom.dcmread(stream, stop_before_pixels=stop_before_pixels, force=True)
    if not len(dataset):
        raise Defect("unreadable-instance", f"{where} holds no dataset")
    return dataset
